// How control is named: unix:PATH on its own machine, hob://HOST:PORT over the network, hob://TOKEN@HOST:PORT/PIN with all that it takes to get in.

import { HobError } from "../base/errors.ts";

const defaultPort = 7474;

export interface HostPort {
  host: string;
  port: number;
}

export interface NetworkAddress extends HostPort {
  /** Of other controls of the same pool: who serves is found by trying. */
  others?: readonly HostPort[];
  /** "" where the URL has none. */
  token: string;
  /** sha256 of the public key of the authority that vouches for control, base64url; "" where the URL has none. */
  pin: string;
}

const scheme = "hob://";

export const unixAddress = (path: string): string => `unix:${path}`;

export const isNetwork = (address: string): boolean => address.startsWith(scheme);

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

type Places = Pick<NetworkAddress, "host" | "port" | "others">;

/** All that a pool is reached at. */
export const placesOf = ({ host, port, others = [] }: Places): HostPort[] => [{ host, port }, ...others];

const placesText = (address: Places): string =>
  placesOf(address)
    .map(({ host, port }) => `${bracketed(host)}:${port}`)
    .join(",");

/** hob://HOST:PORT[,HOST:PORT…]: what a channel dials and what people read; nothing in it is secret. */
export const networkAddress = (address: Places): string => `${scheme}${placesText(address)}`;

export const networkUrl = (address: NetworkAddress): string => `${scheme}${address.token}@${placesText(address)}/${address.pin}`;

/** The host and the port of HOST:PORT, [HOST]:PORT or HOST. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** As parseHostPort, of several with commas between. */
function parsePlaces(text: string): Places | undefined {
  const all = text.split(",").map(parseHostPort);
  const [first, ...others] = all;
  if (!first || others.includes(undefined)) return undefined;
  return others.length === 0 ? first : { ...first, others: others as HostPort[] };
}

/** A URL that begins with hob://. What is wrong with it is said without repeating it: it may hold a token. */
export function parseNetworkUrl(url: string): NetworkAddress {
  const match = /^hob:\/\/(?:([A-Za-z0-9_-]+)@)?([^/@]+)(?:\/([A-Za-z0-9_-]*))?$/.exec(url);
  const place = match && parsePlaces(match[2]!);
  if (!match || !place) {
    throw new HobError("usage", "the URL of control is not of the form hob://TOKEN@HOST:PORT/PIN", {
      remedy: "copy the whole line that `hob pool token create` has printed",
    });
  }
  return { ...place, token: match[1] ?? "", pin: match[3] ?? "" };
}

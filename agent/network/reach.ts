// ⑤ What a build may reach through the agent: the hosts that the node is configured for, and the public internet; nothing else. Pure.

import { BlockList, isIP } from "node:net";
import { forbidden } from "./rules.ts";

/** An HTTP proxy that the node itself goes through. */
export interface Upstream {
  host: string;
  port: number;
  /** "NAME:PASSWORD", or "". */
  credentials: string;
}

/** A host that the node's own configuration names: a mirror of packages, an index. */
export interface ConfiguredHost {
  host: string;
  port: number;
  upstream: Upstream | undefined;
}

export interface Reach {
  configured: readonly ConfiguredHost[];
  /** The node's proxy for anything else, by scheme, and the hosts that it is not for. */
  proxies: { http: Upstream | undefined; https: Upstream | undefined; except: readonly string[] };
}

export interface Target {
  scheme: "http" | "https";
  host: string;
  port: number;
}

export type Route =
  | { kind: "direct"; host: string; port: number }
  | { kind: "through"; upstream: Upstream }
  | { kind: "refused"; reason: string };

export interface Surroundings {
  /** What the name stands for, as this node resolves it. */
  addresses: readonly string[];
  /** Networks of the node's own: "192.168.1.0/24". */
  neighbours: readonly string[];
  /** The node's own addresses. */
  own: readonly string[];
  /** Whether containers are let out at all. */
  uplink: boolean;
}

export const configuredHost = ({ configured }: Reach, target: Target): ConfiguredHost | undefined =>
  configured.find(({ host, port }) => host === target.host.toLowerCase() && port === target.port);

/** The proxy for a host: NO_PROXY's names stand for their subdomains too, "*" for all. */
export function upstreamFor({ proxies }: Pick<Reach, "proxies">, { scheme, host }: Target): Upstream | undefined {
  const name = host.toLowerCase();
  const excepted = proxies.except.some((entry) => {
    const suffix = entry.toLowerCase().replace(/^\*?\./, "");
    return entry === "*" || name === suffix || name.endsWith(`.${suffix}`);
  });
  return excepted ? undefined : proxies[scheme];
}

function isPrivate(address: string, { neighbours, own }: Surroundings): boolean {
  const list = new BlockList();
  for (const range of [...forbidden, ...neighbours]) {
    const [network = "", length = ""] = range.split("/");
    list.addSubnet(network, Number(length), "ipv4");
  }
  for (const each of own) if (isIP(each)) list.addAddress(each, isIP(each) === 6 ? "ipv6" : "ipv4");
  if (isIP(address) === 4) return list.check(address, "ipv4");
  // 2000::/3 is all of IPv6 that is global; 2002::/16 and 64:ff9b::/96 stand for addresses of IPv4.
  return !/^[23][0-9a-f]{3}:/i.test(address) || /^2002:/i.test(address) || list.check(address, "ipv6");
}

/** Where a build's connection goes. A public host is dialled at the very address that was judged. */
export function routeOf(reach: Reach, target: Target, surroundings: Surroundings): Route {
  const known = configuredHost(reach, target);
  if (known) {
    return known.upstream
      ? { kind: "through", upstream: known.upstream }
      : { kind: "direct", host: target.host, port: target.port };
  }
  const upstream = upstreamFor(reach, target);
  const refused = (reason: string): Route => ({ kind: "refused", reason: `${target.host}:${target.port} ${reason}` });
  const addresses = isIP(target.host) ? [target.host] : surroundings.addresses;
  if (addresses.some((address) => isPrivate(address, surroundings)))
    return refused("lies in a network of the node, and is none of the mirrors that it is configured for");
  if (upstream && (addresses.length > 0 || target.host.includes("."))) return { kind: "through", upstream };
  if (!surroundings.uplink) return refused("cannot be reached: containers of this node have no way out");
  const [address] = addresses;
  return address === undefined
    ? refused("has no address that this node knows of")
    : { kind: "direct", host: address, port: target.port };
}

// ④ Where `hob control` listens: at its own socket always, and on the network where it is told to.

import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { HobError } from "../base/errors.ts";
import { runFolder } from "../base/paths.ts";
import type { NetworkOptions } from "../control/access/reach.ts";
import type { GatewayPlace } from "../control/gateway/server.ts";
import { type NetworkAddress, parseHostPort } from "../proto/address.ts";
import { socketPath } from "./control-address.ts";

export interface ListenFlags {
  listen?: string[];
  socket?: string;
  advertise?: string;
  tlsCert?: string;
  tlsKey?: string;
  http?: string;
}

export interface Places {
  socket: string;
  network?: NetworkOptions;
  http?: GatewayPlace;
}

/** HOST:PORT, [HOST]:PORT, or :PORT for all addresses. */
const networkShape = /^(\[[^\]/]+\]|[^/:]*):\d+$/;
const everywhere = new Set(["0.0.0.0", "::"]);

function place(text: string): Pick<NetworkAddress, "host" | "port"> {
  const found = parseHostPort(text.startsWith(":") ? `[::]${text}` : text);
  if (found) return found;
  throw new HobError("usage", `"${text}" is not a host and a port`, { remedy: "write for example 0.0.0.0:7474" });
}

/** An address of this machine that others may reach: the first that is not its own alone. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found =
    addresses.find(({ internal, family }) => !internal && family === "IPv4") ?? addresses.find(({ internal }) => !internal);
  return found?.address ?? "127.0.0.1";
}

function advertisedFor(at: Pick<NetworkAddress, "host" | "port">, flag: string | undefined): NetworkOptions["advertised"] {
  if (flag !== undefined) {
    const [first, ...others] = flag
      .split(",")
      .map((text) => (/:\d+$/.test(text) ? place(text) : { ...place(text), port: at.port }));
    return others.length === 0 ? first : { ...first!, others };
  }
  return everywhere.has(at.host) ? { host: ownAddress(), port: at.port } : at;
}

/** Certificates are for both doors of the network. */
function webPlace({ http, advertise, tlsCert, tlsKey }: ListenFlags): { http?: GatewayPlace } {
  if (http === undefined) return {};
  const given = tlsCert !== undefined && tlsKey !== undefined;
  const names = advertise === undefined ? [] : [place(advertise).host];
  return {
    http: { ...place(http), names, ...(given ? { given: { certificate: resolve(tlsCert), key: resolve(tlsKey) } } : {}) },
  };
}

export function listenPlaces(flags: ListenFlags): Places {
  const { listen = [], socket, advertise, tlsCert, tlsKey } = flags;
  const network = listen.filter((text) => networkShape.test(text));
  const sockets = [...listen.filter((text) => !networkShape.test(text)), ...(socket === undefined ? [] : [socket])];
  if (network.length > 1 || sockets.length > 1) {
    throw new HobError("usage", "control listens at one socket, and at one address of the network", {
      remedy: "0.0.0.0:PORT is all addresses of this machine",
    });
  }
  const [named] = sockets;
  const path = named === undefined ? join(runFolder(), "control.sock") : socketPath(named.includes("/") ? named : `./${named}`);
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new HobError("usage", "a certificate and its key belong together", { remedy: "give both --tls-cert and --tls-key" });
  }
  const [text] = network;
  if (text === undefined) {
    if (flags.http === undefined && (advertise ?? tlsCert) !== undefined) {
      throw new HobError("usage", "--advertise, --tls-cert and --tls-key are for a control on the network", {
        remedy: "add --listen HOST:PORT or --http HOST:PORT",
      });
    }
    return { socket: path, ...webPlace(flags) };
  }
  const at = place(text);
  const given = tlsCert === undefined ? {} : { given: { certificate: resolve(tlsCert), key: resolve(tlsKey!) } };
  const advertised = at.port === 0 && advertise === undefined ? undefined : advertisedFor(at, advertise);
  return { socket: path, ...webPlace(flags), network: { ...at, ...(advertised ? { advertised } : {}), ...given } };
}

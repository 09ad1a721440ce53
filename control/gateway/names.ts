// ④ By which names others reach the gateway: those that its certificate vouches for, and the one that its URL says.

import { hostname, networkInterfaces } from "node:os";
import type { GatewayPlace } from "./server.ts";

const everywhere = new Set(["0.0.0.0", "::"]);

/** The first is the one for URLs. Names that are given come first; of an address that is all addresses, this machine's own. */
export function gatewayNames({ host, names = [] }: Pick<GatewayPlace, "host" | "names">): string[] {
  if (!everywhere.has(host)) return [...new Set([...names, host])];
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const plain = addresses.filter(({ scopeid }) => !scopeid).map(({ address }) => address); // others cannot be dialled without a zone
  return [...new Set([...names, hostname(), ...plain, "localhost"])];
}

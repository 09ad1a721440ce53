// ⑤ The interfaces that lead out of the node, and the one switch on each of them that forwarding needs.

import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

export interface Uplinks {
  names: string[];
  /** Their own networks: "192.168.1.0/24". */
  neighbours: string[];
  /** What a container's link may send at once. */
  mtu: number;
}

/** Interfaces of default routes, from /proc/net/route: name, destination, gateway, flags (route.h: 1 is RTF_UP), all in hex. */
export function defaultRoutes(text: string): string[] {
  const rows = text.split("\n").map((line) => line.split(/\s+/));
  const found = rows.filter((row) => row[1] === "00000000" && row[7] === "00000000" && Number.parseInt(row[3] ?? "0", 16) & 1);
  return [...new Set(found.map((row) => row[0] ?? ""))].sort();
}

/** HOB_UPLINK names one, or "none"; else those of the default routes. */
export function findUplinks(): Uplinks {
  const wish = process.env["HOB_UPLINK"];
  const names = wish === "none" ? [] : wish ? [wish] : defaultRoutes(readFileSync("/proc/net/route", "latin1"));
  const addresses = networkInterfaces();
  const neighbours = names.flatMap((name) =>
    (addresses[name] ?? []).flatMap(({ family, cidr }) => (family === "IPv4" && cidr ? [networkOf(cidr)] : [])),
  );
  return { names, neighbours: neighbours.sort(), mtu: Math.min(1500, ...names.map(mtuOf)) };
}

/** "192.168.1.7/24" → "192.168.1.0/24" */
export function networkOf(cidr: string): string {
  const [text = "", length = "32"] = cidr.split("/");
  const address = text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(length));
  const base = Math.floor(address / size) * size;
  return `${[24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".")}/${length}`;
}

function mtuOf(name: string): number {
  const file = `/proc/sys/net/ipv6/conf/${name}/mtu`; // in the reader's namespace, which /sys may not be
  return existsSync(file) ? Number(readFileSync(file, "latin1")) || 1500 : 1500;
}

export const setting = (name: string, key: string): string => `/proc/sys/net/ipv4/conf/${name}/${key}`;
const markFile = (runRoot: string): string => join(runRoot, "forwarding");

const marked = (runRoot: string): string[] =>
  existsSync(markFile(runRoot)) ? readFileSync(markFile(runRoot), "utf8").split("\n").filter(Boolean) : [];

/** Makes an uplink take packets for containers; what was switched on is noted, so that the last pool of this machine switches it off. */
export function forward(runRoot: string, names: string[]): { own: boolean } {
  const own = marked(runRoot);
  for (const name of names) {
    if (readFileSync(setting(name, "forwarding"), "latin1").trim() === "1") continue;
    if (!own.includes(name)) own.push(name);
    writeFileSync(markFile(runRoot), own.map((line) => `${line}\n`).join(""), { mode: 0o600 }); // before: a kill between is undone, too
    writeFileSync(setting(name, "forwarding"), "1");
  }
  return { own: names.some((name) => own.includes(name)) };
}

export function forwardNoMore(runRoot: string): void {
  for (const name of marked(runRoot))
    if (existsSync(setting(name, "forwarding"))) writeFileSync(setting(name, "forwarding"), "0");
  rmSync(markFile(runRoot), { force: true });
}

// ⑤ The containers' network on this node: its rules, its resolver, and a link for each slot. Undone at the end, or by the next start.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { inNetwork, raiseInterface } from "../container/system-calls.ts";
import { linkName, linkPrefix, type Region, regionsOf } from "./addresses.ts";
import { claimOwnTable, claimRegion, claimTable } from "./claims.ts";
import { type ForwardProxy, startForwardProxy } from "./forward-proxy.ts";
import { addAddress, addRoute, makePair, removeLink } from "./netlink.ts";
import { deleteTable, loadRules, networkObstacle, tablesBelow } from "./nft.ts";
import type { Reach } from "./reach.ts";
import { startResolver } from "./resolver.ts";
import { keyOfTable, proxyPort, rules, tableName, tablePrefix } from "./rules.ts";
import { findUplinks, forward, forwardNoMore, setting, type Uplinks } from "./uplinks.ts";

export interface NetworkOptions {
  key: string;
  /** RUN: the folder of the agent; the one above it is shared by the pools of this machine. */
  run: string;
  /** A folder below it whose files containers can read. */
  folder: string;
  /** The node's own name servers: /etc/resolv.conf. */
  nameServers: string;
  log: Log;
}

export interface Network extends AsyncDisposable {
  /** Why containers have no network here; undefined when they have one. */
  readonly obstacle: HobError | undefined;
  /** The resolv.conf(5) of containers with a network. */
  readonly nameFile: string;
  /** Connects a slot's network namespace to the node. Takes about a millisecond and needs no process. */
  attach(index: number, networkFd: number, ownNetworkFd: number): Promise<void>;
  /** Lets the container of that slot, a build, use the agent's proxy, and says where that is: "http://ADDRESS:PORT". */
  admit(index: number, reach: Reach): Promise<{ proxy: string } & Disposable>;
}

const lookEveryMs = 10_000; // for an uplink that has changed: a laptop that left its cable

/** Never rejects for want of a network: then containers have their loopback device, and `obstacle` says why. */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const nameFile = join(options.folder, "resolv.conf");
  const without = (obstacle: HobError): Network => {
    options.log.warn({ reason: obstacle.sentence }, "containers have no network");
    const refuse = (): Promise<never> => Promise.reject(obstacle);
    return { obstacle, nameFile, attach: refuse, admit: refuse, [Symbol.asyncDispose]: async () => {} };
  };
  const obstacle = await networkObstacle();
  if (obstacle) return without(obstacle);
  const held = new AsyncDisposableStack();
  try {
    const region = await claimPlace(options.key, held);
    return await serveNetwork(options, nameFile, region, held);
  } catch (error) {
    await held.disposeAsync();
    if (error instanceof HobError && error.kind === "exhausted") return without(error);
    throw error;
  }
}

/** A table and a region that no other pool has, as long as `held` lasts; what dead pools have left here goes. */
async function claimPlace(key: string, held: AsyncDisposableStack): Promise<Region> {
  held.use(await claimOwnTable(key));
  for (const name of await tablesBelow(tablePrefix)) {
    if (name === tableName(key)) continue;
    await using dead = await claimTable(keyOfTable(name));
    if (!dead) continue;
    await deleteTable(name); // its rules would refuse whoever has its addresses after it
    await removeLinks(keyOfTable(name));
  }
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const taken = new Set(addresses.map(({ address }) => address));
  const { region, claim } = await claimRegion(regionsOf(key, taken));
  held.use(claim);
  return region;
}

async function serveNetwork(
  options: NetworkOptions,
  nameFile: string,
  region: Region,
  held: AsyncDisposableStack,
): Promise<Network> {
  const { key, log, run } = options;
  writeFileSync(nameFile, `nameserver ${region.resolver}\noptions timeout:5 attempts:2\n`, { mode: 0o644 });
  let uplinks: Uplinks | undefined;
  let resolver: Promise<Disposable> | undefined;
  let proxy: Promise<ForwardProxy> | undefined;

  async function follow(): Promise<void> {
    const found = findUplinks();
    if (JSON.stringify(found) === JSON.stringify(uplinks)) return;
    const { own } = forward(dirname(run), found.names);
    const { names, neighbours } = found;
    await loadRules(rules({ key, region, uplinks: names, neighbours, ownForwarding: own }));
    uplinks = found;
    log.info({ uplinks: names, range: region.range }, "containers' network");
  }

  await follow();
  const looking = setInterval(() => {
    follow().catch((error) => log.error({ error: sentenceOf(error) }, "following the uplink"));
  }, lookEveryMs).unref();

  return {
    obstacle: undefined,
    nameFile,
    async attach(index, networkFd, ownNetworkFd) {
      const name = linkName(key, index);
      const lease = region.lease(index);
      makePair(name, "eth0", networkFd, uplinks?.mtu ?? 1500);
      addAddress(name, region.resolver, lease);
      writeFileSync(setting(name, "forwarding"), "1");
      writeFileSync(setting(name, "rp_filter"), "1");
      withoutIpv6(name);
      inNetwork(networkFd, ownNetworkFd, () => {
        raiseInterface("lo");
        withoutIpv6("eth0");
        addAddress("eth0", lease);
        raiseInterface("eth0");
        addRoute("eth0", { destination: region.resolver });
        addRoute("eth0", { gateway: region.resolver });
        openPorts();
      });
      resolver ??= startResolver({ address: region.resolver, file: options.nameServers, log });
      await resolver;
    },
    async admit(index, reach) {
      proxy ??= startForwardProxy(region.resolver, log); // the slot is attached: the address is there
      const admitted = (await proxy).admit(region.lease(index), reach);
      return { proxy: `http://${region.resolver}:${proxyPort}`, [Symbol.dispose]: () => admitted[Symbol.dispose]() };
    },
    async [Symbol.asyncDispose]() {
      clearInterval(looking);
      for (const service of [resolver, proxy]) (await service?.catch(() => undefined))?.[Symbol.dispose]();
      await clearNetwork(key, run);
      await held.disposeAsync();
    },
  };
}

/** In the network namespace of the caller. */
function withoutIpv6(name: string): void {
  const file = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
  if (existsSync(file)) writeFileSync(file, "1"); // absent where the kernel has no IPv6
}

/** Port 80 and ping(8) for processes without capabilities. In the network namespace of the caller. */
export function openPorts(): void {
  writeFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  writeFileSync("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

const goneWithinMs = 2_000;

/** Links of this pool, from /proc/net/dev. */
function linksOf(key: string): string[] {
  const names = readFileSync("/proc/net/dev", "latin1").split("\n").slice(2);
  return names.map((line) => line.split(":")[0]?.trim() ?? "").filter((name) => name.startsWith(linkPrefix(key)));
}

/** Removes a pool's table and links, and what was switched on for it. Its containers and namespaces must be gone: the kernel then takes the links. */
export async function clearNetwork(key: string, run: string): Promise<void> {
  const tables = await tablesBelow(tablePrefix);
  if (tables.includes(tableName(key))) await deleteTable(tableName(key));
  if (tables.every((name) => name === tableName(key))) forwardNoMore(dirname(run));
  await removeLinks(key);
}

async function removeLinks(key: string): Promise<void> {
  const deadline = performance.now() + goneWithinMs;
  while (linksOf(key).length > 0 && performance.now() < deadline) await after(5);
  for (const name of linksOf(key)) removeLink(name);
}

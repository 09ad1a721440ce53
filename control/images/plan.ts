// ④⑤ Which build starts where, and from which step. Pure.

import { hostImageKey } from "../../proto/image.ts";

export interface BuildView {
  /** Of its base and of each of its steps, in order; the last is the image's own. */
  readonly keys: readonly string[];
  /** Where it runs; undefined while it waits. */
  readonly node: string | undefined;
}

export interface BuilderView {
  readonly name: string;
  readonly cores: number;
  readonly cpuUsed: number;
  /** It takes no new work: it is being prepared, or ends. */
  readonly ready: boolean;
  /** Image digest by key, as far as the node may use it. */
  readonly images: { get(key: string): string | undefined };
}

export interface BuildPlan<Build extends BuildView> {
  starts: { build: Build; node: string; stepsDone: number; from: string }[];
  /** All their steps are known by now. */
  done: { build: Build; digest: string }[];
}

/**
 * Builds start in the order in which they were asked for, after the longest part of their steps that is known. One that needs next what another
 * is about to make waits for that. `known` gives what the step of a key has left.
 */
export function planBuilds<Build extends BuildView>(
  builds: readonly Build[],
  nodes: readonly BuilderView[],
  known: (key: string) => string | undefined,
): BuildPlan<Build> {
  const plan: BuildPlan<Build> = { starts: [], done: [] };
  const running = builds.flatMap(({ keys, node }) => (node === undefined ? [] : [{ keys, node }]));
  for (const build of builds) {
    if (build.node !== undefined) continue;
    const { keys } = build;
    const prefix = keys.findLastIndex((key) => known(key) !== undefined);
    if (prefix === keys.length - 1) {
      plan.done.push({ build, digest: known(keys[prefix]!)! });
      continue;
    }
    // A node's own host image is at hand everywhere: nobody waits for that.
    const next = keys.find((key, index) => index > prefix && key !== hostImageKey)!;
    if (running.some((other) => other.keys.includes(next))) continue;
    const node = leastBusy(nodes, running);
    if (!node) continue;
    const host = prefix < 0 && keys[0] === hostImageKey ? node.images.get(hostImageKey) : undefined;
    const from = known(keys[prefix] ?? "") ?? host ?? "";
    plan.starts.push({ build, node: node.name, stepsDone: Math.max(0, prefix), from });
    running.push({ keys, node: node.name });
  }
  return plan;
}

/** The ready node with the fewest builds, of equals the one with most cores free. */
function leastBusy(nodes: readonly BuilderView[], running: readonly { node: string }[]): BuilderView | undefined {
  const builds = (name: string): number => running.filter(({ node }) => node === name).length;
  const ranked = nodes
    .filter(({ ready, cores, name }) => ready && builds(name) < Math.max(2, cores))
    .map((node) => ({ node, builds: builds(node.name), free: node.cores - node.cpuUsed }))
    .sort((a, b) => a.builds - b.builds || b.free - a.free || (a.node.name < b.node.name ? -1 : 1));
  return ranked[0]?.node;
}

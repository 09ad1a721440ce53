// The pools that the scheduler's tests decide on: their parts, and what carrying out a plan makes of them.

import { expect } from "vitest";
import {
  type ContainerView,
  decide as decideOn,
  defaultCap,
  type GroupView,
  type NodeView,
  type Plan,
  type QueuedCall,
  roomForPersons,
} from "../../control/scheduler/decide.ts";
import { createLane } from "../../control/scheduler/lane.ts";
import { indexOf, type PoolView } from "../../control/scheduler/pool-index.ts";
import { classKeyOf } from "../../control/scheduler/pools.ts";
import { hostImageKey } from "../../proto/image.ts";

export type Container = { -readonly [K in keyof ContainerView]: ContainerView[K] } & {
  loaded: Set<string>;
  loading: Set<string>;
};

/** A pool in plain lists. */
export interface PoolState extends Pick<PoolView, "groups" | "demand"> {
  nodes: readonly NodeView[];
  containers: readonly ContainerView[];
}

export const viewOf = ({ nodes, containers, groups, demand }: PoolState): PoolView => ({
  ...indexOf(nodes, containers),
  groups,
  demand,
});

export const decide = (pool: PoolState, nowMs: number): Plan => decideOn(viewOf(pool), nowMs);

export const python = classKeyOf({ cpu: 0, memoryBytes: 512 * 2 ** 20, language: "python", gpu: "", network: "internet" });
export const typescript = classKeyOf({
  cpu: 0,
  memoryBytes: 512 * 2 ** 20,
  language: "typescript",
  gpu: "",
  network: "internet",
});
/** It reserves its memory: a node of 1 GiB has room for two. */
export const large = classKeyOf({ cpu: 0, memoryBytes: 384 * 2 ** 20, language: "python", gpu: "", network: "internet" });
export const nowMs = 1_000_000_000;

export const nodeOf = (name: string, memoryUsed = 0): NodeView => ({
  ...{ name, cores: 2, memoryBytes: 2 ** 30, memoryUsedBytes: memoryUsed * 2 ** 30, schedulable: true },
  images: new Map([[hostImageKey, `image of ${name}`]]),
  info: { gpus: [] },
  localShare: () => 1,
});

export function laneOf(prefix: string, wanted: string[]) {
  const lane = createLane<QueuedCall>();
  for (const [index, snapshot] of wanted.entries()) lane.push({ id: `${prefix}-${index}`, snapshot });
  return lane;
}

const standardOf = ({ nodes }: PoolState): number => defaultCap(nodes.reduce((sum, node) => sum + node.cores, 0));

export const capOf = (pool: PoolState, group: GroupView): number =>
  (group.maxContainers || standardOf(pool)) + Math.ceil(group.blocked / group.concurrency);

/** For persons' calls. */
export const personsCapOf = (pool: PoolState, group: GroupView): number =>
  capOf(pool, group) + (group.maxContainers > 0 ? 0 : roomForPersons(standardOf(pool)));

export const alive = (container: ContainerView): boolean => container.state === "warm" || container.state === "specialised";

/** The pool once the plan has been carried out: what control itself does to its state. */
export function carryOut(pool: PoolState & { containers: Container[] }, plan: Plan): void {
  for (const { call, group, container: view } of plan.dispatches) {
    const container = view as Container;
    const lanes = pool.groups.get(group)!.lanes as ReturnType<typeof laneOf>[];
    expect(lanes.some((lane) => lane.remove(call))).toBe(true);
    Object.assign(container, { group, state: "specialised", inFlight: container.inFlight + 1 });
    if (!container.loaded.has(call.snapshot)) container.loading.add(call.snapshot);
  }
  for (const { group, snapshot, container: view } of plan.loads) {
    const container = view as Container;
    Object.assign(container, { group, state: "specialised" });
    container.loading.add(snapshot);
  }
  for (const { container } of plan.stops) (container as Container).state = "stopping";
  for (const group of pool.groups.values()) {
    for (const snapshot of group.eager) {
      const placed = pool.containers.some(
        ({ group: key, loaded, loading }) => key === group.key && (loaded.has(snapshot) || loading.has(snapshot)),
      );
      if (placed) (group.eager as Set<string>).delete(snapshot);
    }
  }
}

export const countOf = (pool: PoolState, key: string): number =>
  pool.containers.filter((container) => container.group === key && alive(container)).length;

export const quiet = (more: Partial<GroupView>): GroupView => ({
  ...{ key: "shop a", app: "shop" },
  imageKey: hostImageKey,
  classKey: python,
  maxContainers: 0,
  minContainers: 0,
  bufferContainers: 0,
  concurrency: 1,
  idleTimeoutMs: 0,
  blocked: 0,
  shells: 0,
  ...{ waitingInputs: 0, callMs: 0, waitingSinceMs: 0 },
  lanes: [[], [], [], []].map((wanted) => laneOf("q", wanted)),
  eager: new Set(),
  newest: "s1",
  ...more,
});

export const container = (id: string, more: Partial<Container> = {}): Container => ({
  id,
  node: "n1",
  image: "image of n1",
  classKey: python,
  state: "specialised",
  ...{ group: "shop a", shell: "", info: { gpus: [] } },
  inFlight: 0,
  idleSinceMs: nowMs,
  memoryBytes: 2 ** 26,
  loaded: new Set(),
  loading: new Set(),
  ...more,
});

export const poolOf = (containers: Container[], group: GroupView): PoolState => ({
  nodes: [nodeOf("n1")],
  demand: new Map(),
  containers,
  groups: new Map([[group.key, group]]),
});

export const oneCall = [[], ["s2"], [], []].map((wanted) => laneOf("q", wanted));

// The pools that the scheduler's tests decide on: their parts, and what carrying out a plan makes of them.

import { expect } from "vitest";
import {
  type ContainerView,
  defaultCap,
  type GroupView,
  type NodeView,
  type Plan,
  type PoolState,
  type QueuedCall,
} from "../../control/scheduler/decide.ts";
import { createLane } from "../../control/scheduler/lane.ts";
import { classKeyOf } from "../../control/scheduler/pools.ts";
import { hostImageKey } from "../../proto/image.ts";

export type Container = { -readonly [K in keyof ContainerView]: ContainerView[K] } & {
  loaded: Set<string>;
  loading: Set<string>;
};

export const python = classKeyOf({ cpu: 0, memoryBytes: 512 * 2 ** 20, language: "python", gpu: "", network: "internet" });
export const typescript = classKeyOf({
  cpu: 0,
  memoryBytes: 512 * 2 ** 20,
  language: "typescript",
  gpu: "",
  network: "internet",
});
export const large = classKeyOf({ cpu: 0, memoryBytes: 2 ** 31, language: "python", gpu: "", network: "internet" });
export const nowMs = 1_000_000_000;

export const nodeOf = (name: string, memoryUsed = 0): NodeView => ({
  ...{ name, cores: 2, memoryBytes: 2 ** 30, memoryUsedBytes: memoryUsed * 2 ** 30, schedulable: true },
  images: new Map([[hostImageKey, `image of ${name}`]]),
});

export function laneOf(prefix: string, wanted: string[]) {
  const lane = createLane<QueuedCall>();
  for (const [index, snapshot] of wanted.entries()) lane.push({ id: `${prefix}-${index}`, snapshot });
  return lane;
}

export const capOf = (pool: PoolState, group: GroupView): number =>
  (group.maxContainers || defaultCap(pool.nodes)) + Math.ceil(group.blocked / group.concurrency);

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
  key: "shop a",
  imageKey: hostImageKey,
  classKey: python,
  maxContainers: 0,
  minContainers: 0,
  bufferContainers: 0,
  concurrency: 1,
  idleTimeoutMs: 0,
  blocked: 0,
  shells: 0,
  waitingInputs: 0,
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
  group: "shop a",
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

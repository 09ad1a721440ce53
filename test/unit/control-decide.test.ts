// The scheduler's decision, over random pools: what must hold for every plan, whatever the pool looks like.

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type ContainerView,
  decide,
  defaultCap,
  type GroupView,
  type NodeView,
  type Plan,
  type PoolState,
  type QueuedCall,
} from "../../control/scheduler/decide.ts";
import { createLane } from "../../control/scheduler/lane.ts";
import { classKeyOf, hostImage } from "../../control/scheduler/pools.ts";

type Container = { -readonly [K in keyof ContainerView]: ContainerView[K] } & { loaded: Set<string>; loading: Set<string> };

const python = classKeyOf({ cpu: 0, memoryBytes: 512 * 2 ** 20, language: "python", gpu: "", network: "internet" });
const large = classKeyOf({ cpu: 0, memoryBytes: 2 ** 31, language: "python", gpu: "", network: "internet" });
const nowMs = 1_000_000_000;

const nodeNames = ["n1", "n2"];
const groupKeys = ["shop a", "shop b", "other"];
const snapshots = ["s1", "s2", "s3"];

const anyContainer = fc.record({
  node: fc.constantFrom(...nodeNames),
  classKey: fc.constantFrom(python, large),
  state: fc.constantFrom("starting" as const, "warm" as const, "specialised" as const, "stopping" as const),
  group: fc.constantFrom("", ...groupKeys, "gone"),
  inFlight: fc.constantFrom(0, 0, 1),
  idleMs: fc.constantFrom(0, 20_000, 3_600_000),
  loaded: fc.subarray(snapshots),
  loading: fc.subarray(snapshots),
});

const anyGroup = fc.record({
  classKey: fc.constantFrom(python, large),
  maxContainers: fc.constantFrom(0, 1, 3),
  minContainers: fc.constantFrom(0, 0, 2),
  blocked: fc.nat(2),
  lanes: fc.tuple(...[0, 1, 2, 3].map(() => fc.array(fc.constantFrom(...snapshots), { maxLength: 12 }))),
  eager: fc.subarray(snapshots),
  newest: fc.constantFrom("", "s3"),
});

function laneOf(prefix: string, wanted: string[]) {
  const lane = createLane<QueuedCall>();
  for (const [index, snapshot] of wanted.entries()) lane.push({ id: `${prefix}-${index}`, snapshot });
  return lane;
}

const anyPool: fc.Arbitrary<PoolState & { containers: Container[] }> = fc
  .record({
    nodes: fc.subarray(nodeNames, { minLength: 1 }),
    containers: fc.array(anyContainer, { maxLength: 24 }),
    groups: fc.array(anyGroup, { minLength: 1, maxLength: 3 }),
  })
  .map(({ nodes, containers, groups }) => ({
    nodes: nodes.map((name): NodeView => ({ name, cores: 2, images: new Map([[hostImage, `image of ${name}`]]) })),
    groups: new Map(
      groups.map((group, index): [string, GroupView] => {
        const key = groupKeys[index]!;
        const lanes = group.lanes.map((wanted, priority) => laneOf(`${key}-${priority}`, wanted));
        return [key, { ...group, key, imageKey: hostImage, lanes, eager: new Set(group.eager) }];
      }),
    ),
    containers: containers
      .filter(({ node }) => nodes.includes(node))
      .map(({ idleMs, loaded, loading, ...container }, index) => {
        const generic = container.state === "warm" || container.state === "starting";
        const group = generic ? "" : container.group || "gone";
        // A container belongs to a group only if its class is the group's.
        const classKey = groups[groupKeys.indexOf(group)]?.classKey ?? container.classKey;
        const idleSinceMs = nowMs - idleMs;
        const code = { loaded: new Set(generic ? [] : loaded), loading: new Set(generic ? [] : loading) };
        return { ...container, ...code, id: `c${index}`, image: `image of ${container.node}`, group, classKey, idleSinceMs };
      }),
  }));

const capOf = (pool: PoolState, group: GroupView): number => (group.maxContainers || defaultCap(pool.nodes)) + group.blocked;

const alive = (container: ContainerView): boolean => container.state === "warm" || container.state === "specialised";

/** The pool once the plan has been carried out: what control itself does to its state. */
function carryOut(pool: PoolState & { containers: Container[] }, plan: Plan): void {
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

const countOf = (pool: PoolState, key: string): number =>
  pool.containers.filter((container) => container.group === key && alive(container)).length;

const property = (name: string, holds: (pool: PoolState & { containers: Container[] }) => void) =>
  test(name, () => fc.assert(fc.property(anyPool, holds), { numRuns: 2_000 }));

property("a container never has two calls, and never those of another group, class or image", (pool) => {
  const before = new Map(pool.containers.map((container) => [container.id, { ...container }]));
  const plan = decide(pool, nowMs);
  const taken = new Set<string>();
  for (const { container, group } of plan.dispatches) {
    expect(before.get(container.id)!.inFlight).toBe(0);
    expect(taken.has(container.id)).toBe(false);
    taken.add(container.id);
    expect(container.classKey).toBe(pool.groups.get(group)!.classKey);
    expect(container.image).toBe(`image of ${container.node}`);
    expect(["", group]).toContain(before.get(container.id)!.group);
    expect(alive(before.get(container.id)!)).toBe(true);
  }
  const groups = new Map(plan.dispatches.map(({ container, group }) => [container.id, group]));
  for (const { container, group } of plan.loads) {
    expect(["", group]).toContain(before.get(container.id)!.group);
    expect(groups.get(container.id) ?? group).toBe(group);
    groups.set(container.id, group);
  }
  const fresh = plan.dispatches.filter(({ container, call }) => !container.loaded.has(call.snapshot));
  const pairs = [
    ...fresh.map(({ container, call }) => `${container.id} ${call.snapshot}`),
    ...plan.loads.map(({ container, snapshot }) => `${container.id} ${snapshot}`),
  ];
  expect(new Set(pairs).size).toBe(pairs.length);
});

property("no group grows beyond its limit", (pool) => {
  const before = new Map([...pool.groups.keys()].map((key) => [key, countOf(pool, key)]));
  carryOut(pool, decide(pool, nowMs));
  for (const group of pool.groups.values()) {
    expect(countOf(pool, group.key)).toBeLessThanOrEqual(Math.max(capOf(pool, group), before.get(group.key)!));
  }
});

property("no call waits while a container could take it", (pool) => {
  carryOut(pool, decide(pool, nowMs));
  for (const group of pool.groups.values()) {
    if (group.lanes.every((lane) => lane.size === 0)) continue;
    const idle = pool.containers.filter((container) => container.group === group.key && container.inFlight === 0);
    expect(idle.filter(alive)).toEqual([]);
    if (countOf(pool, group.key) >= capOf(pool, group)) continue;
    const generic = pool.containers.filter(
      (container) => container.group === "" && container.state === "warm" && container.inFlight === 0,
    );
    expect(generic.filter((container) => container.classKey === group.classKey)).toEqual([]);
  }
});

property("a group's calls go by priority, and within one in the order in which they came", (pool) => {
  const orders = new Map([...pool.groups.values()].map((group) => [group.key, group.lanes.flatMap((lane) => [...lane])]));
  const plan = decide(pool, nowMs);
  for (const [key, calls] of orders) {
    const placed = plan.dispatches.filter(({ group }) => group === key).map(({ call }) => call.id);
    expect(placed).toEqual(calls.slice(0, placed.length).map(({ id }) => id));
  }
});

property("when nothing changes, a second decision changes nothing", (pool) => {
  carryOut(pool, decide(pool, nowMs));
  const first = decide(pool, nowMs);
  carryOut(pool, first);
  const second = decide(pool, nowMs);
  expect([first, second].map(({ dispatches, loads }) => dispatches.length + loads.length)).toEqual([0, 0]);
  expect(second.stops).toEqual([]);
  expect(second.pools).toEqual(first.pools);
});

property("the same pool gives the same plan, and deciding changes nothing in it", (pool) => {
  const text = () => JSON.stringify(pool.containers, (_key, value) => (value instanceof Set ? [...value] : value));
  const before = text();
  const plan = decide(pool, nowMs);
  expect(text()).toBe(before);
  expect(decide(pool, nowMs)).toEqual(plan);
});

property("a busy container is never stopped, nor one that the plan uses", (pool) => {
  const plan = decide(pool, nowMs);
  const used = new Set([...plan.dispatches, ...plan.loads].map(({ container }) => container.id));
  for (const { container } of plan.stops) {
    expect(container.inFlight).toBe(0);
    expect(used.has(container.id)).toBe(false);
  }
});

const quiet = (more: Partial<GroupView>): GroupView => ({
  key: "shop a",
  imageKey: hostImage,
  classKey: python,
  maxContainers: 0,
  minContainers: 0,
  blocked: 0,
  lanes: [[], [], [], []].map((wanted) => laneOf("q", wanted)),
  eager: new Set(),
  newest: "s1",
  ...more,
});

const container = (id: string, more: Partial<Container> = {}): Container => ({
  id,
  node: "n1",
  image: "image of n1",
  classKey: python,
  state: "specialised",
  group: "shop a",
  inFlight: 0,
  idleSinceMs: nowMs,
  loaded: new Set(),
  loading: new Set(),
  ...more,
});

const poolOf = (containers: Container[], group: GroupView): PoolState => ({
  nodes: [{ name: "n1", cores: 2, images: new Map([[hostImage, "image of n1"]]) }],
  containers,
  groups: new Map([[group.key, group]]),
});

const oneCall = [[], ["s2"], [], []].map((wanted) => laneOf("q", wanted));

test("a call goes to a container that has its code, else to one that is loading it, else to an idle one, else to a generic one", () => {
  const containers = [
    container("generic", { group: "", state: "warm" }),
    container("idle"),
    container("loading", { loading: new Set(["s2"]) }),
    container("loaded", { loaded: new Set(["s2"]) }),
  ];
  const order: string[] = [];
  while (containers.length > 0) {
    const [first] = decide(poolOf(containers, quiet({ lanes: oneCall })), nowMs).dispatches;
    order.push(first!.container.id);
    containers.splice(
      containers.findIndex(({ id }) => id === first!.container.id),
      1,
    );
  }
  expect(order).toEqual(["loaded", "loading", "idle", "generic"]);
});

test("new code goes to every container of the group, and to one generic container when it has none", () => {
  const eager = new Set(["s2"]);
  const both = decide(poolOf([container("a"), container("b", { inFlight: 1 })], quiet({ eager })), nowMs);
  expect(both.loads.map((load) => load.container.id)).toEqual(["a", "b"]);
  const generic = ["x", "y"].map((id) => container(id, { group: "", state: "warm" }));
  const fresh = decide(poolOf(generic, quiet({ eager })), nowMs);
  expect(fresh.loads.map((load) => load.container.id)).toEqual(["x"]);
});

test("the reserve grows with the calls that wait, up to the limit, and shrinks again", () => {
  const waiting = [[], [], [], Array.from({ length: 50 }, () => "s1")].map((wanted) => laneOf("q", wanted));
  const pythonWish = (group: GroupView) =>
    decide(poolOf([], group), nowMs)
      .pools.get("n1")!
      .find(({ classKey }) => classKey === python)!.warm;
  expect(pythonWish(quiet({ lanes: waiting }))).toBe(2 + 4);
  expect(pythonWish(quiet({ lanes: waiting, maxContainers: 3 }))).toBe(2 + 3);
  expect(pythonWish(quiet({ minContainers: 3 }))).toBe(2 + 3);
  expect(pythonWish(quiet({}))).toBe(2);
});

test("containers that have been idle for long are stopped, but for those that a function wants kept", () => {
  const idle = ["a", "b"].map((id) => container(id, { idleSinceMs: nowMs - 601_000 }));
  const stopped = (group: GroupView) => decide(poolOf(idle, group), nowMs).stops.map((stop) => stop.container.id);
  expect(stopped(quiet({}))).toEqual(["a", "b"]);
  expect(stopped(quiet({ minContainers: 1 }))).toEqual(["a"]);
});

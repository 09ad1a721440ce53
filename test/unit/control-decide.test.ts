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
import { classKeyOf, hostImage, kindKey, raised } from "../../control/scheduler/pools.ts";

type Container = { -readonly [K in keyof ContainerView]: ContainerView[K] } & { loaded: Set<string>; loading: Set<string> };

const python = classKeyOf({ cpu: 0, memoryBytes: 512 * 2 ** 20, language: "python", gpu: "", network: "internet" });
const typescript = classKeyOf({ cpu: 0, memoryBytes: 512 * 2 ** 20, language: "typescript", gpu: "", network: "internet" });
const large = classKeyOf({ cpu: 0, memoryBytes: 2 ** 31, language: "python", gpu: "", network: "internet" });
const nowMs = 1_000_000_000;

const nodeNames = ["n1", "n2"];
const groupKeys = ["shop a", "shop b", "other"];
const snapshots = ["s1", "s2", "s3"];

const anyContainer = fc.record({
  node: fc.constantFrom(...nodeNames),
  classKey: fc.constantFrom(python, large),
  state: fc.constantFrom("created" as const, "starting" as const, "warm" as const, "specialised" as const, "stopping" as const),
  group: fc.constantFrom("", ...groupKeys, "gone"),
  inFlight: fc.constantFrom(0, 0, 1, 2),
  memoryBytes: fc.constantFrom(0, 2 ** 26),
  idleMs: fc.constantFrom(0, 20_000, 3_600_000),
  loaded: fc.subarray(snapshots),
  loading: fc.subarray(snapshots),
});

const anyGroup = fc.record({
  classKey: fc.constantFrom(python, large),
  maxContainers: fc.constantFrom(0, 1, 3),
  minContainers: fc.constantFrom(0, 0, 2),
  bufferContainers: fc.constantFrom(0, 0, 1, 2),
  concurrency: fc.constantFrom(1, 1, 3),
  idleTimeoutMs: fc.constantFrom(0, 5_000),
  blocked: fc.nat(2),
  shells: fc.nat(1),
  lanes: fc.tuple(...[0, 1, 2, 3].map(() => fc.array(fc.constantFrom(...snapshots), { maxLength: 12 }))),
  eager: fc.subarray(snapshots),
  newest: fc.constantFrom("", "s3"),
});

const nodeOf = (name: string, memoryUsed = 0): NodeView => ({
  ...{ name, cores: 2, memoryBytes: 2 ** 30, memoryUsedBytes: memoryUsed * 2 ** 30 },
  images: new Map([[hostImage, `image of ${name}`]]),
});

function laneOf(prefix: string, wanted: string[]) {
  const lane = createLane<QueuedCall>();
  for (const [index, snapshot] of wanted.entries()) lane.push({ id: `${prefix}-${index}`, snapshot });
  return lane;
}

const anyPool: fc.Arbitrary<PoolState & { containers: Container[] }> = fc
  .record({
    nodes: fc.subarray(nodeNames, { minLength: 1 }),
    memoryUsed: fc.constantFrom(0.1, 0.87, 0.93, 0.99),
    containers: fc.array(anyContainer, { maxLength: 24 }),
    groups: fc.array(anyGroup, { minLength: 1, maxLength: 3 }),
  })
  .map(({ nodes, memoryUsed, containers, groups }) => ({
    nodes: nodes.map((name) => nodeOf(name, memoryUsed)),
    demand: new Map(),
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
        const generic = container.state === "warm" || container.state === "starting" || container.state === "created";
        const group = generic ? "" : container.group || "gone";
        // A container belongs to a group only if its class is the group's.
        const classKey = groups[groupKeys.indexOf(group)]?.classKey ?? container.classKey;
        const idleSinceMs = nowMs - idleMs;
        const code = { loaded: new Set(generic ? [] : loaded), loading: new Set(generic ? [] : loading) };
        return { ...container, ...code, id: `c${index}`, image: `image of ${container.node}`, group, classKey, idleSinceMs };
      }),
  }));

const capOf = (pool: PoolState, group: GroupView): number =>
  (group.maxContainers || defaultCap(pool.nodes)) + Math.ceil(group.blocked / group.concurrency);

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

property("a container never has more calls than its functions take, and never those of another group, class or image", (pool) => {
  const before = new Map(pool.containers.map((container) => [container.id, { ...container }]));
  const plan = decide(pool, nowMs);
  const calls = new Map<string, number>();
  for (const { container, group } of plan.dispatches) {
    const count = (calls.get(container.id) ?? before.get(container.id)!.inFlight) + 1;
    expect(count).toBeLessThanOrEqual(pool.groups.get(group)!.concurrency);
    calls.set(container.id, count);
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
    ...new Set(fresh.map(({ container, call }) => `${container.id} ${call.snapshot}`)),
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
    const open = pool.containers.filter((container) => container.group === group.key && container.inFlight < group.concurrency);
    expect(open.filter(alive)).toEqual([]);
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

property("a container serves one app only, through any number of decisions", (pool) => {
  const owner = new Map(pool.containers.map(({ id, group }) => [id, group]));
  for (let round = 0; round < 6; round++) {
    carryOut(pool, decide(pool, nowMs + round * 400_000));
    for (const container of pool.containers) {
      const before = owner.get(container.id)!;
      if (before !== "") expect(container.group).toBe(before);
      owner.set(container.id, container.group);
      if (round % 2 === 1)
        Object.assign(container, { inFlight: 0, loaded: new Set([...container.loaded, ...container.loading]) });
    }
    for (const group of pool.groups.values())
      for (const lane of group.lanes) (lane as ReturnType<typeof laneOf>).push({ id: `${group.key} ${round}`, snapshot: "s3" });
  }
});

property("what a function wants kept is never ended for the sake of others, nor for being idle", (pool) => {
  const plan = decide(pool, nowMs);
  carryOut(pool, plan);
  for (const group of pool.groups.values()) {
    if (group.newest === "" || !plan.stops.some(({ container }) => container.group === group.key)) continue;
    const least = Math.min(group.minContainers, capOf(pool, group));
    expect(countOf(pool, group.key)).toBeGreaterThanOrEqual(least);
  }
});

const quiet = (more: Partial<GroupView>): GroupView => ({
  key: "shop a",
  imageKey: hostImage,
  classKey: python,
  maxContainers: 0,
  minContainers: 0,
  bufferContainers: 0,
  concurrency: 1,
  idleTimeoutMs: 0,
  blocked: 0,
  shells: 0,
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
  memoryBytes: 2 ** 26,
  loaded: new Set(),
  loading: new Set(),
  ...more,
});

const poolOf = (containers: Container[], group: GroupView): PoolState => ({
  nodes: [nodeOf("n1")],
  demand: new Map(),
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

test("a container takes as many calls as its function's concurrency, the least busy of equals first", () => {
  const wanted = [[], ["s1", "s1", "s1", "s1", "s1"], [], []].map((calls) => laneOf("q", calls));
  const containers = [container("a", { inFlight: 2 }), container("b")].map((one) => ({ ...one, loaded: new Set(["s1"]) }));
  const plan = decide(poolOf(containers, quiet({ concurrency: 3, lanes: wanted })), nowMs);
  expect(plan.dispatches.map((step) => step.container.id)).toEqual(["b", "b", "a", "b"]);
  expect(plan.pools.get("n1")!.find(({ classKey }) => classKey === python)!.warm).toBe(2 + 1); // the fifth waits
});

test("a buffer stands ready beyond the busy containers, loaded, and shrinks with them when its idle time is over", () => {
  const generic = ["x", "y", "z"].map((id) => container(id, { group: "", state: "warm" }));
  const busy = ["a", "b"].map((id) => container(id, { inFlight: 1 }));
  const plan = decide(poolOf([...busy, ...generic], quiet({ bufferContainers: 2 })), nowMs);
  expect(plan.loads.map((load) => [load.container.id, load.snapshot])).toEqual([
    ["x", "s1"],
    ["y", "s1"],
  ]);
  const idle = ["a", "b", "c"].map((id, index) => container(id, { idleSinceMs: nowMs - 2_000 - index }));
  const stopped = (idleTimeoutMs: number) =>
    decide(poolOf(idle, quiet({ bufferContainers: 1, idleTimeoutMs })), nowMs).stops.map((stop) => stop.container.id);
  expect(stopped(2_000)).toEqual(["c", "b"]); // the longest idle first; one is the buffer
  expect(stopped(5_000)).toEqual([]);
});

test("when memory is short the longest idle containers end until it is not, but for those that a function wants kept", () => {
  const idle = ["a", "b", "c", "d"].map((id, index) => container(id, { idleSinceMs: nowMs - index }));
  const evicted = (memoryUsed: number, group: GroupView, containers = idle) =>
    decide({ ...poolOf(containers, group), nodes: [nodeOf("n1", memoryUsed)] }, nowMs).stops.map((stop) => stop.container.id);
  expect(evicted(0.9, quiet({}))).toEqual([]);
  expect(evicted(0.95, quiet({}))).toEqual(["d", "c"]); // a sixteenth of the node's memory each
  expect(evicted(0.95, quiet({ minContainers: 3 }))).toEqual(["d"]);
  const ending = idle.map((one) => (one.id === "d" ? { ...one, state: "stopping" as const } : one));
  expect(evicted(0.95, quiet({}), ending)).toEqual(["c"]);
});

test("an idle container makes room for another app that waits, where there is not enough for both", () => {
  const waits = quiet({ key: "words", lanes: [[], ["s9"], [], []].map((wanted) => laneOf("q", wanted)) });
  const idle = ["a", "b"].map((id, index) => container(id, { idleSinceMs: nowMs - index }));
  const stopped = (memoryUsed: number) => {
    const pool = poolOf(idle, quiet({}));
    return decide(
      { ...pool, nodes: [nodeOf("n1", memoryUsed)], groups: new Map([...pool.groups, [waits.key, waits]]) },
      nowMs,
    ).stops.map(({ container: { id }, reason }) => [id, reason]);
  };
  expect(stopped(0.5)).toEqual([]);
  expect(stopped(0.85)).toEqual([["b", "another app waits for its place"]]);
});

// In the field: on a machine with one card, `hob shell` of a function that had been called waited for ever.
test("an idle container with a GPU makes room for a shell of its own group, which takes a container for itself", () => {
  const classKey = "0 0 python internet any";
  const gpu = (id: string, changes = {}) => container(id, { classKey, idleSinceMs: nowMs, ...changes });
  const stopped = (shells: number, ...containers: Container[]) =>
    decide(poolOf(containers, quiet({ classKey, shells })), nowMs).stops.map(({ container: { id }, reason }) => [id, reason]);
  expect(stopped(0, gpu("a"))).toEqual([]);
  expect(stopped(1, gpu("a"))).toEqual([["a", "a shell waits for its place"]]);
  expect(stopped(1, gpu("a", { inFlight: 1 }))).toEqual([]);
  expect(stopped(1, gpu("a"), gpu("b", { state: "stopping" }))).toEqual([]);
  const wished = [0, 1].map((shells) => decide(poolOf([], quiet({ classKey, shells })), nowMs).pools.get("n1"));
  const warm = wished.map((pools) => pools?.find((wish) => wish.classKey === classKey)?.warm ?? 0);
  expect(warm[1]).toBe(warm[0]! + 1); // so that it goes before other kinds that only stand ready
});

test("what was taken lately stands ready again, warm as far as memory allows, quiet halves it each minute, and short memory empties it", () => {
  let taken = raised(undefined, nowMs);
  for (let i = 1; i < 100; i++) taken = raised(taken, nowMs);
  const wish = (laterMs: number, memoryUsed = 0.1, kind = python) => {
    const pool = { ...poolOf([], quiet({})), demand: new Map([[kindKey(hostImage, kind), taken]]) };
    const plan = decide({ ...pool, nodes: [nodeOf("n1", memoryUsed)] }, nowMs + laterMs);
    const { warm, reserve } = plan.pools.get("n1")!.find(({ classKey }) => classKey === kind)!;
    return [warm, reserve];
  };
  expect(wish(0, 0)).toEqual([2 + 6, 2 + 51]); // a tenth of the free memory, 16 MiB each or 2 MiB each, is less than the hundred
  expect(wish(60_000)).toEqual([2 + 5, 2 + 45]);
  expect(wish(180_000)).toEqual([2 + 5, 2 + 8]);
  expect(wish(600_000)).toEqual([2, 2]);
  expect(wish(0, 0.95)).toEqual([0, 0]);
  expect(wish(180_000, 0.1, typescript)).toEqual([2, 2 + 13]); // one alone would be more than a tenth
});

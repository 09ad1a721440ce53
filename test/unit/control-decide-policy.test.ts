// The scheduler's policy: what is promised is there, apps have equal shares, a person waits for one slice at most, growing and shrinking settle.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { GroupView, NodeView } from "../../control/scheduler/decide.ts";
import { createPoolIndex } from "../../control/scheduler/pool-index.ts";
import { classKeyOf } from "../../control/scheduler/pools.ts";
import { reserveOf } from "../../control/scheduler/room.ts";
import { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../../proto/image.ts";
import {
  type Container,
  carryOut,
  container,
  decide,
  laneOf,
  nodeOf,
  nowMs,
  type PoolState,
  poolOf,
  python,
  quiet,
  viewOf,
} from "./decide-pools.ts";

const GiB = 2 ** 30;
const classOf = (cpu: number, memoryBytes = GiB / 2, gpu = ""): string =>
  classKeyOf({ cpu, memoryBytes, language: "python", gpu, network: "internet" });

const waiting = (...sizes: number[]) =>
  [0, 1, 2, 3].map((lane) =>
    laneOf(
      `q${lane}`,
      Array.from({ length: sizes[lane] ?? 0 }, () => "s1"),
    ),
  );

interface World extends PoolState {
  nodes: NodeView[];
  containers: Container[];
}

/** Nodes make what they are asked for at once; what ends is gone at once, and every call takes one round. */
function carryOutOn(world: World, atMs: number, fresh: () => string): void {
  const plan = decide(world, atMs);
  carryOut(world, plan);
  for (const group of world.groups.values()) {
    const waits = group.lanes.some(({ size }) => size > 0) && !plan.dispatches.some(({ group: key }) => key === group.key);
    Object.assign(group, { waitingSinceMs: waits ? group.waitingSinceMs || atMs : 0 });
  }
  world.containers = world.containers.filter(({ state }) => state !== "stopping");
  for (const [node, wished] of plan.pools) {
    for (const { image, classKey, warm } of wished) {
      const have = world.containers.filter((one) => one.node === node && one.group === "" && one.classKey === classKey).length;
      for (let i = have; i < warm; i++) {
        world.containers.push(container(fresh(), { node, image, classKey, group: "", state: "warm" }));
      }
    }
  }
}

function finishCalls(world: World, atMs: number): void {
  for (const one of world.containers) {
    if (one.inFlight > 0) one.idleSinceMs = atMs;
    one.inFlight = 0;
    for (const snapshot of one.loading) one.loaded.add(snapshot);
    one.loading.clear();
  }
}

function reservedOn(world: World, node: string): { cpu: number; memoryBytes: number } {
  const sum = { cpu: 0, memoryBytes: 0 };
  for (const { node: on, group, classKey } of world.containers) {
    if (on !== node || group === "") continue;
    sum.cpu += reserveOf(classKey).cpu;
    sum.memoryBytes += reserveOf(classKey).memoryBytes;
  }
  return sum;
}

const anyDemand = fc.record({
  app: fc.constantFrom("a", "b", "c"),
  cpu: fc.constantFrom(0, 0.5, 1, 2),
  memoryBytes: fc.constantFrom(GiB / 2, GiB, 2 * GiB),
  minContainers: fc.constantFrom(0, 0, 1),
  concurrency: fc.constantFrom(1, 1, 3),
  lanes: fc.tuple(fc.nat(2), fc.nat(3), fc.nat(3), fc.nat(20)),
  callMs: fc.constantFrom(0, 1, 400),
  waitingInputs: fc.constantFrom(0, 5_000),
});

const anyWorld: fc.Arbitrary<World> = fc
  .record({
    nodes: fc.array(fc.record({ cores: fc.constantFrom(2, 4), memory: fc.constantFrom(2, 6) }), { minLength: 1, maxLength: 3 }),
    groups: fc.array(anyDemand, { minLength: 1, maxLength: 5 }),
  })
  .map(({ nodes, groups }) => ({
    nodes: nodes.map(({ cores, memory }, index) => ({ ...nodeOf(`n${index}`), cores, memoryBytes: memory * GiB })),
    containers: [],
    demand: new Map(),
    groups: new Map(
      groups.map(({ cpu, memoryBytes, lanes, ...group }, index): [string, GroupView] => {
        const key = `${group.app} ${index}`;
        return [key, quiet({ ...group, key, classKey: classOf(cpu, memoryBytes), lanes: waiting(...lanes) })];
      }),
    ),
  }));

const worlds = (name: string, holds: (world: World) => void): void =>
  test(name, () => fc.assert(fc.property(anyWorld, holds), { numRuns: 300 }));

function counter(): () => string {
  let last = 0;
  return () => `c${++last}`;
}

worlds("no node ever promises more cores or memory than it has", (world) => {
  const fresh = counter();
  for (let round = 0; round < 12; round++) {
    carryOutOn(world, nowMs + round * 1_000, fresh);
    for (const node of world.nodes) {
      const { cpu, memoryBytes } = reservedOn(world, node.name);
      expect(cpu).toBeLessThanOrEqual(node.cores + 1e-6);
      expect(memoryBytes).toBeLessThanOrEqual(node.memoryBytes);
    }
    if (round % 2 === 1) finishCalls(world, nowMs + round * 1_000);
  }
});

worlds(
  "every call that fits on some node runs in the end, whatever the others ask for, and then the pool comes to rest",
  (world) => {
    const fresh = counter();
    const fits = (classKey: string): boolean => {
      const { cpu, memoryBytes } = reserveOf(classKey);
      return world.nodes.some((node) => cpu <= node.cores && memoryBytes <= node.memoryBytes);
    };
    // What a function wants kept is kept, also from others: only groups without a least may be counted on to give way.
    for (const group of world.groups.values()) Object.assign(group, { minContainers: 0, waitingInputs: 0 });
    const left = () =>
      [...world.groups.values()].filter(({ classKey, lanes }) => fits(classKey) && lanes.some(({ size }) => size > 0));
    let round = 0;
    for (; round < 400 && left().length > 0; round++) {
      carryOutOn(world, nowMs + round * 1_000, fresh);
      finishCalls(world, nowMs + round * 1_000);
    }
    expect(left().map(({ key }) => key)).toEqual([]);
    for (let more = 0; more < 3; more++) carryOutOn(world, nowMs + round * 1_000, fresh);
    const { dispatches, loads, stops } = decide(world, nowMs + round * 1_000);
    expect({ dispatches, loads, stops }).toEqual({ dispatches: [], loads: [], stops: [] });
  },
);

worlds("a function that nobody calls any more has no container in the end, but for those that it wants kept", (world) => {
  const fresh = counter();
  carryOutOn(world, nowMs, fresh);
  carryOutOn(world, nowMs, fresh);
  finishCalls(world, nowMs);
  for (const group of world.groups.values()) {
    Object.assign(group, { lanes: waiting(), waitingInputs: 0, minContainers: Math.min(group.minContainers, 1) });
  }
  for (let round = 0; round < 3; round++) carryOutOn(world, nowMs + 700_000, fresh);
  for (const group of world.groups.values()) {
    const count = world.containers.filter((one) => one.group === group.key).length;
    expect(count).toBeLessThanOrEqual(group.minContainers);
  }
});

test("the pool as it is kept up to date is the pool as it would be counted anew", () => {
  const steps = fc.array(
    fc.record({
      id: fc.nat(7),
      node: fc.constantFrom("n1", "n2"),
      state: fc.constantFrom("starting" as const, "warm" as const, "specialised" as const, "stopping" as const),
      group: fc.constantFrom("", "shop a", "shop b"),
      inFlight: fc.constantFrom(0, 1),
      what: fc.constantFrom("change", "change", "change", "gone", "cordon", "full", "away"),
    }),
    { maxLength: 40 },
  );
  const plain = (pool: ReturnType<typeof viewOf>) => ({
    places: [...pool.places]
      .map(([key, { all, idle, parked }]) => [key, ids(all), ids(idle.oldest()), ids(parked)])
      .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
    generic: [...pool.generic].map(([kind, on]) => [kind, ids([...on.values()].flatMap((here) => [...here]))]).sort(),
    nodes: [...pool.nodes.values()]
      .map(({ node, cpu, memoryBytes, ending, count, groups, containers, position }) => ({
        ...{ name: node.name, cpu, memoryBytes, ending, count, groups: [...groups].sort(), containers: ids(containers) },
        open: position >= 0,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    ...{
      cores: pool.cores,
      ending: ids(pool.ending),
      short: pool.short.size,
      ring: pool.ring.map(({ node }) => node.name).sort(),
    },
    positions: pool.ring.every(({ position }, index) => position === index),
  });
  const ids = (containers: Iterable<{ id: string }>): string[] => [...containers].map(({ id }) => id).sort();
  fc.assert(
    fc.property(steps, (changes) => {
      const index = createPoolIndex();
      const nodes = new Map(["n1", "n2"].map((name) => [name, { ...nodeOf(name) }]));
      const containers = new Map<number, Container>();
      for (const node of nodes.values()) index.node(node);
      for (const { id, node: name, state, group, inFlight, what } of changes) {
        const node = nodes.get(name);
        const known = containers.get(id);
        if (what === "away") {
          nodes.delete(name);
          index.nodeGone(name);
          for (const [key, one] of containers) if (one.node === name) containers.delete(key);
        } else if (what === "cordon" || what === "full") {
          if (!node) continue;
          Object.assign(node, what === "cordon" ? { schedulable: !node.schedulable } : { memoryUsedBytes: GiB });
          index.node(node);
        } else if (known && what === "gone") {
          containers.delete(id);
          index.containerGone(known);
        } else if (known || node) {
          const one = known ?? container(`c${id}`, { node: name, image: `image of ${name}`, classKey: classOf(id / 2) });
          containers.set(id, Object.assign(one, { state, group, inFlight }));
          index.container(one);
        }
        if (id % 3 === 0) index.current();
      }
      const pool = poolOf([...containers.values()], quiet({}));
      expect(plain({ ...viewOf(pool), ...index.current() })).toEqual(plain(viewOf({ ...pool, nodes: [...nodes.values()] })));
    }),
  );
});

/** Apps with one function each, all of one class, and nodes of that size. */
function contended(apps: string[], cpu: number, lanes: (app: string) => ReturnType<typeof waiting>, cores = 4): World {
  const groups = apps.map((app) => quiet({ key: app, app, classKey: classOf(cpu), lanes: lanes(app) }));
  const nodes = [{ ...nodeOf("n1"), cores, memoryBytes: 64 * GiB }];
  return { nodes, containers: [], demand: new Map(), groups: new Map(groups.map((group) => [group.key, group])) };
}

const countsOf = (world: World): Record<string, number> =>
  Object.fromEntries([...world.groups.keys()].map((key) => [key, world.containers.filter(({ group }) => group === key).length]));

test("a batch that has every place gives half of them to another app's, a slice at a time, and there it stays", () => {
  const fresh = counter();
  const world = contended(["a", "b"], 1, (app) => waiting(0, 0, 0, app === "a" ? 1_000 : 0));
  for (let round = 0; round < 4; round++) carryOutOn(world, nowMs, fresh);
  expect(countsOf(world)).toEqual({ a: 4, b: 0 });
  Object.assign(world.groups.get("b")!, { lanes: waiting(0, 0, 0, 1_000) });
  const seen: Record<string, number>[] = [];
  for (let round = 0; round < 12; round++) {
    finishCalls(world, nowMs + round * 100);
    carryOutOn(world, nowMs + round * 100, fresh);
    seen.push(countsOf(world));
  }
  expect(seen.slice(-4)).toEqual(Array.from({ length: 4 }, () => ({ a: 2, b: 2 })));
});

test("a person's call waits for one slice of a batch that has every place, and the batch goes on in the others", () => {
  const fresh = counter();
  const world = contended(["batch", "person"], 1, (app) => waiting(0, 0, 0, app === "batch" ? 1_000 : 0));
  for (let round = 0; round < 4; round++) carryOutOn(world, nowMs, fresh);
  expect(countsOf(world)).toEqual({ batch: 4, person: 0 });
  Object.assign(world.groups.get("person")!, { lanes: waiting(0, 1) });
  carryOutOn(world, nowMs, fresh); // all are busy: nothing can be done
  expect(countsOf(world)).toEqual({ batch: 4, person: 0 });
  const [first] = world.containers.filter(({ group }) => group === "batch");
  Object.assign(first!, { inFlight: 0, idleSinceMs: nowMs + 10 }); // the first slice ends
  carryOutOn(world, nowMs + 10, fresh);
  carryOutOn(world, nowMs + 20, fresh);
  expect(countsOf(world)).toEqual({ batch: 3, person: 1 });
  expect(world.groups.get("person")!.lanes[1]!.size).toBe(0);
});

test("with fewer places than apps, each has its turn", () => {
  const fresh = counter();
  const apps = ["a", "b", "c"];
  const world = contended(apps, 2, () => waiting(0, 0, 0, 200), 2);
  const served = new Set<string>();
  for (let round = 0; round < 20; round++) {
    carryOutOn(world, nowMs + round * 1_000, fresh);
    for (const { group, inFlight } of world.containers) if (inFlight > 0) served.add(group);
    finishCalls(world, nowMs + round * 1_000);
  }
  expect([...served].sort()).toEqual(apps);
});

test("devices are counted: the wishes of a node never ask for more than it has free, by model", () => {
  const gpus = ["a", "b"].map((uuid) => Gpu.fromPartial({ uuid, name: "NVIDIA H100 80GB HBM3" }));
  const other = { ...nodeOf("n2"), info: { gpus: [Gpu.fromPartial({ uuid: "c", name: "NVIDIA L4" })] } };
  const classKey = classOf(0, GiB / 2, "H100");
  const pool = { ...poolOf([], quiet({ classKey, lanes: waiting(0, 5) })), nodes: [{ ...nodeOf("n1"), info: { gpus } }, other] };
  const warm = (state: PoolState, node: string) =>
    decide(state, nowMs)
      .pools.get(node)!
      .reduce((sum, wish) => sum + (wish.classKey === classKey ? wish.warm : 0), 0);
  expect([warm(pool, "n1"), warm(pool, "n2")]).toEqual([2, 0]);
  const holder = container("x", { classKey, group: "shop a", inFlight: 1, info: { gpus: ["b"] } });
  expect(warm({ ...pool, containers: [holder] }, "n1")).toBe(1);
});

test("containers of one function are spread over the nodes, and what is made goes where the image is, then where most is free", () => {
  const nodes = ["n1", "n2", "n3"].map((name) => ({ ...nodeOf(name), images: new Map([[hostImageKey, "i"]]) }));
  const generic = nodes.flatMap(({ name }) =>
    [1, 2, 3].map((n) => container(`${name}-${n}`, { node: name, image: "i", group: "", state: "warm" })),
  );
  const spread = decide({ ...poolOf(generic, quiet({ lanes: waiting(0, 6) })), nodes }, nowMs).dispatches;
  const counts = [...Map.groupBy(spread, (step) => step.container.node).values()].map(({ length }) => length);
  expect(counts).toEqual([2, 2, 2]);
  const made = (locals: number[], group: Partial<GroupView>) => {
    const images = new Map([["other", "d"]]);
    const given = nodes.map((node, index) => ({ ...node, images, localShare: () => locals[index]! }));
    const pool = { ...poolOf([], quiet({ imageKey: "other", ...group })), nodes: given };
    const plan = decide(pool, nowMs);
    return given.map(({ name }) => plan.pools.get(name)!.find(({ image }) => image === "d")!.warm - 1);
  };
  expect(made([0, 1, 0], { lanes: waiting(0, 2) })).toEqual([0, 2, 0]);
  expect(made([0.6, 0, 0.1], { lanes: waiting(0, 3) })).toEqual([3, 0, 0]);
  expect(made([0, 0, 0], { lanes: waiting(0, 3) })).toEqual([1, 1, 1]);
  expect(made([0, 1, 0], { lanes: waiting(0, 3), classKey: classOf(1) })).toEqual(expect.arrayContaining([2, 1, 0])); // two cores there
});

test("short calls that wait get no container of their own, long ones do, and so do all when nothing moves", () => {
  const pool = (more: Partial<GroupView>) => {
    const generic = Array.from({ length: 8 }, (_, n) => container(`g${n}`, { group: "", state: "warm" }));
    return poolOf(
      [container("own", { inFlight: 1 }), ...generic],
      quiet({ maxContainers: 6, lanes: waiting(0, 0, 0, 5), ...more }),
    );
  };
  const grows = (more: Partial<GroupView>) => decide(pool(more), nowMs).dispatches.length;
  expect(grows({ callMs: 0 })).toBe(5);
  expect(grows({ callMs: 1 })).toBe(1);
  expect(grows({ callMs: 50 })).toBe(3);
  expect(grows({ callMs: 400 })).toBe(5);
  expect(grows({ callMs: 1, waitingInputs: 300 })).toBe(4);
  expect(grows({ callMs: 1, waitingSinceMs: nowMs - 200 })).toBe(5);
  expect(grows({ callMs: 1, lanes: waiting(0, 5) })).toBe(5); // a person does not wait
  const beside = { waitingInputs: 300, lanes: waiting(0, 5) };
  expect(grows({ callMs: 1, ...beside })).toBe(0); // but for inputs of a map that take a millisecond
  expect(grows({ callMs: 1, ...beside, lanes: waiting(0, 20) })).toBe(2); // if it is a few of them
  expect(grows({ callMs: 20, ...beside })).toBe(5);
  expect(grows({ callMs: 1, ...beside, waitingSinceMs: nowMs - 200 })).toBe(5);
  expect(decide(pool({ callMs: 1 }), nowMs).againMs).toBe(nowMs + 100);
  const wish = (more: Partial<GroupView>) =>
    decide(poolOf([container("own", { inFlight: 1 })], quiet({ lanes: waiting(0, 0, 0, 1), maxContainers: 40, ...more })), nowMs)
      .pools.get("n1")!
      .find(({ classKey }) => classKey === python)!.warm;
  expect(wish({ callMs: 10, waitingInputs: 100 })).toBe(2 + 11); // a second of work
  expect(wish({ callMs: 10, waitingInputs: 100_000 })).toBe(2 + 39);
});

test("a batch takes a function's containers up to its limit; beyond that there is room for persons' calls, which no batch takes", () => {
  const busy = ["a", "b", "c", "d"].map((id) => container(id, { inFlight: 1 }));
  const generic = ["x", "y", "z"].map((id) => container(id, { group: "", state: "warm" }));
  const placed = (containers: Container[], ...sizes: number[]) =>
    decide(poolOf(containers, quiet({ lanes: waiting(...sizes) })), nowMs).dispatches.map(({ call }) => call.id);
  expect(placed([...busy, ...generic], 0, 0, 0, 5)).toEqual([]);
  expect(placed([...busy, ...generic], 0, 3, 0, 5)).toEqual(["q1-0", "q1-1"]);
  expect(placed([...busy, container("own")], 0, 0, 0, 5)).toEqual([]);
  expect(placed([...busy, container("own")], 0, 1, 0, 5)).toEqual(["q1-0"]);
  expect(placed([...busy.slice(1), container("own")], 0, 0, 0, 5)).toEqual(["q3-0"]);
});

// The scheduler's decision, over random pools: what must hold for every plan, whatever the pool looks like.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { GroupView } from "../../control/scheduler/decide.ts";
import { hasRoom, reserveOf } from "../../control/scheduler/room.ts";
import { hostImageKey } from "../../proto/image.ts";
import {
  alive,
  type Container,
  capOf,
  carryOut,
  countOf,
  decide,
  laneOf,
  large,
  nodeOf,
  nowMs,
  type PoolState,
  personsCapOf,
  python,
  viewOf,
} from "./decide-pools.ts";

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

const extra = { waitingInputs: 0, callMs: 0, waitingSinceMs: 0 };

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
        return [
          key,
          { ...group, ...extra, key, app: key.split(" ")[0]!, imageKey: hostImageKey, lanes, eager: new Set(group.eager) },
        ];
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
        return {
          ...container,
          ...code,
          shell: "",
          info: { gpus: [] },
          id: `c${index}`,
          image: `image of ${container.node}`,
          group,
          classKey,
          idleSinceMs,
        };
      }),
  }));

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

property("no group grows beyond its limit, but for persons' calls, and then by the room that is kept for those", (pool) => {
  const limits = new Map<string, number>();
  for (const [key, group] of pool.groups) {
    const persons = group.lanes[0]!.size + group.lanes[1]!.size > 0;
    limits.set(key, persons ? personsCapOf(pool, group) : capOf(pool, group));
  }
  const before = new Map([...pool.groups.keys()].map((key) => [key, countOf(pool, key)]));
  carryOut(pool, decide(pool, nowMs));
  for (const group of pool.groups.values()) {
    expect(countOf(pool, group.key)).toBeLessThanOrEqual(Math.max(limits.get(group.key)!, before.get(group.key)!));
  }
});

property("no call waits while a container could take it", (pool) => {
  carryOut(pool, decide(pool, nowMs));
  for (const group of pool.groups.values()) {
    if (group.lanes.every((lane) => lane.size === 0)) continue;
    const person = group.lanes[0]!.size + group.lanes[1]!.size > 0;
    const contended = [...pool.groups.values()].some((other) => other !== group && other.lanes.some((lane) => lane.size > 0));
    if (!person && contended) continue; // its places may be on their way to the other, also where that is of the same app
    const own = pool.containers.filter((container) => container.group === group.key && alive(container));
    const busy = own.filter(({ inFlight }) => inFlight > 0).length;
    if (!person && group.concurrency === 1 && busy >= capOf(pool, group)) continue; // the rest is there for persons
    const open = pool.containers.filter((container) => container.group === group.key && container.inFlight < group.concurrency);
    expect(open.filter(alive)).toEqual([]);
    if (countOf(pool, group.key) >= (person ? personsCapOf(pool, group) : capOf(pool, group))) continue;
    const generic = pool.containers.filter(
      (container) => container.group === "" && container.state === "warm" && container.inFlight === 0,
    );
    const kind = generic.filter((container) => container.classKey === group.classKey);
    const { nodes } = viewOf(pool);
    expect(kind.filter(({ node }) => hasRoom(nodes.get(node)!, reserveOf(group.classKey)))).toEqual([]);
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

// What one decision ends may leave room for more: that is a change. 80,000 pools had one that needed a third decision.
property("when nothing changes, decisions soon change nothing, and the first that does not is the last", (pool) => {
  const plans = Array.from({ length: 6 }, () => {
    const plan = decide(pool, nowMs);
    carryOut(pool, plan);
    return plan;
  });
  const changes = plans.map(({ dispatches, loads, stops }) => dispatches.length + loads.length + stops.length);
  const rest = changes.indexOf(0);
  expect(rest).toBeGreaterThanOrEqual(0);
  for (const later of plans.slice(rest + 1)) {
    expect([later.dispatches, later.loads, later.stops]).toEqual([[], [], []]);
    expect(later.pools).toEqual(plans[rest]!.pools);
  }
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

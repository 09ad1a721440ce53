// The scheduler's decision, one situation a test: who gets a call, what is loaded where, what ends.

import { expect, test } from "vitest";
import type { GroupView } from "../../control/scheduler/decide.ts";
import { kindKey, raised } from "../../control/scheduler/pools.ts";
import { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../../proto/image.ts";
import {
  type Container,
  container,
  decide,
  laneOf,
  nodeOf,
  nowMs,
  oneCall,
  poolOf,
  python,
  quiet,
  typescript,
} from "./decide-pools.ts";

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

test("code that comes with a call goes into the group's other containers later, and at once where nobody calls", () => {
  const containers = ["a", "b"].map((id) => container(id));
  const called = quiet({ eager: new Set(["s1"]), lanes: [[], ["s1"], [], []].map((calls) => laneOf("q", calls)) });
  const plan = decide(poolOf(containers, called), nowMs);
  expect(plan.dispatches).toHaveLength(1);
  expect(plan.loads).toEqual([]);
  expect(plan.later).toEqual([{ group: called.key, snapshot: "s1" }]);
  const uncalled = decide(poolOf(containers, quiet({ eager: new Set(["s1"]) })), nowMs);
  expect(uncalled.loads.map((load) => load.container.id)).toEqual(["a", "b"]);
  expect(uncalled.later).toEqual([]);
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
  const info = { gpus: ["a", "b"].map((uuid) => Gpu.fromPartial({ name: "NVIDIA L4", uuid })) };
  const wished = [0, 1].map((shells) => {
    const pool = { ...poolOf([], quiet({ classKey, shells })), nodes: [{ ...nodeOf("n1"), info }] };
    return decide(pool, nowMs).pools.get("n1");
  });
  const warm = wished.map((pools) => pools?.find((wish) => wish.classKey === classKey)?.warm ?? 0);
  expect(warm[1]).toBe(warm[0]! + 1); // so that it goes before other kinds that only stand ready
});

test("what was taken lately stands ready again, warm as far as memory allows, quiet halves it each minute, and short memory empties it", () => {
  let taken = raised(undefined, nowMs);
  for (let i = 1; i < 100; i++) taken = raised(taken, nowMs);
  const wish = (laterMs: number, memoryUsed = 0.1, kind = python) => {
    const pool = { ...poolOf([], quiet({})), demand: new Map([[kindKey(hostImageKey, kind), taken]]) };
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

test("a node that is cordoned, drained or silent gets neither calls nor code nor waiting containers", () => {
  const containers = [container("own"), container("generic", { group: "", state: "warm" })];
  const pool = poolOf(containers, quiet({ lanes: oneCall, eager: new Set(["s2"]), minContainers: 2 }));
  const plan = decide({ ...pool, nodes: [{ ...nodeOf("n1"), schedulable: false }, nodeOf("n2")] }, nowMs);
  expect([...plan.dispatches, ...plan.loads]).toEqual([]);
  expect(plan.pools.get("n1")).toEqual([]);
  expect(plan.pools.get("n2")).not.toEqual([]);
});

test("an image that a node knows by two keys, its own and a deployment's digest, waits there once, for both", () => {
  const mine = quiet({ lanes: [[], ["s1", "s1", "s1"], [], []].map((wanted) => laneOf("mine", wanted)) });
  const theirs = quiet({
    key: "shop@1 a",
    app: "shop@1",
    imageKey: "image of n1",
    lanes: [[], ["s2"], [], []].map((w) => laneOf("t", w)),
  });
  const node = {
    ...nodeOf("n1"),
    images: new Map([
      [hostImageKey, "image of n1"],
      ["image of n1", "image of n1"],
    ]),
  };
  const pool = { ...poolOf([], mine), nodes: [node], groups: new Map([mine, theirs].map((group) => [group.key, group])) };
  const wished = decide(pool, nowMs)
    .pools.get("n1")!
    .filter(({ classKey }) => classKey === python);
  const apart = (only: typeof mine) => decide({ ...pool, groups: new Map([[only.key, only]]) }, nowMs).pools.get("n1")!;
  const wantedBy = (only: typeof mine) => apart(only).find(({ classKey }) => classKey === python)!.wanted;
  expect(wished).toHaveLength(1);
  expect(wished[0]!.wanted).toBe(wantedBy(mine) + wantedBy(theirs));
  expect(wished[0]!.warm).toBe(2 + wished[0]!.wanted);
});

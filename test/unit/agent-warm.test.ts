// ⑤ The warm pool's policy: what it may never do, whatever the wishes and the state of the node; and a container's life, whatever befalls it.

import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { type ContainerState, type Move, transition } from "../../agent/container/state.ts";
import { createKeeper } from "../../agent/warm/keeper.ts";
import { type GenericContainer, hushed, kindOf, planWarm, retryAt, type WarmSnapshot } from "../../agent/warm/policy.ts";
import type { Pool } from "../../proto/gen/hob/v1/agents.ts";

const resourceClass = { cpu: 0, memoryBytes: 0, language: "python", gpu: "", network: "internet" };
const pool = (image: string, warm: number, reserve = 0): Pool => ({ image, resourceClass, warm, reserve, wanted: 0 });
const kind = (image: string): string => kindOf(image, resourceClass);
const container = (id: string, image: string, state: GenericContainer["state"]): GenericContainer => ({
  ...{ id, state },
  kind: kind(image),
});

const nothing = { create: [], start: [], stop: [], surplus: [] };

const images = fc.constantFrom("a", "b", "c");
const states = fc.constantFrom("creating" as const, "created" as const, "starting" as const, "warm" as const);
const snapshots: fc.Arbitrary<WarmSnapshot> = fc.record({
  pools: fc.uniqueArray(
    fc
      .record({ image: images, warm: fc.nat(6), reserve: fc.nat(6) })
      .map(({ image, warm, reserve }) => pool(image, warm, reserve)),
    { selector: ({ image }) => image },
  ),
  containers: fc
    .array(fc.record({ image: images, state: states }), { maxLength: 16 })
    .map((list) => list.map(({ image, state }, index) => container(String(index), image, state))),
  setbacks: fc
    .dictionary(images, fc.record({ failures: fc.integer({ min: 1, max: 12 }), atMs: fc.nat(100_000) }))
    .map((setbacks) => new Map(Object.entries(setbacks).map(([image, setback]) => [kind(image), setback]))),
  surplusSinceMs: fc
    .dictionary(images, fc.nat(200_000))
    .map((since) => new Map(Object.entries(since).map(([image, atMs]) => [kind(image), atMs]))),
  createsAtOnce: fc.integer({ min: 1, max: 4 }),
  startsAtOnce: fc.integer({ min: 1, max: 4 }),
  nowMs: fc.nat(200_000),
});

const present = (snapshot: WarmSnapshot, image: string, ...wanted: GenericContainer["state"][]): GenericContainer[] =>
  snapshot.containers.filter((one) => one.kind === kind(image) && wanted.includes(one.state));

/** What the node looks like when everything in the plan, and everything that was under way, has been done. */
function carryOut(snapshot: WarmSnapshot): WarmSnapshot {
  const plan = planWarm(snapshot);
  const done = snapshot.containers
    .filter(({ id }) => !plan.stop.includes(id))
    .map((one): GenericContainer => {
      if (one.state === "creating") return { ...one, state: "created" };
      return one.state === "starting" || plan.start.includes(one.id) ? { ...one, state: "warm" } : one;
    });
  const made = plan.create.map(({ image }, index) => container(`${snapshot.nowMs}-${done.length}-${index}`, image, "created"));
  const surplusSinceMs = new Map(plan.surplus.map((one) => [one, snapshot.surplusSinceMs.get(one) ?? snapshot.nowMs]));
  return { ...snapshot, surplusSinceMs, nowMs: snapshot.nowMs + 500, containers: [...done, ...made] };
}

describe("the warm pool's policy", () => {
  it("never makes or starts beyond what is wished, nor makes or starts more at once than it may", () => {
    fc.assert(
      fc.property(snapshots, (snapshot) => {
        const { create, start } = planWarm(snapshot);
        const creating = snapshot.containers.filter(({ state }) => state === "creating").length;
        expect(create.length === 0 || creating + create.length <= snapshot.createsAtOnce).toBe(true);
        const starting = snapshot.containers.filter(({ state }) => state === "starting").length;
        expect(start.length === 0 || starting + start.length <= snapshot.startsAtOnce).toBe(true);
        for (const { image, warm, reserve } of snapshot.pools) {
          const made = create.filter((wish) => wish.image === image).length;
          const have = present(snapshot, image, "creating", "created", "starting", "warm").length;
          const surplus = Math.max(0, present(snapshot, image, "starting", "warm").length - warm);
          expect(made === 0 || have - surplus + made <= warm + reserve).toBe(true);
          const begun = present(snapshot, image, "created").filter(({ id }) => start.includes(id)).length;
          expect(begun === 0 || present(snapshot, image, "starting", "warm").length + begun <= warm).toBe(true);
        }
      }),
    );
  });

  it("never ends a container that is wished, nor one that is on its way", () => {
    fc.assert(
      fc.property(snapshots, (snapshot) => {
        const stop = new Set(planWarm(snapshot).stop);
        const ended = (list: GenericContainer[]): number => list.filter(({ id }) => stop.has(id)).length;
        for (const { id, state } of snapshot.containers)
          if (state === "starting" || state === "creating") expect(stop.has(id)).toBe(false);
        for (const { image, warm, reserve } of snapshot.pools) {
          const [warmOnes, created] = [present(snapshot, image, "warm"), present(snapshot, image, "created")];
          const rest = warmOnes.length + present(snapshot, image, "starting").length - ended(warmOnes);
          expect(ended(warmOnes) === 0 || rest >= warm).toBe(true);
          expect(
            ended(created) === 0 ||
              created.length - ended(created) + Math.min(rest, warm) >=
                warm + reserve - present(snapshot, image, "creating").length,
          ).toBe(true);
        }
      }),
    );
  });

  it("reaches the wish in a few rounds, the warm ones first, and then leaves the node alone", () => {
    fc.assert(
      fc.property(snapshots, (first) => {
        let snapshot: WarmSnapshot = { ...first, setbacks: new Map(), surplusSinceMs: new Map() };
        for (let round = 0; round < 60; round += 1) {
          const { create, start } = planWarm(snapshot);
          const urgent = snapshot.pools.some(
            ({ image, warm }) => present(snapshot, image, "created", "creating", "starting", "warm").length < warm,
          );
          if (urgent && start.length > 0)
            for (const { image, warm } of create)
              expect(present(snapshot, image, "created", "creating", "starting", "warm").length).toBeLessThan(warm);
          snapshot = carryOut(snapshot);
        }
        expect(planWarm(snapshot)).toEqual(nothing);
        for (const { image, warm, reserve } of snapshot.pools) {
          expect(present(snapshot, image, "warm")).toHaveLength(warm);
          expect(present(snapshot, image, "created")).toHaveLength(reserve);
        }
      }),
    );
  });

  it("starts a burst from the reserve a few at a time, and makes the reserve up only when nothing starts any more", () => {
    const burst: WarmSnapshot = {
      pools: [pool("a", 100, 20)],
      containers: Array.from({ length: 90 }, (_, index) => container(String(index), "a", "created")),
      setbacks: new Map(),
      surplusSinceMs: new Map(),
      createsAtOnce: 4,
      startsAtOnce: 6,
      nowMs: 0,
    };
    const plan = planWarm(burst);
    expect(plan.start).toEqual(["0", "1", "2", "3", "4", "5"]);
    expect(plan.create).toHaveLength(4); // of the ten that the reserve could not give
    const begun = burst.containers.map((one) => (plan.start.includes(one.id) ? { ...one, state: "starting" as const } : one));
    const later = begun.map((one) => (one.id === "3" ? { ...one, state: "warm" as const } : one));
    expect(planWarm({ ...burst, containers: begun }).start).toEqual([]);
    expect(planWarm({ ...burst, containers: later }).start).toEqual(["6"]);
    const starting = burst.containers.map((one) => ({ ...one, state: "starting" as const }));
    expect(planWarm({ ...burst, pools: [pool("a", 90, 20)], containers: starting }).create).toEqual([]);
    const warm = burst.containers.map((one) => ({ ...one, state: "warm" as const }));
    expect(planWarm({ ...burst, pools: [pool("a", 90, 20)], containers: warm }).create).toHaveLength(4);
  });

  // In the field: of a burst one more was started than calls came, and the warm one that was ended for it was the one that control had just given a call.
  it("ends a warm one too many only when there has been one for a second", () => {
    const containers = [container("x", "a", "warm"), container("y", "a", "warm")];
    const none = { setbacks: new Map(), surplusSinceMs: new Map(), createsAtOnce: 2, startsAtOnce: 2 };
    const snapshot: WarmSnapshot = { ...none, pools: [pool("a", 1)], containers, nowMs: 5_000 };
    expect(planWarm(snapshot)).toEqual({ ...nothing, surplus: [kind("a")], again: 6_000 });
    const later = { ...snapshot, surplusSinceMs: new Map([[kind("a"), 5_000]]), nowMs: 6_000 };
    expect(planWarm(later).stop).toEqual(["y"]);
  });

  it("makes while the node is busy what calls wait for, and one of each kind, and leaves the rest as it is", () => {
    const wish = (wanted: number): Pool => ({ ...pool("a", 8, 4), wanted });
    const of = (...states: GenericContainer["state"][]) => states.map((state, index) => container(String(index), "a", state));
    expect(hushed(wish(0), [])).toMatchObject({ warm: 1, reserve: 0 });
    expect(hushed(wish(3), of("starting", "created"))).toMatchObject({ warm: 3, reserve: 0 });
    expect(hushed(wish(1), of("warm", "warm", "created", "creating"))).toMatchObject({ warm: 2, reserve: 2 });
    const tooMany = { ...pool("a", 2, 0), wanted: 0 }; // two to be started and one too many on its way: of the two none is ended
    expect(hushed(tooMany, of("created", "created", "creating"))).toMatchObject({ warm: 1, reserve: 2 });
    fc.assert(
      fc.property(snapshots, fc.nat(6), (snapshot, wanted) => {
        const pools = snapshot.pools.map((one) => hushed({ ...one, wanted }, snapshot.containers));
        const { create, start, stop } = planWarm({ ...snapshot, pools, setbacks: new Map() });
        for (const { image, warm } of snapshot.pools) {
          const ready = present(snapshot, image, "warm", "starting").length;
          const due = Math.max(0, Math.min(warm, Math.max(1, wanted)) - ready);
          const begun = present(snapshot, image, "created").filter(({ id }) => start.includes(id)).length;
          expect(begun).toBeLessThanOrEqual(due);
          expect(create.filter((one) => one.image === image).length).toBeLessThanOrEqual(due);
        }
        const calm = new Set(planWarm({ ...snapshot, setbacks: new Map() }).stop);
        for (const id of stop) expect(calm.has(id)).toBe(true);
      }),
    );
  });

  it("waits after failures, longer each time, and says when it is time again", () => {
    const setbacks = new Map([[kind("a"), { failures: 3, atMs: 1_000 }]]);
    const snapshot: WarmSnapshot = {
      pools: [pool("a", 1)],
      containers: [],
      setbacks,
      surplusSinceMs: new Map(),
      createsAtOnce: 2,
      startsAtOnce: 2,
      nowMs: 1_500,
    };
    expect(planWarm(snapshot)).toEqual({ ...nothing, again: 2_000 });
    expect(planWarm({ ...snapshot, nowMs: 2_000 }).create).toHaveLength(1);
    const made = { ...snapshot, containers: [container("x", "a", "created")] };
    expect(planWarm(made)).toEqual({ ...nothing, again: 2_000 });
    expect(planWarm({ ...made, nowMs: 2_000 }).start).toEqual(["x"]);
    expect(retryAt({ failures: 50, atMs: 0 })).toBe(30_000);
  });

  it("makes one of each kind in turn, so that no kind waits for all of another, and the warm ones before the reserve", () => {
    const snapshot: WarmSnapshot = {
      pools: [pool("a", 9), pool("b", 1, 9)],
      containers: [],
      setbacks: new Map(),
      surplusSinceMs: new Map(),
      createsAtOnce: 4,
      startsAtOnce: 4,
      nowMs: 0,
    };
    expect(planWarm(snapshot).create.map(({ image }) => image)).toEqual(["a", "b", "a", "a"]);
  });
});

describe("the warm pool's keeper", () => {
  it("makes up what nobody waits for when no call has come for a quarter of a second, and after fifteen seconds in any case", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let nowMs = 0;
    const made: number[] = [];
    const pass = (ms: number): void => {
      nowMs += ms;
      vi.advanceTimersByTime(ms);
    };
    using keeper = createKeeper({
      containers: () => made.map((_, index) => container(String(index), "a", "warm")),
      create: () => {
        made.push(nowMs);
        return new Promise(() => {});
      },
      start: () => Promise.resolve(),
      stop: () => Promise.resolve(),
      ...{ gpuRoom: () => 0, progress: () => {}, createsAtOnce: 8, startsAtOnce: 8, clock: { now: () => nowMs } },
    });
    keeper.called();
    keeper.set([pool("a", 2)]);
    expect(made).toEqual([0]); // one of each kind
    pass(200);
    keeper.called();
    pass(200);
    expect(made).toHaveLength(1);
    pass(51);
    expect(made).toEqual([0, 451]);
    keeper.called();
    keeper.set([pool("a", 4)]);
    for (let ms = 0; ms < 15_200; ms += 100) {
      keeper.called();
      pass(100);
    }
    expect(made).toHaveLength(3);
    vi.useRealTimers();
  });

  // In the field: ending one container called back into the keeper, which started its replacement twice.
  it("makes once although ending a container makes it look again at once, and starts what was made", async () => {
    let nowMs = 0;
    let all: GenericContainer[] = [container("old", "a", "warm")];
    const made: string[] = [];
    const started = Promise.withResolvers<string>();
    using keeper = createKeeper({
      containers: () => all,
      create: async ({ image }) => {
        made.push(image);
        const id = `new${made.length}`;
        all = [...all, container(id, image, "creating")];
        await Promise.resolve();
        all = all.map((one) => (one.id === id ? { ...one, state: "created" } : one));
      },
      start: (id) => {
        all = all.map((one) => (one.id === id ? { ...one, state: "starting" } : one));
        started.resolve(id);
        return new Promise(() => {}); // still starting when the test ends
      },
      stop: async (id) => {
        all = all.filter((one) => one.id !== id);
        keeper.look();
      },
      gpuRoom: () => 0,
      progress: () => {},
      createsAtOnce: 2,
      startsAtOnce: 2,
      clock: { now: () => nowMs },
    });
    keeper.set([pool("b", 1)]);
    nowMs = 1_000;
    keeper.look();
    expect(await started.promise).toBe("new1");
    expect(made).toEqual(["b"]);
    expect(all).toEqual([container("new1", "b", "starting")]);
  });

  // In the field: the one card's container was taken by an app, and before control could wish for less another was made, which waited ten
  // seconds for the card and failed.
  it("makes no more containers with a GPU than there are free devices", async () => {
    const made: string[] = [];
    let free = 0;
    using keeper = createKeeper({
      containers: () => [],
      create: async ({ resourceClass: { gpu } = resourceClass }) => void made.push(gpu),
      start: () => new Promise(() => {}),
      stop: async () => {},
      gpuRoom: (gpu) => (gpu === "H100" ? free : 0),
      progress: () => {},
      createsAtOnce: 1,
      startsAtOnce: 1,
      clock: { now: () => 0 },
    });
    const wish = ["any", "H100"].map((gpu) => ({ ...pool("a", 2), resourceClass: { ...resourceClass, gpu } }));
    keeper.set(wish);
    expect(made).toEqual([]);
    free = 1;
    keeper.set(wish.map((one) => ({ ...one, warm: 1 })));
    expect(made[0]).toBe("H100");
  });
});

describe("a container's life", () => {
  const moves: fc.Arbitrary<Move> = fc.oneof(
    fc.constantFrom<Move>({ name: "created" }, { name: "start" }, { name: "ready" }, { name: "end" }),
    fc.constantFrom("shop", "words", "thumbs").map((app): Move => ({ name: "specialise", app })),
    fc.constantFrom("agent" as const, "itself" as const).map((by): Move => ({ name: "stop", reason: by, by })),
  );

  it("has one app at most, for ever, and no way back, whatever is asked of it and in whichever order", () => {
    const order = ["creating", "created", "starting", "warm", "specialised", "stopping", "gone"];
    fc.assert(
      fc.property(fc.array(moves, { maxLength: 30 }), (asked) => {
        let state: ContainerState = { name: "creating" };
        const apps = new Set<string>();
        for (const move of asked) {
          const before = order.indexOf(state.name);
          try {
            state = transition("c", state, move);
          } catch {
            continue; // refused: nothing has changed
          }
          expect(order.indexOf(state.name)).toBeGreaterThanOrEqual(before);
          if (state.name === "specialised") apps.add(state.app);
        }
        expect(apps.size).toBeLessThanOrEqual(1);
      }),
      { numRuns: 2_000 },
    );
  });
});

// ⑤ The warm pool's policy: what it may never do, whatever the wishes and the state of the node.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKeeper } from "../../agent/warm/keeper.ts";
import { type GenericContainer, kindOf, planWarm, retryAt, type WarmSnapshot } from "../../agent/warm/policy.ts";
import type { Pool } from "../../proto/gen/hob/v1/agents.ts";

const resourceClass = { cpu: 0, memoryBytes: 0, language: "python", gpu: "", network: "internet" };
const pool = (image: string, warm: number): Pool => ({ image, resourceClass, warm, reserve: 0 });
const kind = (image: string): string => kindOf(image, resourceClass);

const images = fc.constantFrom("a", "b", "c");
const snapshots: fc.Arbitrary<WarmSnapshot> = fc.record({
  pools: fc.uniqueArray(
    fc.record({ image: images, warm: fc.nat(6) }).map(({ image, warm }) => pool(image, warm)),
    { selector: ({ image }) => image },
  ),
  containers: fc
    .array(fc.record({ image: images, state: fc.constantFrom("starting" as const, "warm" as const) }), { maxLength: 12 })
    .map((list) => list.map(({ image, state }, index): GenericContainer => ({ id: String(index), kind: kind(image), state }))),
  setbacks: fc
    .dictionary(images, fc.record({ failures: fc.integer({ min: 1, max: 12 }), atMs: fc.nat(100_000) }))
    .map((setbacks) => new Map(Object.entries(setbacks).map(([image, setback]) => [kind(image), setback]))),
  startsAtOnce: fc.integer({ min: 1, max: 4 }),
  nowMs: fc.nat(200_000),
});

/** What the node looks like when everything in the plan has been done. */
function carryOut(snapshot: WarmSnapshot): WarmSnapshot {
  const plan = planWarm(snapshot);
  const kept = snapshot.containers
    .filter(({ id }) => !plan.stop.includes(id))
    .map((container) => ({ ...container, state: "warm" as const }));
  const begun = plan.start.map(
    ({ image }, index): GenericContainer => ({
      id: `${snapshot.nowMs}-${kept.length}-${index}`,
      kind: kind(image),
      state: "warm",
    }),
  );
  return { ...snapshot, containers: [...kept, ...begun] };
}

describe("the warm pool's policy", () => {
  it("never starts beyond what is wished, nor more at once than it may", () => {
    fc.assert(
      fc.property(snapshots, (snapshot) => {
        const { start } = planWarm(snapshot);
        const running = snapshot.containers.filter(({ state }) => state === "starting").length;
        expect(start.length === 0 || running + start.length <= snapshot.startsAtOnce).toBe(true);
        for (const { image, warm } of snapshot.pools) {
          const begun = start.filter((wish) => wish.image === image).length;
          const have = snapshot.containers.filter((container) => container.kind === kind(image)).length;
          expect(begun === 0 || have + begun <= warm).toBe(true);
        }
      }),
    );
  });

  it("never ends a container that is wished, nor one that is starting", () => {
    fc.assert(
      fc.property(snapshots, (snapshot) => {
        const stop = new Set(planWarm(snapshot).stop);
        for (const container of snapshot.containers)
          if (container.state === "starting") expect(stop.has(container.id)).toBe(false);
        for (const { image, warm } of snapshot.pools) {
          const have = snapshot.containers.filter((container) => container.kind === kind(image));
          const ended = have.filter(({ id }) => stop.has(id)).length;
          expect(ended === 0 || have.length - ended >= warm).toBe(true);
        }
      }),
    );
  });

  it("reaches the wish in a few rounds and then leaves the node alone", () => {
    fc.assert(
      fc.property(snapshots, (first) => {
        let snapshot: WarmSnapshot = { ...first, setbacks: new Map() };
        for (let round = 0; round < 40; round += 1) snapshot = carryOut(snapshot);
        expect(planWarm(snapshot)).toEqual({ start: [], stop: [] });
        for (const { image, warm } of snapshot.pools) {
          expect(snapshot.containers.filter((container) => container.kind === kind(image))).toHaveLength(warm);
        }
      }),
    );
  });

  it("waits after failures, longer each time, and says when it is time again", () => {
    const setbacks = new Map([[kind("a"), { failures: 3, atMs: 1_000 }]]);
    const snapshot: WarmSnapshot = { pools: [pool("a", 1)], containers: [], setbacks, startsAtOnce: 2, nowMs: 1_500 };
    expect(planWarm(snapshot)).toEqual({ start: [], stop: [], again: 2_000 });
    expect(planWarm({ ...snapshot, nowMs: 2_000 }).start).toHaveLength(1);
    expect(retryAt({ failures: 50, atMs: 0 })).toBe(30_000);
  });

  it("starts one of each kind in turn, so that no kind waits for all of another", () => {
    const snapshot: WarmSnapshot = {
      pools: [pool("a", 9), pool("b", 9)],
      containers: [],
      setbacks: new Map(),
      startsAtOnce: 4,
      nowMs: 0,
    };
    expect(planWarm(snapshot).start.map(({ image }) => image)).toEqual(["a", "b", "a", "b"]);
  });
});

describe("the warm pool's keeper", () => {
  // In the field: ending one container called back into the keeper, which started its replacement twice.
  it("starts once although ending a container makes it look again at once", () => {
    let present: GenericContainer[] = [{ id: "old", kind: kind("a"), state: "warm" }];
    const started: string[] = [];
    using keeper = createKeeper({
      containers: () => present,
      start: ({ image }) => {
        started.push(image);
        present = [...present, { id: `new${started.length}`, kind: kind(image), state: "starting" }];
        return new Promise(() => {}); // still starting when the test ends
      },
      stop: async (id) => {
        present = present.filter((container) => container.id !== id);
        keeper.look();
      },
      progress: () => {},
      startsAtOnce: 2,
      clock: { now: () => 0 },
    });
    keeper.set([pool("b", 1)]);
    expect(started).toEqual(["b"]);
    expect(present.map(({ id }) => id)).toEqual(["new1"]);
  });
});

// Maps' decisions: each input exactly one result whatever happens on the way, and how inputs are cut.

import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { beforeEach, expect, test, vi } from "vitest";
import { migrate } from "../../control/engine/migrations.ts";
import { openSqliteMaps } from "../../control/engine/sqlite-maps.ts";
import { createIntake } from "../../control/maps/intake.ts";
import { eachItem, sliceItems } from "../../control/maps/items.ts";
import { createPace } from "../../control/maps/pace.ts";
import { batchSize, blockInputs, inputsUntil, ticketsWanted } from "../../control/maps/sizes.ts";
import { MapInfo, MapInputs } from "../../proto/gen/hob/v1/maps.ts";
import { encodeInputs } from "../control/map-client.ts";
import { createWorld } from "./map-world.ts";

const small = fc.nat({ max: 40 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("feed" as const), count: fc.nat({ max: 700 }), overlap: small }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("answer" as const),
      which: small,
      most: fc.nat({ max: 300 }),
      backward: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("settle" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeat" as const), which: small }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), which: small, silent: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("person" as const), calls: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), linked: fc.boolean() }) },
);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  return () => vi.useRealTimers();
});

test("results in any order, twice, late or lost, and control killed at any moment: each input has exactly one, and it stays", () => {
  const run = fc.property(
    fc.array(step, { minLength: 10, maxLength: 60, size: "max" }),
    fc.constantFrom(0, 2),
    fc.nat({ max: 5 }),
    (steps, retries, poison) => {
      using world = createWorld(retries, (index) => poison > 0 && index % 7 === poison);
      let read = world.read(false);
      for (const it of steps) {
        if (it.kind === "feed") world.feed(it.count, it.overlap);
        else if (it.kind === "answer") world.answer(it.which, it.most + 1, it.backward);
        else if (it.kind === "settle") world.settle();
        else if (it.kind === "repeat") world.repeat(it.which);
        else if (it.kind === "lose") world.lose(it.which, it.silent);
        else if (it.kind === "person") world.person(it.calls);
        else world.restart(it.linked);
        const now = world.read(false);
        expect(now.slice(0, read.length)).toEqual(read);
        read = now;
      }
      world.person(false);
      world.settle();
      const inputs = world.map.info.inputs;
      world.close();
      for (let turns = 0; !world.ended(); turns++) {
        expect(turns).toBeLessThan(10_000);
        vi.advanceTimersByTime(10);
        world.settle();
        world.answer(turns, 1_000, false);
      }
      world.settle();
      const info = world.info();
      const ordered = world.read(true);
      expect(ordered.map(({ index }) => index)).toEqual(Array.from({ length: inputs }, (_, i) => i));
      expect(world.read(false).sort((a, b) => a.index - b.index)).toEqual(ordered);
      const failed = ordered.filter(({ failure }) => failure?.kind === "exception").length;
      expect(ordered.every(({ index, value }) => !value || JSON.parse(value.json.toString())[0] === index)).toBe(true);
      expect(info).toMatchObject({ state: "succeeded", inputs, failed, succeeded: inputs - failed });
      expect(world.read(true, Math.floor(inputs / 2))).toEqual(ordered.slice(Math.floor(inputs / 2)));
    },
  );
  fc.assert(run, { numRuns: 25 });
});

test("a map that nobody reads is cancelled after 15 seconds, unless it was to go on without its client", () => {
  using attached = createWorld(0, () => false, false);
  using detached = createWorld(0, () => false, true);
  const reader = { poke() {}, progress() {}, delivered: 0 };
  attached.maps().attach(attached.map, reader);
  vi.advanceTimersByTime(60_000);
  expect(attached.info().state).toBe("running");
  attached.maps().detach(attached.map, reader);
  vi.advanceTimersByTime(14_000);
  expect(attached.info().state).toBe("running");
  vi.advanceTimersByTime(2_000);
  expect(attached.info()).toMatchObject({ state: "cancelled", failure: { kind: "cancelled" } });
  expect(detached.info().state).toBe("running");
});

test("old maps are forgotten with their inputs and results, a slice at a time, and the newest stays for its number", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, ":memory:");
  const { store, trim, write, written } = openSqliteMaps(db, () => {});
  for (const number of [1, 2, 3]) {
    const state = number === 2 ? "running" : "succeeded";
    store.save(MapInfo.fromPartial({ id: `${number}`, number, app: "shop", state, finishedAtMs: number === 2 ? 0 : 1_000 }));
    for (let block = 0; block < 150; block++) {
      store.addInputs(number, { first: block, count: 1 }, encodeInputs([block], block));
      store.addResults(number, block, { count: 1, bytes: Buffer.from("x") });
    }
  }
  write();
  written();
  let slices = 0;
  while (trim({ keepMs: 10, calls: 1, lines: 1, maps: 100 }, 5_000)) slices++;
  expect(slices).toBeGreaterThan(3);
  expect(store.list({ app: "", limit: 10 }).map(({ number }) => number)).toEqual([3, 2]);
  const left = db.prepare(
    "select map, count(*) as rows from map_inputs group by map union all select map, count(*) from map_results group by map",
  );
  expect(left.all().map((row) => ({ ...row }))).toEqual([2, 3, 2, 3].map((map) => ({ map, rows: 150 })));
  db.close();
});

test("inputs sent in any pieces become blocks of rising inputs, and any slice of a block is a list of those inputs", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 900 }), { maxLength: 8 }), fc.nat(), (pieces, seed) => {
      const blocks: { first: number; count: number; bytes: Uint8Array }[] = [];
      const intake = createIntake(0, (block, bytes) => void blocks.push({ ...block, bytes }));
      for (const count of pieces) {
        const values = Array.from({ length: count }, (_, i) => "x".repeat((seed + i) % 40));
        intake.add(encodeInputs(values, intake.wanted), 1e9);
      }
      intake.flush();
      let next = 0;
      for (const { first, count, bytes } of blocks) {
        expect(first).toBe(next);
        expect(count).toBeLessThanOrEqual(blockInputs);
        next += count;
        const from = first + (seed % count);
        const slice = MapInputs.decode(sliceItems(bytes, from, first + count - from)).inputs;
        expect(slice.map(({ index }) => index)).toEqual(Array.from({ length: first + count - from }, (_, i) => from + i));
      }
      expect(next).toBe(pieces.reduce((sum, count) => sum + count, 0));
    }),
  );
});

test("an input out of its turn, one without credit, and bytes that are no list are refused with a sentence", () => {
  const intake = createIntake(5, () => {});
  expect(() => intake.add(encodeInputs([1], 7), 100)).toThrow("input 7 of a map came where 5 is wanted");
  expect(() => intake.add(encodeInputs([1, 2], 5), 6)).toThrow("input 6 of a map was sent before control had room for it");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      let covered = 0;
      try {
        eachItem(bytes, "results", (_index, start, end) => {
          expect(start).toBe(covered);
          covered = end;
        });
        expect(covered).toBe(bytes.byteLength);
      } catch (error) {
        expect((error as Error).message).toBe("reading results of a map: they are not a list as maps.proto has it");
      }
    }),
  );
});

test("batches take about 50 ms, and 5 beside a person: slow inputs go one by one, quick ones in hundreds, and what is left is shared out", () => {
  const many = { waiting: 1_000_000, width: 4, former: 512, brief: false };
  expect(batchSize({ ...many, inputMs: 0.02, brief: true })).toBe(64);
  expect(batchSize({ ...many, inputMs: 1, brief: true })).toBe(5);
  expect(batchSize({ ...many, inputMs: undefined })).toBe(1);
  expect(batchSize({ ...many, inputMs: 0.02 })).toBe(512);
  expect(batchSize({ ...many, inputMs: 0.02, former: 1 })).toBe(8);
  expect(batchSize({ ...many, inputMs: 1 })).toBe(50);
  expect(batchSize({ ...many, inputMs: 60_000 })).toBe(1);
  expect(batchSize({ ...many, inputMs: 1, waiting: 40 })).toBe(5);
  expect(ticketsWanted(0, 1, 3)).toBe(0);
  expect(ticketsWanted(1_000_000, 512, 3)).toBe(7);
});

test("while a person calls, maps take five inputs a millisecond, a small batch at a time, and tell ten; a second later all is theirs again", () => {
  let nowMs = 10_000;
  let personAtMs = 0;
  const pace = createPace(
    () => nowMs,
    () => personAtMs,
  );
  pace.cut.took(1_000_000, 1 << 30);
  expect(pace.cut.freeAtMs).toBe(0);
  personAtMs = nowMs;
  expect(pace).toMatchObject({ gentle: true, cut: { freeAtMs: 0 } }); // what was before is not held against them
  pace.cut.took(50, 100);
  expect(pace).toMatchObject({ cut: { freeAtMs: 10_010 }, told: { freeAtMs: 0 } });
  pace.cut.took(1, 1 << 20);
  expect(pace.cut.freeAtMs).toBeCloseTo(10_214.8);
  pace.told.took(50, 100);
  expect(pace.told.freeAtMs).toBe(10_005);
  nowMs += 1_000;
  expect(pace).toMatchObject({ gentle: false, cut: { freeAtMs: 0 } });

  using world = createWorld(0, () => false);
  world.feed(10_000, 0);
  world.settle();
  expect(world.sizes()).toHaveLength(4); // of as many containers
  while (Math.max(...world.sizes()) <= 64) {
    world.answer(0, 512, false);
    world.settle();
  }
  world.person(true);
  for (let turn = 0; turn < 4; turn++) world.answer(0, 512, false);
  world.settle();
  expect(world.sizes()).toHaveLength(1);
  expect(world.sizes()[0]).toBeLessThanOrEqual(64);
});

test("a client may send what fits: by number, by bytes, and, where it takes the results itself, not far ahead of those", () => {
  expect(inputsUntil({ recorded: 0, recordedBytes: 0, used: 0 })).toBe(4_096);
  expect(inputsUntil({ recorded: 4_096, recordedBytes: 4_096, used: 0 })).toBe(4_096);
  expect(inputsUntil({ recorded: 4_096, recordedBytes: 4_096, used: 1_000 })).toBe(5_096);
  expect(inputsUntil({ recorded: 4_096, recordedBytes: 4_096, used: undefined })).toBe(8_192);
  expect(inputsUntil({ recorded: 100, recordedBytes: 100 << 20, used: 100 })).toBe(164);
});

// What every engine must do (control/engine/engine.ts): one table of cases, each told with a place where it may open the engine, leave it, and open it again.

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { isFinished } from "../../control/call-states.ts";
import type { CallQuery, Engine, LogQuery, StoredCall } from "../../control/engine/engine.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Arguments, LogLine, Value } from "../../proto/gen/hob/v1/common.ts";
import { MapInfo } from "../../proto/gen/hob/v1/maps.ts";

export interface EnginePlace extends AsyncDisposable {
  /** The engine of this place, once nobody else has it open. */
  open(): Promise<Engine>;
}

interface EngineCase {
  name: string;
  run(place: EnginePlace): Promise<void>;
}

const anyCall: CallQuery = { app: "", function: "", state: "", sinceMs: 0, parent: "", limit: 1_000 };
const anyLine: LogQuery = { apps: [], function: "", call: "", sinceMs: 0 };
const keepAll = { keepMs: Number.POSITIVE_INFINITY, calls: 1e9, lines: 1e9, maps: 1e9 };
const bytes = (text: string): Buffer => Buffer.from(text);

export function makeCall(number: number, more: Partial<CallInfo> = {}): StoredCall {
  const info = { id: `call-${number}`, number, app: "shop", function: "price", state: "queued", queuedAtMs: number };
  const given = Arguments.fromPartial({ positional: bytes(`[${number}]`) });
  return { info: CallInfo.fromPartial({ ...info, arguments: given, ...more }), retries: 0, losses: 0 };
}

function makeLine(text: string, more: Partial<LogLine> = {}): LogLine {
  return LogLine.fromPartial({ app: "shop", function: "price", call: "call-1", stream: "stdout", timeMs: 1_000, text, ...more });
}

const makeMap = (number: number, more: Partial<MapInfo> = {}): MapInfo =>
  MapInfo.fromPartial({ id: `map-${number}`, number, app: "shop", function: "price", state: "running", ...more });

/** Everything that a caller can see, so that two engines can be compared. */
function everything(engine: Engine) {
  const maps = engine.maps.list({ app: "", limit: 1_000 });
  const pieces = maps.map(({ number }) => {
    const found: unknown[] = [];
    for (let at = 0, piece = engine.maps.resultsAfter(number, 0); piece; piece = engine.maps.resultsAfter(number, at)) {
      at = piece.position;
      found.push([at, piece.count, Buffer.from(piece.bytes).toString("hex")]);
    }
    const blocks = engine.maps.blocks(number, 0, 1_000);
    return { found, blocks, inputs: blocks.map(({ first }) => Buffer.from(engine.maps.inputs(number, first)).toString("hex")) };
  });
  return {
    records: ["version", "secret"].map((kind) =>
      engine.records
        .list(kind)
        .map(({ key, revision, value }) => [key, revision, Buffer.from(value).toString("hex")])
        .sort(),
    ),
    calls: engine.calls.list(anyCall).map((call) => Buffer.from(CallInfo.encode(call).finish()).toString("hex")),
    unfinished: engine.calls.unfinished().map(({ info, retries, losses }) => [info.id, retries, losses]),
    values: engine.calls.values().sort(),
    lines: engine.logs.page(anyLine, 0, 10_000).map((line) => [line.seq, line.text, line.call, line.input]),
    maps: maps.map((info) => Buffer.from(MapInfo.encode(info).finish()).toString("hex")),
    pieces,
    last: [engine.calls.lastNumber(), engine.maps.lastNumber(), engine.logs.lastSeq()],
  };
}

async function reopened(place: EnginePlace, engine: Engine): Promise<Engine> {
  await engine[Symbol.asyncDispose]();
  return place.open();
}

async function records(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  expect(engine.records.put("version", "a", bytes("1"), 0)).toBe(1);
  expect(engine.records.put("version", "a", bytes("2"), 1)).toBe(2);
  for (const seen of [0, 1, 3]) {
    expect(() => engine.records.put("version", "a", bytes("x"), seen)).toThrow(/somebody else changed it \(revision 2/);
  }
  engine.records.put("version", "b", bytes("3"), 0);
  engine.records.put("secret", "a", bytes("other kind"), 0);
  engine.records.remove("version", "nothing"); // is no fault
  await engine.commit();
  engine.records.remove("version", "b");
  expect(engine.records.get("version", "b")).toBeUndefined();
  await engine.commit();
  engine = await reopened(place, engine);
  expect(engine.records.list("version")).toEqual([{ key: "a", revision: 2, value: expect.anything() }]);
  expect(Buffer.from(engine.records.get("version", "a")!.value).toString()).toBe("2");
  expect(engine.records.get("secret", "a")?.revision).toBe(1);
  expect(engine.records.put("version", "b", bytes("4"), 0)).toBe(1); // as one that never was
  await engine[Symbol.asyncDispose]();
}

async function calls(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  const first = makeCall(1);
  engine.calls.save(first);
  expect(engine.calls.find("call-1")?.info.state).toBe("queued"); // before it is committed
  first.info.state = "running";
  first.losses = 2;
  engine.calls.save(first);
  engine.calls.save(makeCall(2, { function: "stock", parent: "call-1" }));
  engine.calls.save(makeCall(3, { app: "mail" }));
  await engine.commit();
  expect(engine.calls.list(anyCall).map(({ number }) => number)).toEqual([3, 2, 1]);
  expect(engine.calls.list({ ...anyCall, app: "shop", limit: 1 }).map(({ id }) => id)).toEqual(["call-2"]);
  expect(engine.calls.list({ ...anyCall, parent: "call-1" }).map(({ id }) => id)).toEqual(["call-2"]);
  expect(engine.calls.list({ ...anyCall, sinceMs: 3 }).map(({ id }) => id)).toEqual(["call-3"]);
  expect(engine.calls.list({ ...anyCall, function: "price", state: "running" }).map(({ id }) => id)).toEqual(["call-1"]);

  engine = await reopened(place, engine);
  const [again, ...others] = engine.calls.unfinished();
  expect([again!.info.id, again!.info.state, again!.losses]).toEqual(["call-1", "running", 2]);
  expect(others.map(({ info }) => info.id)).toEqual(["call-2", "call-3"]);
  expect(Buffer.from(again!.info.arguments!.positional).toString()).toBe("[1]");
  engine.calls.restored(again!);
  again!.info.state = "succeeded";
  again!.info.result = Value.fromPartial({ json: bytes("8") });
  engine.calls.save(again!);
  await engine.commit();
  engine = await reopened(place, engine);
  expect(engine.calls.unfinished().map(({ info }) => info.id)).toEqual(["call-2", "call-3"]);
  const found = engine.calls.numbered(1)!;
  expect([found.info.state, found.info.result?.json.toString()]).toEqual(["succeeded", "8"]);
  expect(Buffer.from(found.info.arguments!.positional).toString()).toBe("[1]"); // written once, kept since
  expect(engine.calls.lastNumber()).toBe(3);
  await engine[Symbol.asyncDispose]();
}

async function logs(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  const lines = ["one", "two", "three"].map((text, n) => makeLine(text, { call: `call-${n + 1}`, timeMs: 60_000 * (n + 1) }));
  engine.logs.append(lines);
  expect(lines.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  await engine.commit();
  engine = await reopened(place, engine);
  engine.logs.append([makeLine("four", { app: "mail", input: 7, timeMs: 240_000 })]);
  expect(engine.logs.lastSeq()).toBe(4);
  const texts = (query: Partial<LogQuery>, from = 0, limit = 100): string[] =>
    engine.logs.page({ ...anyLine, ...query }, from, limit).map(({ text }) => text);
  expect(texts({})).toEqual(["one", "two", "three", "four"]); // also what is not committed yet
  expect(texts({ apps: ["mail", "other"] })).toEqual(["four"]);
  expect(texts({ call: "call-2" })).toEqual(["two"]);
  expect(texts({ sinceMs: 120_000 })).toEqual(["two", "three", "four"]);
  expect(texts({}, 2, 2)).toEqual(["two", "three"]);
  expect(engine.logs.tail(anyLine, 2)).toBe(3);
  expect(engine.logs.tail({ ...anyLine, apps: ["nobody"] }, 2)).toBeUndefined();
  expect(engine.logs.page(anyLine, 4, 1)[0]).toMatchObject({ seq: 4, input: 7, app: "mail" });
  await engine[Symbol.asyncDispose]();
}

async function maps(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  engine.maps.save(makeMap(1));
  engine.maps.addInputs(1, { first: 0, count: 2 }, bytes("ab"));
  engine.maps.addInputs(1, { first: 2, count: 1 }, bytes("c"));
  expect(Buffer.from(engine.maps.inputs(1, 2)).toString()).toBe("c"); // before they are committed
  expect(engine.maps.blocks(1, 0, 10)).toEqual([
    { first: 0, count: 2 },
    { first: 2, count: 1 },
  ]);
  await engine.commit();
  engine.maps.addResults(1, 0, { count: 1, bytes: bytes("A") });
  engine.maps.addResults(1, 2, { count: 1, bytes: bytes("C") });
  await engine.commit();
  engine.maps.addResults(1, 0, { count: 1, bytes: bytes("B") });
  engine.maps.save(makeMap(2, { app: "mail", state: "succeeded" }));
  const large = randomBytes(3 << 20); // more than a message of the journal holds
  engine.maps.addInputs(2, { first: 0, count: 9 }, large);
  await engine.commit();
  for (let time = 0; time < 2; time++) {
    expect(engine.maps.unfinished().map(({ id }) => id)).toEqual(["map-1"]);
    expect(engine.maps.find("map-2")?.app).toBe("mail");
    expect(engine.maps.list({ app: "", limit: 9 }).map(({ number }) => number)).toEqual([2, 1]);
    expect(engine.maps.list({ app: "shop", limit: 9 }).map(({ number }) => number)).toEqual([1]);
    expect(engine.maps.lastNumber()).toBe(2);
    expect(engine.maps.inputBytes(1)).toBe(3);
    expect(engine.maps.blockOf(1, 1)).toEqual({ first: 0, count: 2 });
    expect(engine.maps.blockOf(1, 3)).toBeUndefined();
    expect(engine.maps.resultCount(1, 0)).toBe(2);
    const first = engine.maps.resultsAfter(1, 0)!;
    const last = engine.maps.resultsAfter(1, first.position, 0)!;
    expect([first, last].map((piece) => Buffer.from(piece.bytes).toString())).toEqual(["A", "B"]);
    expect(engine.maps.resultsAfter(1, last.position)).toBeUndefined();
    expect(large.equals(engine.maps.inputs(2, 0))).toBe(true);
    expect(engine.maps.countUntil(1, last.position)).toBe(3);
    expect(engine.maps.piece(first.position)?.count).toBe(1);
    if (time === 0) engine = await reopened(place, engine); // where clients go on by the same positions
  }
  expect(() => engine.maps.inputs(1, 1)).toThrow(/reading the inputs of map 1 from 1 on/);
  await engine[Symbol.asyncDispose]();
}

async function trimming(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  const large = sha256("a large result");
  const result = Value.fromPartial({ large: { blob: large } });
  for (let n = 1; n <= 5; n++)
    engine.calls.save(makeCall(n, { state: "succeeded", finishedAtMs: 1_000, ...(n === 2 ? { result } : {}) }));
  engine.calls.save(makeCall(6));
  engine.logs.append(Array.from({ length: 50 }, (_, n) => makeLine(`line ${n}`)));
  for (const number of [1, 2]) {
    engine.maps.save(makeMap(number, { state: "succeeded", finishedAtMs: 1_000 }));
    engine.maps.addInputs(number, { first: 0, count: 1 }, bytes("a"));
    engine.maps.addResults(number, 0, { count: 1, bytes: bytes("A") });
  }
  await engine.commit();
  expect(engine.calls.values()).toEqual([large]);
  expect(engine.trim(keepAll, 2_000)).toBe(false);
  for (let n = 0; n < 20 && engine.trim({ ...keepAll, keepMs: 500 }, 2_000); n++);
  await engine.commit();
  expect(engine.calls.forgotten()).toEqual([large]);
  expect(engine.calls.forgotten()).toEqual([]);
  engine = await reopened(place, engine);
  // What runs stays, and the newest of each: its number is where numbering goes on.
  expect(engine.calls.list(anyCall).map(({ number }) => number)).toEqual([6]);
  expect(engine.maps.list({ app: "", limit: 9 }).map(({ number }) => number)).toEqual([2]);
  expect(engine.maps.resultsAfter(1, 0)).toBeUndefined();
  expect(engine.logs.page(anyLine, 0, 99).length).toBeLessThanOrEqual(1);
  expect([engine.calls.lastNumber(), engine.maps.lastNumber(), engine.logs.lastSeq()]).toEqual([6, 2, 50]);
  expect(engine.calls.forgotten()).toEqual([]);
  await engine[Symbol.asyncDispose]();
}

async function blobs(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  const large = Buffer.alloc(3 << 20, "hob ");
  const [small, whole, empty] = [
    await engine.blobs.put(bytes("small")),
    await engine.blobs.put(large),
    await engine.blobs.put(bytes("")),
  ];
  const streamed = await engine.blobs.putStream([bytes("in "), bytes("pieces")]);
  expect(streamed).toEqual({ digest: sha256("in pieces"), bytes: 9 });
  await expect(engine.blobs.put(bytes("other"), small)).rejects.toThrow(/what arrived has digest/);
  const gone = await engine.blobs.put(bytes("to be removed"));
  await engine.blobs.remove(gone);
  await engine.blobs.remove(gone); // is no fault
  await engine.blobs.put(bytes("small")); // nor is this
  engine = await reopened(place, engine);
  expect([small, whole, empty, streamed.digest, gone].map(engine.blobs.has)).toEqual([true, true, true, true, false]);
  expect(engine.blobs.read(whole).equals(large)).toBe(true);
  expect(engine.blobs.read(empty)).toHaveLength(0);
  const listed: string[] = [];
  for await (const digest of engine.blobs.list()) listed.push(digest);
  expect(listed.sort()).toEqual([small, whole, empty, streamed.digest].sort());
  expect(await engine.blobs.size(whole)).toBe(large.byteLength);
  await engine[Symbol.asyncDispose]();
}

type Step = { kind: number; n: number; text: string };

/** Steps as they come, applied to an engine; a fault of one engine shows as a difference after reopening. */
async function applyStep(engine: Engine, { kind, n, text }: Step, live: Map<number, StoredCall>): Promise<void> {
  if (kind === 0) engine.records.put("version", `${n}`, bytes(text), engine.records.get("version", `${n}`)?.revision ?? 0);
  else if (kind === 1) engine.records.remove("version", `${n}`);
  else if (kind === 2) {
    const number = live.size + 1;
    live.set(number, makeCall(number, { function: text }));
    engine.calls.save(live.get(number)!);
  } else if (kind === 3) {
    const call = live.get((n % (live.size || 1)) + 1);
    if (!call || isFinished(call.info.state)) return;
    call.info.state = ["running", "succeeded", "failed"][n % 3]!;
    call.info.finishedAtMs = n;
    call.retries = n;
    engine.calls.save(call);
  } else if (kind === 4) engine.logs.append([makeLine(text, { timeMs: n })]);
  else if (kind === 5) engine.maps.save(makeMap((n % 3) + 1, { app: text, state: n % 2 ? "running" : "failed" }));
  else if (kind === 6) {
    const blocks = engine.maps.blocks(1, 0, 1_000);
    const last = blocks.at(-1);
    engine.maps.addInputs(1, { first: last ? last.first + last.count : 0, count: (n % 5) + 1 }, bytes(text));
  } else if (kind === 7) engine.maps.addResults(1, n % 3, { count: 1, bytes: bytes(text) });
  else if (kind === 8) {
    await engine.commit();
    engine.trim({ ...keepAll, calls: 8, lines: 6, maps: 2 }, 1_000);
  } else await engine.commit();
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.nat({ max: 9 }),
  n: fc.nat({ max: 20 }),
  text: fc.string({ maxLength: 8 }),
});

/** Two of a kind: what one has committed, in whatever pieces, the next opening shows, and nothing else. */
async function anySteps(place: EnginePlace): Promise<void> {
  let engine = await place.open();
  const live = new Map<number, StoredCall>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
      for (const each of steps) await applyStep(engine, each, live);
      await engine.commit();
      const before = everything(engine);
      engine = await reopened(place, engine);
      expect(everything(engine)).toEqual(before);
      for (const stored of engine.calls.unfinished()) {
        engine.calls.restored(stored);
        live.set(stored.info.number, stored);
      }
    }),
    { numRuns: 8 },
  );
  await engine[Symbol.asyncDispose]();
}

export const engineCases: EngineCase[] = [
  { name: "records change only from the revision that their writer has seen, and a removed one begins anew", run: records },
  { name: "a call saved many times is one call, found by id and number, and unfinished until it ends", run: calls },
  { name: "lines are numbered in the order of their coming, and found by app, call and time", run: logs },
  { name: "a map's inputs and results come back as they were put, at positions that outlive the engine", run: maps },
  { name: "what is old is forgotten, what runs is not, and numbers go on", run: trimming },
  { name: "a blob is what its digest says, survives the engine, and goes when it is removed", run: blobs },
  { name: "whatever is done in whatever order, the next opening shows what was committed", run: anySteps },
];

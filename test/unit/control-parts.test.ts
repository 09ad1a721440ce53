// Control's smaller parts: call states, snapshot tables, arguments, the engine, what waits for a client.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import v8 from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { argumentsProblem, unknownSentence } from "../../control/arguments.ts";
import { toCall } from "../../control/call.ts";
import { createCallChanges } from "../../control/call-changes.ts";
import { afterEvent, afterFailure, type CallEvent, type CallState, isFinished } from "../../control/call-states.ts";
import { openSqliteEngine } from "../../control/engine/sqlite.ts";
import { createLatency } from "../../control/latency.ts";
import { createOutbox } from "../../control/outbox.ts";
import { createRegistry } from "../../control/registry.ts";
import { createLane } from "../../control/scheduler/lane.ts";
import { applyDelta, comparePaths, deltaBetween, parseTable, tableText } from "../../control/snapshot-table.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Arguments, Failure, FunctionSpec, LogLine, Version } from "../../proto/gen/hob/v1/common.ts";
import { isGap } from "../../proto/lost-output.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "hob-engine-"));
  folders.push(made);
  return made;
}

test("an outcome is told by the turn that recorded it, not by an earlier one of which the word is still to go out", () => {
  const sends: (() => void)[] = [];
  const told: string[] = [];
  const send = (one: () => void): void => void sends.push(one);
  const { changed } = createCallChanges({
    store: { save() {} },
    turn: { toClient: send, toWaiting: send },
    announce: ({ state }) => void told.push(state),
  });
  const call = toCall({ info: CallInfo.fromPartial({ id: "a", state: "queued" }), retries: 0, losses: 0 }, "");
  const become = (state: CallState): void => {
    call.info.state = state;
    changed(call);
  };
  become("queued");
  become("running"); // in the same turn: one word
  expect(sends).toHaveLength(1);
  become("succeeded"); // while that word waits for its commit to be durable
  sends.shift()!();
  expect(told).toEqual([]);
  for (const one of sends.splice(0)) one();
  expect(told).toEqual(["succeeded"]);
});

test("a call that has finished never changes again, and a queued one is never run twice at once", () => {
  const events: CallEvent[] = ["dispatch", "again", "succeed", "fail", "cancel"];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events)), (sequence) => {
      let state: CallState = "queued";
      for (const event of sequence) {
        const next = afterEvent(state, event);
        if (isFinished(state)) expect(next).toBeUndefined();
        if (event === "dispatch" && next) expect(state).toBe("queued");
        state = next ?? state;
      }
    }),
  );
});

test("retries are for what may go otherwise, losses are counted apart", () => {
  const none = { retries: 0, losses: 0 };
  const after = (kind: string, spent = none) =>
    afterFailure(Failure.fromPartial({ kind }), spent, { retries: 1, backoff: undefined });
  expect(after("exception")).toEqual({ event: "again", spent: { retries: 1, losses: 0 }, waitMs: 0 });
  expect(after("exception", { retries: 1, losses: 0 }).event).toBe("fail");
  expect(after("load").event).toBe("fail");
  expect(after("cancelled").event).toBe("cancel");
  expect(after("infrastructure", { retries: 1, losses: 2 })).toEqual({
    event: "again",
    spent: { retries: 1, losses: 3 },
    waitMs: 0,
  });
  expect(after("infrastructure", { retries: 0, losses: 3 }).event).toBe("fail");
});

test("a retry waits as its function says: each longer than the one before, up to the most; a loss waits for nothing", () => {
  const policy = { retries: 9, backoff: { delayMs: 1_000, factor: 2, maxDelayMs: 5_000 } };
  const waits = (kind: string) =>
    [0, 1, 2, 3, 8].map((retries) => afterFailure(Failure.fromPartial({ kind }), { retries, losses: 0 }, policy).waitMs);
  expect(waits("exception")).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
  expect(waits("timeout")).toEqual(waits("exception"));
  expect(waits("infrastructure")).toEqual([0, 0, 0, 0, 0]);
});

const anyPath = fc
  .array(fc.string({ minLength: 1, maxLength: 4, unit: "grapheme" }), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"))
  .filter(
    (path) => !/[\n\0]/.test(path) && path.isWellFormed() && path.split("/").every((part) => !["", ".", ".."].includes(part)),
  );
const anyFiles = fc.uniqueArray(
  fc.record({ path: anyPath, digest: fc.string().map(sha256), size: fc.nat(), mode: fc.constantFrom(0o644, 0o755) }),
  { selector: ({ path }) => path, maxLength: 20 },
);

test("a delta between two tables takes one to the other, and a table survives its text", () => {
  fc.assert(
    fc.property(anyFiles, anyFiles, (before, after) => {
      const base = applyDelta(undefined, before, []);
      const target = applyDelta(undefined, after, []);
      const { changed, removed } = deltaBetween(base, target);
      expect(applyDelta(base, changed, removed)).toEqual(target);
      expect(parseTable(tableText(target))).toEqual(target);
      expect(target.digest).toBe(sha256(tableText(target)));
    }),
  );
});

test("paths are sorted by their bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
      fc.pre(a.isWellFormed() && b.isWellFormed());
      expect(Math.sign(comparePaths(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test("a path that leads out of the project is refused", () => {
  for (const path of ["../x", "/x", "a//b", "a/./b", "", "a\nb"]) {
    const file = { path, digest: sha256(""), size: 0, mode: 0o644 };
    expect(() => applyDelta(undefined, [file], []), path).toThrow("is not a path inside a project");
  }
});

test("arguments are checked against a Python signature as Python would", () => {
  const parameters = [
    { name: "a", kind: "positional-only" },
    { name: "b", kind: "positional", hasDefault: true },
    { name: "key", kind: "keyword-only" },
  ];
  const spec = FunctionSpec.fromPartial({ name: "f", language: "python", parameters });
  const problem = (positional: unknown[], keywords: object) => {
    const given = {
      positional: Buffer.from(JSON.stringify(positional)),
      keywords: Buffer.from(JSON.stringify(keywords)),
      large: undefined,
    };
    return argumentsProblem(spec, given);
  };
  expect(problem([1], { key: 1 })).toBeUndefined();
  expect(problem([1, 2], { key: 1 })).toBeUndefined();
  expect(problem([1, 2], { b: 3, key: 1 })).toBe('f(a, b=…, key) got two values for "b"');
  expect(problem([1, 2, 3], { key: 1 })).toBe("f(a, b=…, key) takes 2 positional arguments, but 3 were given");
  expect(problem([], { key: 1 })).toBe('f(a, b=…, key) needs "a"');
  expect(problem([1], { key: 1, other: 1 })).toBe('f(a, b=…, key) has no parameter "other"');
  expect(argumentsProblem(spec, Arguments.fromPartial({ positional: Buffer.from("{") }))).toBe(
    "f: the positional arguments are not a JSON array",
  );
});

test("an unknown name is answered with the names that come near, or with all there are", () => {
  expect(unknownSentence("function", "embd", ["embed", "resize"], "")).toBe('there is no function "embd": did you mean embed?');
  expect(unknownSentence("function", "zzz", ["embed", "resize"], "")).toBe('there is no function "zzz": there is embed, resize');
  expect(unknownSentence("app", "zzz", [], "")).toBe('there is no app "zzz"');
});

test("records are compared and set, and survive", () => {
  const state = folder();
  {
    using engine = openSqliteEngine(state, join(state, "blobs"));
    expect(engine.records.put("kind", "key", Buffer.from("1"), 0)).toBe(1);
    expect(engine.records.put("kind", "key", Buffer.from("2"), 1)).toBe(2);
    expect(() => engine.records.put("kind", "key", Buffer.from("3"), 1)).toThrow("somebody else changed it");
    engine.records.put("kind", "gone", Buffer.from("1"), 0);
    engine.commit();
    engine.records.remove("kind", "gone");
  }
  using engine = openSqliteEngine(state, join(state, "blobs"));
  expect(engine.records.list("kind").map(({ key, revision }) => [key, revision])).toEqual([["key", 2]]);
});

test("a database of a newer hob is refused", () => {
  const state = folder();
  openSqliteEngine(state, join(state, "blobs"))[Symbol.dispose]();
  const db = new DatabaseSync(join(state, "control.db"));
  db.exec("pragma user_version = 99");
  db.close();
  expect(() => openSqliteEngine(state, join(state, "blobs"))).toThrow("it was written by a newer hob (schema 99)");
});

test("a call's arguments are stored once and come back with its last state", () => {
  const state = folder();
  const info = CallInfo.fromPartial({
    id: "a1",
    number: 1,
    app: "shop",
    state: "queued",
    arguments: { positional: Buffer.from("[1]") },
  });
  {
    using engine = openSqliteEngine(state, join(state, "blobs"));
    const call = { info, retries: 0, losses: 0 };
    engine.calls.save(call);
    engine.commit();
    info.state = "running";
    call.losses = 2;
    engine.calls.save(call);
  }
  using engine = openSqliteEngine(state, join(state, "blobs"));
  const [found] = engine.calls.unfinished();
  expect(found).toEqual({ info, retries: 0, losses: 2 });
  expect(engine.calls.list({ app: "shop", function: "", state: "", sinceMs: 0, parent: "", limit: 5 })).toEqual([info]);
});

test("old calls and lines are forgotten, those unfinished and the newest are not, and numbering goes on", () => {
  const state = folder();
  const blobs = join(state, "blobs");
  {
    using engine = openSqliteEngine(state, blobs);
    for (let number = 1; number <= 20; number++) {
      const finished = number === 3 ? { state: "running" } : { state: "succeeded", finishedAtMs: number };
      engine.calls.save({ info: CallInfo.fromPartial({ id: `${number}`, number, ...finished }), retries: 0, losses: 0 });
      engine.logs.append([LogLine.fromPartial({ text: `${number}`, timeMs: number })]);
    }
    engine.commit();
    while (engine.trim({ keepMs: 10, calls: 4, lines: 5, maps: 1_000 }, 20));
    expect(
      engine.calls.list({ app: "", function: "", state: "", sinceMs: 0, parent: "", limit: 50 }).map(({ number }) => number),
    ).toEqual([20, 19, 18, 17, 3]);
    const any = { apps: [], function: "", call: "", sinceMs: 0 };
    expect(engine.logs.page(any, 0, 50).map(({ seq }) => seq)).toEqual([16, 17, 18, 19, 20]);
    while (engine.trim({ keepMs: 1, calls: 4, lines: 5, maps: 1_000 }, 1_000));
    expect(engine.logs.page(any, 0, 50)).toHaveLength(1);
  }
  using engine = openSqliteEngine(state, blobs);
  expect(engine.calls.lastNumber()).toBe(20);
  expect(engine.logs.lastSeq()).toBe(20);
});

test("a refused version comes back with the next snapshot, and only the last good one serves until then", () => {
  const state = folder();
  using engine = openSqliteEngine(state, join(state, "blobs"));
  const registry = createRegistry(engine.records);
  const version = (digest: string, snapshot: string) =>
    Version.fromPartial({ function: "f", digest, snapshot, spec: { name: "f", language: "python" } });
  const current = () => registry.current("shop").map(({ digest, snapshot }) => `${digest} ${snapshot}`);
  registry.publish("shop", "s1", [version("v1", "s1")], []);
  registry.loaded("shop", [version("v1", "s1")]);
  registry.publish("shop", "s2", [version("v2", "s2")], []);
  expect([...registry.snapshotsInUse("shop")]).toEqual(["s2", "s1"]);
  expect(registry.refused("shop", [version("v2", "s2")])).toEqual(["f"]);
  expect(current()).toEqual(["v1 s1"]);
  engine.commit();
  const again = createRegistry(engine.records);
  expect(again.publish("shop", "s3", [], []).map(({ digest }) => digest)).toEqual(["v2"]);
  expect(again.current("shop").map(({ digest, snapshot }) => `${digest} ${snapshot}`)).toEqual(["v2 s3"]);
});

test("what waits for a client keeps its order; only lines are dropped, and every dropped line is counted", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("event", "line of a", "line of b", "drain", "sample"), { maxLength: 200 }), (steps) => {
      const written: (string | LogLine[])[] = [];
      let room = 3;
      const stream = {
        write(event: string | LogLine[]) {
          written.push(event);
          return --room > 0;
        },
        pack: (lines: LogLine[]) => lines,
        weigh: () => 1,
        overflow() {
          throw new Error("given up");
        },
      };
      const outbox = createOutbox<string | LogLine[]>(stream, { lines: 10, characters: 1_000, events: 1_000, bytes: 1_000 });
      let sent = 0;
      const said = new Map<string, number>(); // bytes by call
      const events: string[] = [];
      for (const step of steps) {
        if (step.startsWith("line")) {
          const call = step.at(-1)!;
          outbox.lines([LogLine.fromPartial({ text: "x", seq: ++sent, call })]);
          said.set(call, (said.get(call) ?? 0) + 2);
        } else if (step === "event") {
          events.push(`${events.length}`);
          outbox.send(events.at(-1)!);
        } else if (step === "sample") outbox.sample("sample");
        else {
          room = 3;
          outbox.drained();
        }
      }
      for (let i = 0; i < 200; i++) {
        room = 3;
        outbox.drained();
      }
      outbox.lines([LogLine.fromPartial({ text: "last", seq: ++sent })]);
      expect(written.filter((item) => typeof item === "string" && item !== "sample")).toEqual(events);
      const lines = written.flatMap((item) => (typeof item === "string" ? [] : item));
      const heard = new Map<string, number>();
      for (const line of lines.slice(0, -1))
        heard.set(line.call, (heard.get(line.call) ?? 0) + line.dropped + (isGap(line) ? 0 : line.text.length + 1));
      expect(heard).toEqual(said);
      expect(lines.map(({ seq }) => seq)).toEqual(lines.map(({ seq }) => seq).toSorted((a, b) => a - b));
    }),
  );
});

test("a client that leaves more results unread than it is worth keeping is given up, and what waited is let go of", () => {
  let given = 0;
  const stream = { write: () => false, pack: () => "", weigh: (event: string) => event.length, overflow: () => given++ };
  const outbox = createOutbox<string>(stream, { lines: 10, characters: 100, events: 100, bytes: 100 });
  for (let i = 0; i < 12; i++) outbox.send("x".repeat(10)); // the first is written
  expect(given).toBe(1);
});

test("latency looks at the last minute only", () => {
  const latency = createLatency();
  latency.add(0, 1_000);
  for (let i = 1; i <= 100; i++) latency.add(60_000 + i, i);
  expect(latency.percentiles(60_100)).toEqual({ p50: 51, p99: 100 });
  expect(latency.percentiles(200_000)).toEqual({ p50: 0, p99: 0 });
});

// Calls that had long ended stayed in their lane's array, with arguments and results: 69 kB a save.
test("a lane lets go of what has left it", async () => {
  const lane = createLane<{ n: number }>();
  const left: WeakRef<object>[] = [];
  const fill = (): void => {
    for (let n = 0; n < 100; n++) {
      const item = { n };
      lane.push(item);
      left.push(new WeakRef(item));
    }
    for (const item of [...lane].slice(0, 99)) lane.remove(item);
  };
  fill();
  v8.setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(left.filter((each) => each.deref())).toHaveLength(1);
  expect([...lane].map(({ n }) => n)).toEqual([99]);
});

// Runs: the same failure is one row with a count, two runs beside each other show where they differ, an input runs again or is kept.

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { inputOf } from "../../project/kept-input.ts";
import { keepInput, keptInputs, readKeptInput } from "../../project/kept-inputs.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import { differences } from "../../tui/model/compare.ts";
import type { Effect } from "../../tui/model/effects.ts";
import { listedRuns } from "../../tui/model/runs.ts";
import { initialState, type State, shownCall } from "../../tui/model/state.ts";
import { update } from "../../tui/model/update.ts";
import { drawLines } from "../../tui/screen/frame.ts";

const columns = 120;
let state: State;
let effects: Effect[];

const boom = (message: string, line = 4) => ({
  ...{ kind: "exception", type: "ValueError", message, traceback: "" },
  frames: [
    { file: "lib.py", line: 9, function: "outer", source: "inner()", own: false },
    { file: "lib.py", line: 12, function: "inner", source: "call()", own: false },
    { file: "app.py", line, function: "first", source: "raise ValueError", own: true },
  ],
});

function call(number: number, more: Parameters<typeof CallInfo.fromPartial>[0] = {}): void {
  const info = CallInfo.fromPartial({
    ...{ id: `call-${number}`, number, app: "app", function: "first", state: "succeeded", origin: "key", version: "aa" },
    ...{ arguments: { positional: Buffer.from(`[${number}]`) }, steps: [{ name: "run", ms: number }] },
    ...more,
  });
  state = update(state, { kind: "call", call: info }).state;
}

const failed = (number: number, failure = boom("bad shape"), of = "first"): void =>
  call(number, { state: "failed", failure, function: of });

function press(...keys: string[]): void {
  for (const key of keys) {
    const next = update(state, { kind: "key", key, nowMs: 1_000 });
    state = next.state;
    effects.push(...next.effects);
  }
}

const shown = (): string =>
  drawLines(state, { widgets: undefined, nowMs: 0 })
    .lines.map((spans) => spans.map(({ text }) => text).join(""))
    .join("\n");

beforeEach(() => {
  effects = [];
  state = initialState({ pool: "local", build: "test", columns, rows: 36, nowMs: 0 });
  state = update(state, { kind: "link", state: "live", sinceMs: 0, detail: "" }).state;
  const functions = ["first", "second"].map((name) => ({
    spec: FunctionSpec.fromPartial({ app: "app", name, language: "python", parameters: [{ name: "n", kind: "positional" }] }),
    ...{ version: "aa", pinned: false },
  }));
  state = update(state, { kind: "project", root: "/p", apps: ["app"], functions }).state;
});

describe("the same failure again", () => {
  test("is one row with a count, whatever other functions do meanwhile; a success between begins anew", () => {
    failed(1);
    call(2);
    failed(3, boom("at 0x7f00aa12"));
    failed(4, boom("at 0x7f00bb34"));
    call(5, { function: "second" });
    failed(6, boom("at 0x7f00cc56"));
    expect(listedRuns(state).map(({ record, calls }) => [record.info.number, calls.length])).toEqual([
      [6, 3],
      [5, 1],
      [2, 1],
      [1, 1],
    ]);
    expect(shown()).toMatch(/#6 +✗ first +×3 {2}ValueError: at 0x7f00cc/);
    press("2", "enter");
    expect(shown()).toContain("the same 3 times in a row, first #3");
  });

  test("is another at another line, with another sentence, or of another function", () => {
    failed(1);
    failed(2, boom("bad shape", 7));
    failed(3, boom("worse shape", 7));
    failed(4, boom("worse shape", 7), "second");
    expect(listedRuns(state)).toHaveLength(4);
  });

  test("moves the selection by rows, and an older one of a row that was chosen stays chosen", () => {
    call(1);
    failed(2);
    press("3", "j");
    expect(shownCall(state)?.info.number).toBe(1);
    press("k");
    failed(3);
    failed(4);
    press("j");
    expect(shownCall(state)?.info.number).toBe(1);
    press("k", "k");
    expect(shownCall(state)?.info.number).toBe(4);
  });

  test("folds the frames of others until all are asked for", () => {
    failed(1);
    press("2", "enter");
    expect(shown()).toContain("… 2 frames of others, from lib.py on");
    expect(shown()).not.toContain("lib.py:12");
    press("D");
    expect(shown()).toContain("lib.py:12  in inner");
  });
});

describe("two values", () => {
  const json = fc.jsonValue({ maxDepth: 3 });

  test("that are equal are one line, and any two that differ show a difference", () => {
    fc.assert(
      fc.property(json, json, (left, right) => {
        expect(differences(left, structuredClone(left))).toMatchObject([{ kind: "same" }]);
        const alike = JSON.stringify(left) === JSON.stringify(right);
        if (!alike && JSON.stringify(left).length !== JSON.stringify(right).length)
          expect(differences(left, right).some(({ kind }) => kind === "differs")).toBe(true);
      }),
    );
  });

  test("an element more moves none of the others; what is alike between is counted", () => {
    const left = [1, 2, 3, { shape: [3, 4], name: "a" }, 9];
    const right = [1, 2, 7, 3, { shape: [3, 5], name: "a" }, 9];
    expect(differences(left, [1, 2, 7, ...left.slice(2)]).map(({ kind, name, right: value }) => [kind, name, value])).toEqual([
      ["inside", "", [1, 2, 7, ...left.slice(2)]],
      ["alike", "0", 1],
      ["differs", "2", 7],
      ["alike", "2", 3],
    ]);
    expect(differences(left, right).filter(({ kind }) => kind === "differs")).not.toHaveLength(0);
  });
});

describe("comparing", () => {
  test("= shows the run with the one before it, its times and what differs; = again goes back", () => {
    call(8, { result: { json: Buffer.from('{"a": 1, "b": [1, 2]}') } });
    call(16, { result: { json: Buffer.from('{"a": 1, "b": [1, 3]}') } });
    press("=");
    const text = shown();
    expect(text).toMatch(/#8 +#16/);
    expect(text).toMatch(/run +8\.0 ms +16\.0 ms {2}\+8\.0 ms {2}×2\.00/);
    expect(text).toMatch(/≠ +n +8 +16/); // the input
    expect(text).toMatch(/≠ +1 +2 +3/); // the second element of b
    expect(text).toMatch(/^│ {3}a +1 +1/m);
    press("=");
    expect(state).toMatchObject({ view: "main", marked: [] });
  });

  test("+ marks up to two runs of any functions; what cannot be compared says why", () => {
    press("=");
    expect(state.notice?.text).toContain("nothing has run yet");
    call(1);
    press("=");
    expect(state.notice?.text).toContain("has run only once");
    call(2, { function: "second" });
    call(3);
    press("3", "+", "j", "+", "j", "+");
    expect(state.marked).toEqual(["call-2", "call-1"]);
    press("=");
    expect(shown()).toMatch(/#1 +#2/);
    press("esc");
    expect(state.marked).toEqual([]);
    // Two values of no common shape had ended the screen.
    call(4, { result: { json: Buffer.from("1") } });
    call(5, { result: { json: Buffer.from('"one"') } });
    press("3", "g", "=");
    expect(shown()).toMatch(/≠ +1 +"one"/);
  });
});

describe("an input again", () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-kept-"));
  const before = process.env["XDG_STATE_HOME"];
  process.env["XDG_STATE_HOME"] = folder;
  afterAll(() => {
    if (before === undefined) delete process.env["XDG_STATE_HOME"];
    else process.env["XDG_STATE_HOME"] = before;
    rmSync(folder, { recursive: true, force: true });
  });

  test("a runs what the shown run was given, not the last input; too long a one is the command line's", () => {
    failed(41);
    call(42);
    press("3", "j", "a");
    expect(effects).toMatchObject([{ kind: "call", function: "first", input: { positional: [41], keywords: {} } }]);
    call(43, { arguments: { large: { blob: "b", bytes: 9_000_000, positional: 5 } } });
    press("g", "a");
    expect(state.notice?.text).toContain("hob replay-input '#43'");
  });

  test("K keeps it as a file of its owner's, which is read again as it was", () => {
    failed(41);
    press("K");
    const [effect] = effects;
    if (effect?.kind !== "keepInput") return expect.unreachable();
    expect(keepInput(effect.input)).toBe("app.first-41");
    expect(readKeptInput("app.first-41")).toMatchObject({ positional: [41], outcome: "ValueError: bad shape" });
    expect(statSync(join(folder, "hob/kept-inputs/app.first-41.json")).mode & 0o777).toBe(0o600);
    const odd = CallInfo.fromPartial({ number: 7, app: "a/b", function: "M.f", state: "cancelled" });
    const given = { positional: Buffer.alloc(0), keywords: Buffer.from('{"n": 1}') };
    expect(keepInput(inputOf(odd, given))).toBe("a_b.M.f-7");
    expect(keptInputs().map(({ name }) => name)).toEqual(["a_b.M.f-7", "app.first-41"]);
    expect(() => readKeptInput("app.first-9")).toThrow("there is no kept input app.first-9");
  });
});

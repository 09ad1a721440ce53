// What a screen reader is told: one sentence for each thing that changes, and nothing twice.

import { beforeEach, expect, test } from "vitest";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec, LogLine } from "../../proto/gen/hob/v1/common.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { drawLines } from "../../tui/screen/frame.ts";
import { promptOf, spoken } from "../../tui/screen/spoken.ts";

let state: State;

/** What the events make said, drawn after them as the screen does. */
function said(...events: ModelEvent[]): string[] {
  const before = state;
  for (const event of events) state = update(state, event).state;
  const { viewports } = drawLines(state, { widgets: undefined, nowMs: 1_000 });
  state = update(state, { kind: "drawn", viewports }).state;
  return spoken(before, state, 1_000);
}
const press = (...keys: string[]): string[] => said(...keys.map((key): ModelEvent => ({ kind: "key", key, nowMs: 1_000 })));
const call = (number: number, more: Parameters<typeof CallInfo.fromPartial>[0]): ModelEvent => ({
  kind: "call",
  call: CallInfo.fromPartial({
    id: `c${number}`,
    number,
    app: "app",
    function: "first",
    origin: "key",
    queuedAtMs: 900,
    ...more,
  }),
});
const failure = { type: "ValueError", message: "bad shape", frames: [{ file: "app.py", line: 4, function: "first", own: true }] };

beforeEach(() => {
  state = initialState({ pool: "local", build: "test", columns: 120, rows: 36, nowMs: 0 });
  const functions = ["first", "second"].map((name) => ({
    ...{ spec: FunctionSpec.fromPartial({ app: "app", name, language: "python" }), version: "aa", pinned: false },
  }));
  expect(
    said({ kind: "link", state: "live", sinceMs: 500, detail: "" }, { kind: "project", root: "/p", apps: ["app"], functions }),
  ).toEqual(["connected to pool local", "2 functions: first, second"]);
});

test("runs: that one began, its lines, how it ended; what the pool only recalls is not told", () => {
  expect(said(call(1, { state: "succeeded", queuedAtMs: 100 }))).toEqual([]);
  expect(said(call(2, { state: "running" }))).toEqual(["run 2 of first started"]);
  const line = (text: string): LogLine => LogLine.fromPartial({ call: "c2", text });
  expect(said({ kind: "logs", lines: [line("one"), line("\x1b[31mtwo")] })).toEqual(["one", "two"]);
  const many = Array.from({ length: 50 }, (_, index) => line(`${index}`));
  expect(said({ kind: "logs", lines: many }).slice(0, 2)).toEqual(["42 lines of output before", "42"]);
  const steps = [{ name: "run", ms: 12 }];
  expect(said(call(2, { state: "succeeded", steps, result: { json: Buffer.from("[1,2]") } }))).toEqual([
    "run 2 of first done after 12.0 ms, result [1, 2]",
  ]);
  expect(said(call(3, { state: "failed", steps, failure }))).toEqual([
    "run 3 of first failed after 12.0 ms: ValueError: bad shape, app.py line 4",
  ]);
});

test("saves, faults and a pool that is gone", () => {
  const receipt = { id: 1, files: ["app.py"], removed: [], snapshot: "", bytesShipped: 0, ms: { total: 17 }, savedAtMs: 900 };
  const changes = [{ function: "first", tier: "patch" as const, reason: "body changed" }];
  expect(said({ kind: "receipt", receipt: { ...receipt, state: "described", changes } })).toEqual([]);
  expect(said({ kind: "receipt", receipt: { ...receipt, state: "loaded", changes } })).toEqual([
    "app.py saved: first body changed, patch, 17.0 ms",
  ]);
  expect(said({ kind: "receipt", receipt: { ...receipt, state: "loaded", changes, ms: { total: 18 } } })).toEqual([]);
  const diagnostics = [{ file: "app.py", line: 8, column: 1, message: "never closed", sourceLine: "(" }];
  expect(said({ kind: "diagnostics", diagnostics })).toEqual([
    "fault in app.py line 8: never closed; the versions before keep serving",
  ]);
  expect(said({ kind: "diagnostics", diagnostics: [] })).toEqual(["no fault in the text any more"]);
  expect(said({ kind: "link", state: "lost", sinceMs: 900, detail: "refused" })).toEqual(["the pool is gone: refused"]);
});

test("where one goes: functions, panes, runs, a view with its lines, and back", () => {
  said(call(3, { state: "failed", failure, steps: [{ name: "run", ms: 12 }] }));
  expect(press("j")).toEqual(["second, Python, no run yet, 2 of 2"]);
  expect(press("3")).toEqual(["Runs"]);
  const view = press("1", "k", "2", "enter");
  expect(view.slice(0, 4)).toEqual([
    "first, Python, last run failed, 1 of 2",
    ...["Run #3  first()", "State", expect.stringContaining("failed after 12.0 ms")],
  ]);
  expect(view.join("\n")).not.toMatch(/[─│▇]/);
  expect(press("esc")).toEqual(["back, Run"]);
  expect(press("c")[0]).toContain("c cancel: ");
});

test("what is typed stands in the prompt; what is found and refused is told", () => {
  expect(press("R")[0]).toContain("input of app/first");
  press("1");
  expect(promptOf(state)).toContain("input: ");
  expect(press("esc", ":")[0]).toMatch(/^run: /);
  expect(press("c", "o", "m", "p", "a", "r")[0]).toMatch(/^compare: /);
  expect(promptOf(state)).toBe("command: compar");
});

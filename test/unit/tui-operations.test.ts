// Deployments and schedules on the screen: what is shown of them, when they are asked for, and the key that deploys.

import { beforeEach, expect, test } from "vitest";
import type { Operations } from "../../project/events.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import { AppInfo } from "../../proto/gen/hob/v1/deployments.ts";
import { FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { ScheduleInfo } from "../../proto/gen/hob/v1/schedules.ts";
import type { Effect } from "../../tui/model/effects.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { drawLines } from "../../tui/screen/frame.ts";
import { timeOfDay } from "../../tui/units.ts";

const nowMs = Date.UTC(2026, 0, 9, 14, 0, 0);
let state: State;
let effects: Effect[];

function send(...events: ModelEvent[]): void {
  for (const event of events) {
    const next = update(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
}
function press(...keys: string[]): void {
  for (const key of keys) send({ kind: "key", key, nowMs });
}
const shown = (): string[] =>
  drawLines(state, { widgets: undefined, nowMs }).lines.map((spans) => spans.map(({ text }) => text).join(""));

const told: Operations = {
  apps: [
    AppInfo.fromPartial({
      ...{ app: "images", functions: 4, changed: 2 },
      live: {
        ...{ app: "images", number: 12, atMs: nowMs - 60_000, by: "ada@laptop", note: "faster", live: true },
        functions: [{}, {}, {}],
        changes: [
          { function: "embed", kind: "changed", before: "sha256:aaaaaaaa", after: "bbbbbbbb" },
          { function: "resize", kind: "added", after: "cccccccc" },
        ],
      },
    }),
    AppInfo.fromPartial({ app: "reports", functions: 1 }),
  ],
  schedules: [
    ScheduleInfo.fromPartial({
      ...{ app: "images", function: "hourly", schedule: { cron: "0 * * * *" }, deployment: 12, nextMs: nowMs + 3_420_000 },
      firings: [{ firedMs: nowMs - 180_000, outcome: { number: 41, state: "failed", failure: { message: "no\nmore" } } }],
    }),
    ScheduleInfo.fromPartial({
      app: "reports",
      function: "nightly",
      schedule: { periodMs: 300_000 },
      deployment: 1,
      paused: true,
    }),
  ],
};

beforeEach(() => {
  effects = [];
  state = initialState({ pool: "local", build: "test", columns: 120, rows: 36, nowMs });
  const spec = FunctionSpec.fromPartial({ app: "images", name: "embed", language: "python" });
  send(
    { kind: "link", state: "live", sinceMs: 0, detail: "" },
    { kind: "project", root: "/p", apps: ["images"], functions: [{ spec, version: "aa", pinned: false }] },
  );
});

test("A shows what is live, what differs, and when the clock calls, in columns; esc goes back", () => {
  press("A");
  expect(effects).toEqual([{ kind: "operations" }]);
  expect(shown().join()).toContain("asking control");
  send({ kind: "operations", told, nowMs });
  const rows = shown();
  const at = (text: string): string => rows.find((row) => row.includes(text)) ?? "";
  const head = at("WHAT RUNS HERE");
  const images = at("images   deployment 12");
  for (const [title, value] of [
    ["SINCE", timeOfDay(nowMs - 60_000)],
    ["BY", "ada@laptop"],
    ["WHAT", "2 functions differ  faster"],
  ] as const)
    expect(images.indexOf(value), value).toBe(head.indexOf(title));
  expect(at("reports  not deployed")).not.toBe("");
  expect(at("≠ embed   aaaaaa → bbbbbb")).not.toBe("");
  expect(at("+ resize  cccccc")).not.toBe("");
  expect(at("images/hourly")).toMatch(
    new RegExp(`0 \\* \\* \\* \\* UTC +in 57 min +${timeOfDay(nowMs - 180_000)}  ✗ #41  failed  no`),
  );
  expect(at("reports/nightly")).toMatch(/every 5 minutes {2}‖ paused/);
  press("esc");
  expect(state.view).toBe("main");
});

test("they are asked for every two seconds while they are looked at, and stay, with the reason, when control is away", () => {
  press("A");
  send({ kind: "operations", told, nowMs }, { kind: "tick", nowMs: nowMs + 1_000 });
  expect(effects).toHaveLength(1);
  send({ kind: "tick", nowMs: nowMs + 2_000 }, { kind: "tick", nowMs: nowMs + 3_000 });
  expect(effects).toHaveLength(2);
  send({ kind: "operations", told: { problem: "there is no connection to control" }, nowMs: nowMs + 3_000 });
  expect(shown().join()).toContain("as it was: there is no connection to control");
  expect(shown().join()).toContain("deployment 12");
  press("A");
  send({ kind: "tick", nowMs: nowMs + 9_000 });
  expect(effects).toHaveLength(2);
});

test("d deploys the function's app only when it is pressed twice in a row", () => {
  press("d");
  expect(shown().at(-1)).toContain("d again deploys images: what runs here becomes what its callers get");
  press("j", "d");
  expect(effects).toEqual([]);
  press("d");
  expect(effects).toEqual([{ kind: "deploy", app: "images" }]);
  press("d");
  expect(effects).toHaveLength(1);
});

test("d says why it cannot: a fault in the text, a pool that is away", () => {
  send({ kind: "diagnostics", diagnostics: [{ file: "a.py", line: 1, column: 1, message: "no", sourceLine: "x" }] });
  press("d");
  expect(state.notice?.text).toContain("the project has a fault");
  send({ kind: "diagnostics", diagnostics: [] }, { kind: "link", state: "lost", sinceMs: 0, detail: "" });
  press("d");
  expect(state.notice?.text).toContain("not connected");
  expect(state.confirming).toBeUndefined();
});

test("a function that the clock calls says in its row when; that is asked once the pool is there, and again when it has fired", () => {
  const spec = FunctionSpec.fromPartial({
    ...{ app: "images", name: "hourly", language: "python" },
    schedule: { cron: "0 * * * *" },
  });
  const sample = (timeMs: number): ModelEvent => ({ kind: "fleet", sample: FleetSample.fromPartial({ timeMs }) });
  send(sample(nowMs));
  expect(effects).toEqual([]); // no function of the project has a schedule
  send({ kind: "project", root: "/p", apps: ["images"], functions: [{ spec, version: "aaaaaaaa", pinned: false }] });
  const row = (): string => shown().find((text) => text.includes("hourly")) ?? "";
  expect(row()).toMatch(/hourly +py +0 \* \* \* \* UTC +aaaaaa/);
  send(sample(nowMs), sample(nowMs + 500));
  expect(effects).toEqual([{ kind: "operations" }]);
  send({ kind: "operations", told, nowMs });
  expect(row()).toMatch(/hourly +py +next 57 min {2}0 \* \* \* \* UTC/);
  send({ kind: "operations", told: { ...told, schedules: [{ ...told.schedules[0]!, deployment: 0 }] }, nowMs });
  expect(row()).toContain("not deployed");
  send({ kind: "operations", told: { ...told, schedules: [{ ...told.schedules[0]!, nextMs: nowMs + 1_000 }] }, nowMs });
  effects = [];
  send(sample(nowMs + 900), sample(nowMs + 1_400), sample(nowMs + 1_900));
  expect(effects).toEqual([{ kind: "operations" }]);
});

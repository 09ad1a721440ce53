// Whatever functions, projects and nodes call themselves and print: every row of every view has the screen's width, and nothing of it but our own
// attributes reaches the terminal.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec, LogLine } from "../../proto/gen/hob/v1/common.ts";
import { FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { defaultConfig } from "../../tui/config.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { drawScreen } from "../../tui/screen/frame.ts";
import { choosePalette } from "../../tui/screen/palette.ts";

const nasty = [
  "\x1b[2J\x1b[H",
  "\x1b]0;title\x07",
  "\x1b]52;c;cm0gLXJm\x07",
  "\x1bP+q544e\x1b\\",
  "\x1b[?1049l",
  "\x1b",
  "\x9b31m",
  "\x90",
  "\x00",
  "\x07",
  "\b\b\b",
  "\x7f",
  "\r",
  "\n",
  "\t",
  "漢字かな",
  "한글",
  "👩‍👩‍👧‍👦",
  "🏳️‍🌈",
  "é",
  "a\u0300\u0301\u0302",
  "\u202e\u202dשלום عربى",
  "\ud800",
  "\udfff",
  "\ufffd",
  "\u2028",
  "\u00ad\u200b\u2060",
  "￿",
  "ﷺ",
  "x".repeat(300),
  '"}],',
  "…│╭⣿",
  "%s %n",
  "__proto__",
];
const hostile = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...nasty) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(""));

const views = ["", "2 enter", "2 enter D", "=", "3 enter", "l", "L", "L w", "F", "I", "?", "R", ":", "/", "w"];

function stateOf(texts: readonly string[], size: { columns: number; rows: number }): State {
  let next = 0;
  const text = (): string => texts[next++ % texts.length] ?? "";
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const spec = FunctionSpec.fromPartial({
    app: "a",
    name: text(),
    language: "python",
    doc: text(),
    returns: text(),
    parameters: [{ name: text(), kind: "positional", annotation: text() }],
  });
  const call = (number: number, more: object) =>
    CallInfo.fromPartial({
      id: `${number}`,
      number,
      app: "a",
      function: spec.name,
      node: text(),
      container: text(),
      version: text(),
      origin: text(),
      state: "succeeded",
      startedAtMs: 1,
      finishedAtMs: 2,
      ...more,
    });
  const frame = { file: text(), line: 3, function: text(), source: text(), own: true };
  const diagnostic = { file: text(), line: 1, column: 2, message: text(), sourceLine: text() };
  const failure = { kind: "user", type: text(), message: text(), traceback: text(), frames: [frame] };
  const step = { name: text(), ms: 3 };
  const container = { id: text(), app: text(), state: text(), calls: [text()] };
  const gpu = { name: text(), functions: [text()], processes: [{ name: text() }] };
  const image = { source: text(), digest: text(), view: text() };
  const events: ModelEvent[] = [
    { kind: "project", root: text(), apps: [text()], functions: [{ spec, version: text(), pinned: true }] },
    { kind: "link", state: "lost", sinceMs: 0, detail: text() },
    { kind: "diagnostics", diagnostics: [diagnostic] },
    {
      kind: "call",
      call: call(1, {
        arguments: { positional: json([text()]), keywords: json({ [text()]: text() }) },
        result: { json: json({ [text()]: [text()] }) },
        steps: [step],
      }),
    },
    { kind: "call", call: call(2, { state: "failed", failure }) },
    {
      kind: "logs",
      lines: texts.map((each, seq) =>
        LogLine.fromPartial({
          call: "2",
          app: "a",
          function: spec.name,
          text: each,
          container: text(),
          stream: seq % 2 ? "stderr" : "stdout",
          seq,
        }),
      ),
    },
    {
      kind: "fleet",
      sample: FleetSample.fromPartial({
        timeMs: 1,
        nodes: [{ name: text(), state: "ready", cores: 2, gpus: [gpu], containers: [container], images: [image] }],
      }),
    },
    { kind: "progress", what: text(), phase: text(), done: 1, total: 3, unit: text(), node: text(), message: text() },
    { kind: "notice", level: "error", text: text(), timeMs: 1 },
  ];
  const start = initialState({ pool: text(), build: text(), ...size, nowMs: 0 });
  return events.reduce((state, event) => update(state, event).state, start);
}

describe("hostile text", () => {
  const palette = choosePalette({ TERM: "xterm" }, defaultConfig);
  const size = fc.constantFrom({ columns: 80, rows: 24 }, { columns: 120, rows: 36 }, { columns: 300, rows: 80 });

  test("fits every view, and none of its escapes is left", () => {
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 12, maxLength: 40 }), size, (texts, { columns, rows }) => {
        const start = stateOf(texts, { columns, rows });
        for (const keys of views) {
          let state = start;
          for (const key of keys.split(" ").filter((each) => each !== ""))
            state = update(state, { kind: "key", key, nowMs: 1 }).state;
          const drawn = drawScreen(state, { palette, widgets: undefined, nowMs: 5 }).rows;
          expect(drawn).toHaveLength(rows);
          for (const row of drawn) {
            const plain = row.replace(/\x1b\[[\d;]*m|\x1b\]8;;(?:file:\/\/[\x21-\x7e]*)?\x1b\\/g, "");
            if (plain.length !== columns || /[\p{Cc}\p{Cf}\p{Cs}\p{M}]/u.test(plain))
              expect.fail(`${keys || "main"}: ${JSON.stringify(row)}`);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test("lines of a megabyte, of whatever they are made, hold nothing up", () => {
    for (const piece of ["x", "\x1b[31mred", "漢", "\x1b]0;", "a b "]) {
      const text = piece.repeat(Math.ceil(1_048_576 / piece.length));
      const json = Buffer.from(JSON.stringify({ [text]: text }));
      const failure = { kind: "user", type: "Error", message: text, traceback: text, frames: [] };
      const events: ModelEvent[] = [
        { kind: "logs", lines: [LogLine.fromPartial({ call: "3", app: "a", function: "f", text })] },
        {
          kind: "call",
          call: CallInfo.fromPartial({ id: "3", number: 3, app: "a", function: "f", state: "succeeded", result: { json } }),
        },
        { kind: "call", call: CallInfo.fromPartial({ id: "4", number: 4, app: "a", function: "f", state: "failed", failure }) },
      ];
      const start = events.reduce((state, event) => update(state, event).state, stateOf(["words"], { columns: 120, rows: 36 }));
      const before = process.cpuUsage();
      for (const keys of views) {
        let state = start;
        for (const key of keys.split(" ").filter((each) => each !== ""))
          state = update(state, { kind: "key", key, nowMs: 1 }).state;
        drawScreen(state, { palette, widgets: undefined, nowMs: 5 });
      }
      const cpuMs = process.cpuUsage(before).user / 1000 / views.length;
      expect(cpuMs, JSON.stringify(piece)).toBeLessThan(150);
    }
  });
});

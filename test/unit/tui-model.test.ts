// What the screen knows: every event and key as a step from one state to the next.

import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { WorkbenchEvent } from "../../project/events.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec, LogLine } from "../../proto/gen/hob/v1/common.ts";
import { checkKeys, keyTable } from "../../tui/keys.ts";
import { medianMs, newestFirst } from "../../tui/model/calls.ts";
import { browse, editLine, insert, openEditor, parseInput } from "../../tui/model/editor.ts";
import type { Effect } from "../../tui/model/effects.ts";
import { initialState, type State, selectedFunction, shownCall } from "../../tui/model/state.ts";
import { coalesce, type ModelEvent, update } from "../../tui/model/update.ts";
import { drawScreen } from "../../tui/screen/frame.ts";

const spec = (name: string, needsArgument = false) =>
  FunctionSpec.fromPartial({
    app: "app",
    name,
    language: "python",
    parameters: needsArgument ? [{ name: "path", kind: "positional" }] : [],
  });

const call = (number: number, state: string, more: Partial<CallInfo> = {}): WorkbenchEvent => ({
  kind: "call",
  call: CallInfo.fromPartial({
    id: `call-${number}`,
    number,
    app: "app",
    function: "first",
    state,
    origin: "key",
    arguments: { positional: Buffer.from('["a"]') },
    ...more,
  }),
});

const line = (text: string, callId = "call-1"): LogLine => LogLine.fromPartial({ call: callId, text, stream: "stdout" });

let state: State;
let effects: Effect[];

function send(...events: ModelEvent[]): void {
  for (const event of events) {
    const step = update(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
}

function press(...keys: string[]): void {
  for (const key of keys) send({ kind: "key", key, nowMs: 1000 });
}

beforeEach(() => {
  effects = [];
  state = initialState({ pool: "local", build: "test", columns: 120, rows: 36, nowMs: 0 });
  send(
    { kind: "link", state: "live", sinceMs: 0, detail: "" },
    {
      kind: "project",
      root: "/p",
      apps: ["app"],
      functions: [
        { spec: spec("first"), version: "aa", pinned: false },
        { spec: spec("second", true), version: "bb", pinned: true },
      ],
    },
  );
});

describe("calls", () => {
  test("a late update does not undo an outcome", () => {
    send(call(1, "succeeded"), call(1, "running"));
    expect(shownCall(state)?.info.state).toBe("succeeded");
  });

  test("an outcome counts once for its function, however often it is told", () => {
    const done = call(1, "succeeded", { steps: [{ name: "run", ms: 12 }] });
    send(done, done, done);
    expect(state.calls.recent.get("app/first")).toEqual([{ state: "succeeded", ms: 12 }]);
  });

  test("the book stays bounded, keeps what is under way, and counts what it forgot", () => {
    send(call(0, "running"));
    for (let number = 1; number <= 700; number++) send(call(number, "succeeded"));
    expect(state.calls.byId.size).toBe(500);
    expect(state.calls.forgotten).toBe(201);
    expect(state.calls.byId.has("call-0")).toBe(true);
    expect(newestFirst(state.calls)[0]?.info.number).toBe(700);
  });

  test("large results do not fill the memory: the oldest calls go first", () => {
    const json = Buffer.alloc(1 << 20);
    for (let number = 1; number <= 100; number++) send(call(number, "succeeded", { result: { json, large: undefined } }));
    expect(state.calls.byId.size).toBe(63); // with their inputs, below 64 MiB
    expect(state.calls.byId.has("call-100")).toBe(true);
    expect(state.calls.forgotten).toBe(37);
  });

  test("a burst taken in at once gives what one by one gives", () => {
    const numbered = fc.array(
      fc.record({ number: fc.integer({ min: 1, max: 8 }), state: fc.constantFrom("queued", "running", "succeeded", "failed") }),
    );
    fc.assert(
      fc.property(numbered, (changes) => {
        const events = changes.map((change) => call(change.number, change.state));
        const before = state;
        const single = events.reduce((now, event) => update(now, event).state, before);
        const burst = coalesce(events).reduce((now, event) => update(now, event).state, before);
        expect([...burst.calls.byId]).toEqual([...single.calls.byId]);
        expect([...burst.calls.recent]).toEqual([...single.calls.recent]);
      }),
    );
  });

  test("the median is of successful runs", () => {
    const runs = [5, 1, 3].map((ms) => ({ state: "succeeded" as const, ms }));
    expect(medianMs([...runs, { state: "failed", ms: 900 }])).toBe(3);
    expect(medianMs([])).toBeUndefined();
  });
});

describe("logs", () => {
  test("stay bounded for a call, in order, and what fell out is counted", () => {
    for (let batch = 0; batch < 120; batch++) {
      send({ kind: "logs", lines: Array.from({ length: 70 }, (_, index) => line(`${batch * 70 + index}`)) });
    }
    const log = state.logs.byCall.get("call-1");
    const texts = log?.chunks.flat().map(({ text }) => Number(text)) ?? [];
    expect(texts.length).toBe(log?.lines);
    expect(texts.length).toBeLessThanOrEqual(5_000);
    expect(texts.at(-1)).toBe(8_399);
    expect(texts[0]).toBe(log?.dropped);
    expect(texts).toEqual([...texts].sort((a, b) => a - b));
  });

  test("long lines do not fill the memory: the oldest go first, and are counted", () => {
    const text = "x".repeat(64 * 1024);
    for (let batch = 0; batch < 20; batch++) {
      send({ kind: "logs", lines: Array.from({ length: 100 }, () => line(text, `call-${batch % 2}`)) });
    }
    const { all, byCall } = state.logs;
    for (const { lines, characters } of [all, ...byCall.values()]) {
      expect(lines).toBeLessThanOrEqual(512); // 32 MiB
      expect(characters).toBe(lines * text.length);
    }
    expect(all.lines + all.dropped).toBe(2_000);
  });

  test("stay bounded over all calls, the oldest output going first", () => {
    for (let number = 0; number < 30; number++) {
      send({ kind: "logs", lines: Array.from({ length: 1_000 }, () => line("x", `call-${number}`)) });
    }
    expect(state.logs.lines).toBeLessThanOrEqual(20_000);
    expect(state.logs.byCall.has("call-0")).toBe(false);
    expect(state.logs.byCall.get("call-29")?.lines).toBe(1_000);
  });
});

describe("keys", () => {
  test("no key has two actions", () => {
    expect(() => checkKeys(keyTable)).not.toThrow();
  });

  test("two actions on one key are refused, both named", () => {
    const clash = { ...keyTable[0], keys: ["q"], name: "other" } as (typeof keyTable)[number];
    expect(() => checkKeys([...keyTable, clash])).toThrow('key "q" is bound to "quit" and to "other"');
  });

  test("r runs a function that needs no arguments, and the latest input of one that had some", () => {
    press("r");
    expect(effects).toMatchObject([{ kind: "call", function: "first", input: { positional: [], keywords: {} } }]);
    send(call(1, "succeeded"));
    press("r");
    expect(effects[1]).toMatchObject({ kind: "call", input: { positional: ["a"] } });
  });

  test("r asks for the input where there is none", () => {
    press("j", "r");
    expect(effects).toEqual([]);
    expect(state.editor).toMatchObject({ functionKey: "app/second", purpose: "run", text: "[]" });
  });

  test("what was accepted is the last input, and what was refused stays in the editor with the reason", () => {
    press("R", "1", "enter");
    expect(effects).toMatchObject([{ kind: "call", input: { positional: [1] } }]);
    send({ kind: "refused", sentence: "first takes no arguments", nowMs: 1 });
    expect(state.editor?.problem).toBe("not sent: first takes no arguments");
    send({ kind: "accepted", app: "app", function: "first", input: { positional: [1], keywords: {} } });
    expect(state.editor).toBeUndefined();
    press("r");
    expect(effects.at(-1)).toMatchObject({ input: { positional: [1] } });
  });

  test("p unpins what is pinned", () => {
    press("j", "p");
    expect(effects).toEqual([{ kind: "unpin", app: "app", function: "second" }]);
  });

  test("nothing is run while the pool is away, and the key says why", () => {
    send({ kind: "link", state: "lost", sinceMs: 5, detail: "" });
    press("r");
    expect(effects).toEqual([]);
    expect(state.notice?.text).toBe("r run: the pool is not connected (lost)");
  });

  test("ctrl-c quits only as the second in a row", () => {
    press("ctrl-c", "j", "ctrl-c");
    expect(effects).toEqual([]);
    press("ctrl-c");
    expect(effects).toEqual([{ kind: "quit" }]);
  });

  test("ctrl-c leaves the editor and the filter before it does anything else", () => {
    press("R", "ctrl-c");
    expect(state.editor).toBeUndefined();
    press("/", "x", "ctrl-c");
    expect(state).toMatchObject({ filtering: false, filters: { functions: "" }, interrupted: false });
  });

  test("a call chosen in Runs stays shown when newer ones come, and g shows the newest again", () => {
    send(call(1, "succeeded"), call(2, "succeeded"));
    press("3", "j");
    expect(shownCall(state)?.info.number).toBe(1);
    send(call(3, "succeeded"));
    expect(shownCall(state)?.info.number).toBe(1);
    press("g");
    expect(shownCall(state)?.info.number).toBe(3);
  });

  test("scrolling up leaves the end of the output, and reaching it follows again", () => {
    send(call(1, "running"), { kind: "logs", lines: Array.from({ length: 100 }, (_, index) => line(`${index}`)) });
    const draw = (): void => {
      const { viewports } = drawScreen(state, {
        palette: { colours: false, ascii: false, accent: 36, links: true },
        widgets: undefined,
        nowMs: 0,
      });
      send({ kind: "drawn", viewports });
    };
    draw();
    press("2", "k", "k");
    const { top } = state.scroll.run;
    expect(state.scroll.run.follow).toBe(false);
    send({ kind: "logs", lines: [line("more")] });
    draw();
    expect(state.viewports.run?.top).toBe(top);
    press("G");
    expect(state.scroll.run.follow).toBe(true);
  });

  test("any keys in any order leave a state that can be drawn", () => {
    const keys = [...keyTable.flatMap((binding) => binding.keys), "x", "[", '"', "backspace", "left"];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...keys), { maxLength: 40 }), (pressed) => {
        send(call(1, "succeeded"), { kind: "logs", lines: [line("one")] });
        press(...pressed);
        const { rows } = drawScreen(state, {
          palette: { colours: false, ascii: false, accent: 36, links: true },
          widgets: undefined,
          nowMs: 0,
        });
        expect(rows.map((row) => row.replace(/\x1b\[[\d;]*m/g, "").length)).toEqual(Array.from({ length: 36 }, () => 120));
      }),
    );
  });
});

describe("the project", () => {
  test("the selection stays with its function when others come and go", () => {
    press("j");
    send({
      kind: "project",
      root: "/p",
      apps: ["app"],
      functions: [
        { spec: spec("new"), version: "", pinned: false },
        { spec: spec("second"), version: "cc", pinned: false },
      ],
    });
    expect(selectedFunction(state)?.spec.name).toBe("second");
    send({ kind: "project", root: "/p", apps: ["app"], functions: [] });
    expect(selectedFunction(state)).toBeUndefined();
  });

  test("until a function is chosen, the one that the latest save ran is selected", () => {
    send(call(1, "succeeded", { function: "second", origin: "save" }));
    expect(selectedFunction(state)?.spec.name).toBe("second");
    press("k");
    send(call(2, "succeeded", { function: "second", origin: "save" }));
    expect(selectedFunction(state)?.spec.name).toBe("first");
  });

  test("a receipt that grows stays one receipt, the newest first", () => {
    const receipt = {
      id: 1,
      state: "described" as const,
      files: ["a.py"],
      changes: [],
      removed: [],
      snapshot: "s",
      bytesShipped: 0,
      ms: {},
      savedAtMs: 0,
    };
    send(
      { kind: "receipt", receipt },
      { kind: "receipt", receipt: { ...receipt, id: 2 } },
      { kind: "receipt", receipt: { ...receipt, state: "loaded" } },
    );
    expect(state.receipts.map(({ id, state: known }) => [id, known])).toEqual([
      [2, "described"],
      [1, "loaded"],
    ]);
  });

  test("a notice goes after eight seconds on the screen", () => {
    send(
      { kind: "notice", level: "info", text: "hello", timeMs: 99_999 },
      { kind: "tick", nowMs: 1_000 },
      { kind: "tick", nowMs: 8_000 },
    );
    expect(state.notice?.text).toBe("hello");
    send({ kind: "tick", nowMs: 9_100 });
    expect(state.notice).toBeUndefined();
  });
});

describe("the input line", () => {
  test("an array is positional, an object named, anything else refused with a sentence", () => {
    expect(parseInput('["a", 1]')).toEqual({ ok: true, input: { positional: ["a", 1], keywords: {} } });
    expect(parseInput('{"path": "a"}')).toEqual({ ok: true, input: { positional: [], keywords: { path: "a" } } });
    expect(parseInput('"a"')).toMatchObject({ ok: false });
    expect(parseInput("[1")).toMatchObject({ ok: false });
  });

  test("the cursor never stands inside a character, whatever is typed", () => {
    const moves = ["left", "right", "home", "end", "backspace", "delete", "ctrl-w", "alt-b", "alt-f", "alt-d"];
    const keys = fc.array(fc.constantFrom(...moves, "😀", "é", "x"), { maxLength: 40 });
    fc.assert(
      fc.property(keys, (pressed) => {
        let editor = openEditor("app/first", "run", "[]");
        for (const key of pressed) editor = editLine(editor, key) ?? insert(editor, key);
        expect(editor.cursor).toBeLessThanOrEqual(editor.text.length);
        expect(editor.text.isWellFormed()).toBe(true);
        expect(editor.text.slice(0, editor.cursor).isWellFormed()).toBe(true);
      }),
    );
  });

  test("up goes through earlier inputs and down comes back to the draft", () => {
    const history = ["[2]", "[1]"];
    const typed = insert(openEditor("app/first", "run", "[]"), "9");
    const older = browse(browse(typed, history, 1), history, 1);
    expect(older.text).toBe("[1]");
    expect(browse(browse(older, history, -1), history, -1).text).toBe("[9]");
  });
});

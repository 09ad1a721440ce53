// A failure as it is drawn: source lines in colours, the variables of its frames once they were asked for.

import { beforeEach, describe, expect, test } from "vitest";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import type { Effect } from "../../tui/model/effects.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { drawLines } from "../../tui/screen/frame.ts";
import { sourceLine } from "../../tui/screen/source.ts";

describe("a line of source", () => {
  const styled = (text: string, file: string): string[] =>
    sourceLine(text, file)
      .filter(({ style }) => style !== "plain")
      .map(({ text: part, style }) => `${style} ${part}`);

  test.each([
    ['raise ValueError(f"no {path}") # so', "app.py", ["accent raise", 'good f"no {path}"', "dim # so"]],
    ["await self.import_all('it\\'s', None)", "a/b.pyi", ["accent await", "good 'it\\'s'", "accent None"]],
    ['x = "open', "app.py", ['good "open']],
    ["throw new Error(`a // no`); // yes", "app.ts", ["accent throw", "accent new", "good `a // no`", "dim // yes"]],
    ["return { ...import_, of: 'a' };", "x.tsx", ["accent return", "good 'a'"]],
    ["return 1", "Makefile", []],
  ])("%s", (text, file, expected) => expect(styled(text, file)).toEqual(expected));

  test("comes out whole, whatever is in it", () => {
    const text = `été = "\u202eab" + '\x1b[31m' # \t x`;
    const joined = sourceLine(text, "app.py").map((part) => part.text);
    expect(joined.join("")).toBe(
      sourceLine(text, "other")
        .map((part) => part.text)
        .join(""),
    );
  });
});

describe("the variables of a failure", () => {
  let state: State;
  let effects: Effect[];
  const send = (...events: ModelEvent[]): void => {
    for (const event of events) {
      const next = update(state, event);
      state = next.state;
      effects.push(...next.effects);
    }
  };
  const press = (key: string): void => send({ kind: "key", key, nowMs: 1 });
  const shown = (): string =>
    drawLines(state, { widgets: undefined, nowMs: 0 })
      .lines.map((spans) => spans.map(({ text }) => text).join(""))
      .join("\n");
  const frame = (line: number, own = true) => ({
    file: own ? "app.py" : "/usr/lib/x.py",
    line,
    function: "f",
    source: "f()",
    own,
  });
  const local = (name: string, value: string) => ({ name, value });

  beforeEach(() => {
    effects = [];
    state = initialState({ pool: "local", build: "test", columns: 120, rows: 36, nowMs: 0 });
    const spec = FunctionSpec.fromPartial({ app: "app", name: "f", language: "python" });
    const failure = {
      kind: "exception",
      type: "ValueError",
      message: "no",
      frames: [frame(1), frame(9, false), frame(1), frame(2)],
    };
    send(
      { kind: "link", state: "live", sinceMs: 0, detail: "" },
      { kind: "project", root: "/p", apps: ["app"], functions: [{ spec, version: "aa", pinned: false }] },
      { kind: "call", call: CallInfo.fromPartial({ id: "c", number: 1, app: "app", function: "f", state: "failed", failure }) },
    );
  });

  test("are asked for with a key, stand below their frames in columns, and go with the same key", () => {
    press("i");
    expect(effects).toEqual([{ kind: "inspect", call: "c" }]);
    expect(shown()).toContain("asking its process for the variables …");
    const frames = [
      { file: "app.py", line: 1, function: "f", locals: [local("n", "3"), local("longer", "[1, 2]")] },
      { file: "app.py", line: 2, function: "f", locals: [] },
    ];
    send({ kind: "inspected", call: "c", frames, reason: "" });
    // The first of the two frames at line 1 is further out than what was told.
    expect(shown()).toMatch(/app.py:1 {2}in f.*\n.*f\(\).*\n.*app.py:1 {2}in f.*\n.*\n.* n {7}3 .*\n.* longer {2}\[1, 2\]/);
    expect(shown()).toContain("no variables");
    press("i");
    expect(shown()).not.toContain("longer");
    expect(effects).toHaveLength(1);
  });

  // In a terminal of 80×24 five variables filled the pane, and nothing said what they were of.
  test("leave the failure's sentence in sight, however low the pane", () => {
    send({ kind: "resize", columns: 80, rows: 24 });
    press("i");
    const locals = Array.from({ length: 12 }, (_, index) => local(`v${index}`, `${index}`));
    send({ kind: "inspected", call: "c", frames: [{ file: "app.py", line: 2, function: "f", locals }], reason: "" });
    expect(shown()).toMatch(/2 Run #1.*\n.*failed.*\n│ ✗ ValueError: no .*\n.* v8 /);
    expect(shown()).toContain("v11");
  });

  test("say why they cannot be had, and are asked for again; what came for another call changes nothing", () => {
    press("i");
    send({ kind: "inspected", call: "another", frames: [], reason: "odd" });
    expect(shown()).toContain("asking its process");
    send({ kind: "inspected", call: "c", frames: [], reason: "its container has ended" });
    expect(shown()).toContain("no variables: its container has ended");
    press("i");
    expect(effects).toHaveLength(2);
  });

  test("are of failures only", () => {
    send({ kind: "call", call: CallInfo.fromPartial({ id: "d", number: 2, app: "app", function: "f", state: "succeeded" }) });
    press("i");
    expect(effects).toEqual([]);
    expect(state.notice?.text).toContain("has not failed");
  });
});

// Input: JSON checked as it is typed, names completed, history kept, the palette's fuzzy search.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inputsFile } from "../../base/paths.ts";
import { FunctionSpec, type Parameter } from "../../proto/gen/hob/v1/common.ts";
import { paletteItems } from "../../tui/model/commands.ts";
import { checkInput, parameterAt } from "../../tui/model/completion.ts";
import { fuzzyMatch } from "../../tui/model/fuzzy.ts";
import { scanLine } from "../../tui/model/json-line.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { update } from "../../tui/model/update.ts";
import { keepInputs, readInputs } from "../../tui/terminal/inputs.ts";

const parameter = (name: string, more: Partial<Parameter> = {}): Parameter => ({
  name,
  kind: "positional",
  hasDefault: false,
  annotation: "",
  ...more,
});
const spec = FunctionSpec.fromPartial({
  app: "images",
  name: "embed",
  language: "python",
  parameters: [
    parameter("path"),
    parameter("width", { hasDefault: true }),
    parameter("whiten", { kind: "keyword-only", hasDefault: true }),
  ],
});

function opened(...keys: string[]): State {
  let state = initialState({ pool: "p", build: "b", columns: 120, rows: 36, nowMs: 0 });
  const functions = [spec, FunctionSpec.fromPartial({ app: "images", name: "Model.predict", language: "python" })];
  state = update(state, {
    kind: "project",
    root: "/p",
    apps: ["images"],
    functions: functions.map((each) => ({ spec: each, version: "v", pinned: false })),
  }).state;
  state = update(state, { kind: "link", state: "live", sinceMs: 0, detail: "" }).state;
  return keys.reduce((before, key) => update(before, { kind: "key", key, nowMs: 1 }).state, state);
}

describe("a line of JSON", () => {
  test("is whole exactly where JSON.parse takes it, and its beginnings are never at fault", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), (text) => {
        expect(scanLine(text, 0)).toMatchObject({ fault: undefined, missing: "" });
        const start = text.slice(0, Math.floor(text.length / 2));
        expect(scanLine(start, start.length).fault).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'[]{},:"\\ 1-tn'), maxLength: 12 }), (text) => {
        const { fault, missing } = scanLine(text, 0);
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        if (valid) expect(fault).toBeUndefined();
        else expect(fault !== undefined || missing !== "").toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['["a" 1]', "wrong", "expected a comma or the closing bracket", 5],
    ['{path: "a"}', "wrong", 'expected a name in "quotes" or }', 1],
    ['["a.png"', "unfinished", "]", undefined],
    ['{"path": "a', "unfinished", '"}', undefined],
    ['["a", 64]', "fits", undefined, undefined],
    ['{"width": 3}', "wrong", "its parameter path is missing", undefined],
    ['["a", 1, 2]', "wrong", "it takes at most 2 arguments by position, and 3 were given", undefined],
    ['{"path": "a", "hight": 3}', "wrong", "it has no parameter hight", undefined],
    ["7", "wrong", "an input is a JSON array", undefined],
  ])("%s is told at once: %s", (text, state, words, at) => {
    const check = checkInput(spec, text);
    expect(check.state).toBe(state);
    if (check.state === "wrong") {
      expect(check.problem).toContain(words);
      expect(check.at).toBe(at);
    }
    if (check.state === "unfinished") expect(check.missing).toBe(words);
  });

  test("says which parameter the cursor is at", () => {
    const at = (text: string, cursor = text.length): number | undefined => parameterAt(spec, scanLine(text, cursor).place);
    expect([at('["a'), at('["a", '), at('["a", 1, '), at('{"width": 1'), at('[["a", "b"', 5)]).toEqual([
      0,
      1,
      undefined,
      1,
      undefined,
    ]);
  });
});

describe("tab", () => {
  const text = (state: State): string | undefined => state.editor?.text;
  const typed = (line: string): string[] => ["ctrl-u", "ctrl-k", ...[...line].map((key) => (key === " " ? "space" : key))];

  test("puts in the first name, and again the next ones", () => {
    const state = opened("R", "tab");
    expect(text(state)).toBe('{"path": }');
    expect(text(opened("R", "tab", "tab"))).toBe('{"width": }');
    expect(text(opened("R", "tab", "tab", "tab", "tab"))).toBe('{"path": }');
  });

  test("completes what is begun, and leaves out what is there already", () => {
    expect(text(opened("R", ...typed('{"wh'), "tab"))).toBe('{"whiten": ');
    expect(text(opened("R", ...typed('{"path": "a", '), "tab"))).toBe('{"path": "a", "width": ');
    expect(text(opened("R", ...typed('{"x'), "tab"))).toBe('{"x');
    expect(text(opened("R", ...typed('["a", '), "tab"))).toBe('["a", ');
  });
});

describe("what functions were called with", () => {
  let folder: string | undefined;
  afterEach(() => {
    vi.unstubAllEnvs();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  test("is there in the next session, each function's own, its owner's alone", () => {
    folder = mkdtempSync(join(tmpdir(), "hob-inputs-"));
    vi.stubEnv("XDG_STATE_HOME", folder);
    expect(readInputs()).toEqual({});
    keepInputs("images/embed", ['["b"]', '["a"]']);
    keepInputs("images/other", ["[1]", `["${"x".repeat(30_000)}"]`]);
    expect(readInputs()).toEqual({ "images/embed": ['["b"]', '["a"]'], "images/other": ["[1]"] });
    expect(statSync(inputsFile()).mode & 0o777).toBe(0o600);
    writeFileSync(inputsFile(), "half a fi");
    expect(readInputs()).toEqual({});
    keepInputs("images/embed", ["[]"]);
    expect(JSON.parse(readFileSync(inputsFile(), "utf8"))).toEqual({ "images/embed": ["[]"] });
  });

  test("is offered by ↑, and what is accepted is kept", () => {
    const before = update(opened(), { kind: "inputs", inputs: { "images/embed": ['["cat.png"]'] } }).state;
    const state = ["R", "up"].reduce((now, key) => update(now, { kind: "key", key, nowMs: 1 }).state, before);
    expect(state.editor?.text).toBe('["cat.png"]');
    const { effects } = update(state, {
      kind: "accepted",
      app: "images",
      function: "embed",
      input: { positional: ["dog.png"], keywords: {} },
    });
    expect(effects).toEqual([{ kind: "keep", functionKey: "images/embed", inputs: ['["dog.png"]', '["cat.png"]'] }]);
  });
});

describe("the palette", () => {
  const names = (state: State): string[] => paletteItems(state).map(({ name }) => name);

  test("finds by some letters, the best first", () => {
    expect(names(opened(":"))).toContain("embed");
    expect(names(opened(":", ..."mpr"))[0]).toBe("Model.predict");
    expect(names(opened(":", ..."fle"))[0]).toBe("fleet");
    expect(names(opened(":", ..."alg"))[0]).toBe("all logs");
    expect(names(opened(":", ..."zzz"))).toEqual([]);
  });

  test("enter does what is chosen; what is not possible says why; esc leaves", () => {
    expect(opened(":", ..."fleet", "enter")).toMatchObject({ view: "fleet", palette: undefined });
    expect(opened(":", ..."mpr", "enter")).toMatchObject({ selected: "images/Model.predict", view: "main" });
    expect(opened(":", ..."cancel", "enter").notice?.text).toBe("cancel: no running call is selected");
    expect(opened(":", "q", "esc")).toMatchObject({ palette: undefined, view: "main" });
    expect(opened(":", "down", "down", "up").palette?.selected).toBe(1);
  });

  test("a match has the query's letters in their order, and nothing else is one", () => {
    const word = fc.string({ unit: fc.constantFrom(..."abcABC. "), maxLength: 8 });
    fc.assert(
      fc.property(word, word, (query, text) => {
        const match = fuzzyMatch(query, text);
        const letters = query.toLowerCase().replaceAll(" ", "");
        const pattern = new RegExp([...letters].map((letter) => (letter === "." ? "\\." : letter)).join(".*"), "i");
        expect(match !== undefined).toBe(pattern.test(text));
        if (match) expect(match.at.map((at) => text[at]!.toLowerCase()).join("")).toBe(letters);
      }),
    );
  });
});

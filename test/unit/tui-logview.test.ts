// The logs in full: levels, the filter's terms, and where the next match is.

import { describe, expect, test } from "vitest";
import { LogLine } from "../../proto/gen/hob/v1/common.ts";
import { isMatch, levelOf, parseFilter, shownChunks } from "../../tui/model/logview.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { update } from "../../tui/model/update.ts";

const logLine = (text: string, more: Partial<LogLine> = {}): LogLine =>
  LogLine.fromPartial({ text, app: "a", function: "f", stream: "stdout", container: "c7f3a1b2", ...more });

function stateWith(lines: LogLine[], ...keys: string[]): State {
  let state = initialState({ pool: "p", build: "b", columns: 120, rows: 36, nowMs: 0 });
  state = update(state, { kind: "logs", lines }).state;
  return press(state, "L", ...keys);
}
function press(state: State, ...keys: string[]): State {
  return keys.reduce((before, key) => update(before, { kind: "key", key, nowMs: 1 }).state, state);
}
const shown = (state: State): string[] =>
  shownChunks(state)
    .flat()
    .map(({ text }) => text);

describe("a line's level", () => {
  test.each([
    ["2026-01-09 14:03:22,101 ERROR crawl: 404", "stdout", "error"],
    ["ValueError: bad shape", "stderr", "error"],
    ["[warn] slow", "stdout", "warning"],
    ['{"time": 1, "level": "debug", "msg": "x"}', "stdout", "debug"],
    ["INFO fetched", "stderr", "info"],
    ["plain words", "stdout", "info"],
    ["plain words", "stderr", "warning"],
    ["terrors and informants", "stdout", "info"],
    [`${"far from its start ".repeat(6)}ERROR`, "stdout", "info"],
  ])("%s on %s is %s", (text, stream, level) => {
    expect(levelOf(logLine(text, { stream }))).toBe(level);
  });
});

describe("the filter", () => {
  const matches = (filter: string, text: string): boolean => isMatch(logLine(text), parseFilter(filter));

  test("is a regular expression; capitals mean capitals", () => {
    expect(matches("fetch.*kib", "fetched 12 KiB")).toBe(true);
    expect(matches("KIB", "fetched 12 KiB")).toBe(false);
  });

  test("all terms must hold, ! excludes, @ names a container", () => {
    expect(matches("fetched !0012 @c7", "fetched 0013.jpg")).toBe(true);
    expect(matches("fetched !0012 @c7", "fetched 0012.jpg")).toBe(false);
    expect(matches("fetched @d9", "fetched 0013.jpg")).toBe(false);
  });

  test("half an expression hides nothing and says what is wrong", () => {
    const filter = parseFilter("fetched (");
    expect(filter).toMatchObject({ ok: false, problem: expect.stringContaining("group") });
    expect(isMatch(logLine("anything"), filter)).toBe(true);
  });
});

describe("what is shown", () => {
  const lines = [logLine("INFO one"), logLine("WARN two"), logLine("ERROR three"), logLine("INFO four", { function: "g" })];

  test("v leaves out lower levels, one step each time", () => {
    const state = stateWith(lines);
    expect(shown(state)).toHaveLength(4);
    expect(shown(press(state, "v", "v"))).toEqual(["WARN two", "ERROR three"]);
    expect(shown(press(state, "v", "v", "v"))).toEqual(["ERROR three"]);
    expect(shown(press(state, "v", "v", "v", "v"))).toHaveLength(4);
  });

  test("l shows one function's lines, L those of all, and each of them again goes back", () => {
    let state = stateWith(lines);
    state = { ...state, logView: { ...state.logView, of: "a/g" } };
    expect(shown(state)).toEqual(["INFO four"]);
    expect(press(state, "L").logView.of).toBeUndefined();
    expect(press(state, "L", "L").view).toBe("main");
  });

  test("n and N go from match to match among all lines, and say where there is none", () => {
    const many = Array.from({ length: 300 }, (_, at) => logLine(at % 100 === 42 ? `needle ${at}` : `hay ${at}`));
    let state = stateWith(many, "/", ..."needle", "enter");
    expect(shown(state)).toEqual(["needle 42", "needle 142", "needle 242"]);
    const tops: number[] = [];
    for (const key of ["n", "n", "n", "n", "N"]) {
      state = press(state, key);
      tops.push(state.scroll.logsView.top);
      if (key === "n" && tops.length === 4) expect(state.notice?.text).toBe("no match below");
    }
    expect(tops).toEqual([42, 142, 242, 242, 142]);
    expect(shown(state)).toHaveLength(300);
    expect(shown(press(state, "m"))).toHaveLength(3);
    // Esc leaves the filter first, then the view.
    expect(press(state, "esc")).toMatchObject({ view: "logs", filters: { logs: "" } });
    expect(press(state, "esc", "esc").view).toBe("main");
  });

  test("more lines than are kept are counted, and a line that comes is shown without looking at the others again", () => {
    const state = stateWith(
      Array.from({ length: 25_000 }, (_, at) => logLine(`line ${at}`)),
      "/",
      "9",
      "enter",
    );
    const before = shownChunks(state);
    const after = shownChunks(update(state, { kind: "logs", lines: [logLine("line 9999999")] }).state);
    expect(state.logs.all.lines + state.logs.all.dropped).toBe(25_000);
    expect(after.filter((chunk) => before.includes(chunk)).length).toBeGreaterThanOrEqual(before.length - 2);
    expect(after.at(-1)?.at(-1)?.text).toBe("line 9999999");
  });
});

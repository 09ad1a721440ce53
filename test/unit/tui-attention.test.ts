// What reaches somebody who looks elsewhere: notifications of long runs, the title, and links that lead to files.

import { describe, expect, test } from "vitest";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { titleOf } from "../../tui/model/attention.ts";
import type { Effect } from "../../tui/model/effects.ts";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { paint } from "../../tui/screen/palette.ts";
import { notification, titleSequence } from "../../tui/terminal/attention.ts";

const call = (state: string, ms: number, more: Parameters<typeof CallInfo.fromPartial>[0] = {}): ModelEvent => ({
  kind: "call",
  call: CallInfo.fromPartial({
    ...{ id: "1", number: 7, app: "a", function: "embed", state, origin: "key" },
    ...{ queuedAtMs: 1_000, finishedAtMs: state === "running" ? 0 : 1_000 + ms },
    ...more,
  }),
});

function told(...events: ModelEvent[]): { effects: Effect[]; state: State } {
  const effects: Effect[] = [];
  let state = initialState({ pool: "local", build: "test", columns: 80, rows: 24, nowMs: 0 });
  for (const event of events) {
    const next = update(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { effects, state };
}

const away: ModelEvent = { kind: "focus", focused: false };

describe("a notification", () => {
  test("comes when a long run of theirs ends while they look elsewhere", () => {
    expect(told(away, call("running", 0), call("succeeded", 12_000)).effects).toEqual([
      { kind: "notify", title: "hob: done", text: "#7 embed ✓ succeeded, 12 s" },
    ]);
    const failure = { kind: "exception", type: "ValueError", message: "bad shape", traceback: "", frames: [] };
    expect(told(away, call("running", 0), call("failed", 90_000, { failure })).effects).toEqual([
      { kind: "notify", title: "hob: failed", text: "#7 embed ✗ ValueError: bad shape, 1 min 30 s" },
    ]);
    const map = (state: string, failed: number): ModelEvent => ({
      kind: "map",
      map: MapInfo.fromPartial({ id: "m", number: 3, function: "embed", state, startedAtMs: 1, finishedAtMs: 20_001, failed }),
    });
    expect(told(away, map("running", 0), map("succeeded", 2)).effects).toEqual([
      { kind: "notify", title: "hob: failed", text: "map #3 embed ✗ succeeded, 2 inputs failed, 20 s" },
    ]);
  });

  test.each<[string, ModelEvent[]]>([
    ["while they look", [call("running", 0), call("succeeded", 12_000)]],
    ["of a short run", [away, call("running", 0), call("succeeded", 9_000)]],
    ["of what the pool only recalls", [away, call("succeeded", 12_000)]],
    ["a second time", [away, call("succeeded", 12_000), call("succeeded", 12_000)]],
    ["of calls that functions make", [away, call("running", 0, { parent: "2" }), call("succeeded", 12_000, { parent: "2" })]],
    ["once they are back", [away, { kind: "focus", focused: true }, call("running", 0), call("succeeded", 12_000)]],
  ])("does not come %s", (_, events) => {
    expect(told(...events).effects).toEqual([]);
  });

  test("is written as the terminal knows it, and no text of others gets out of it", () => {
    expect(notification("hob: done", "a;b\x1b]0;x\x07c", { TERM: "xterm" })).toBe("\x1b]9;hob: done: a,bc\x1b\\");
    expect(notification("t", "x", { VTE_VERSION: "7000" })).toBe("\x1b]777;notify;t;x\x1b\\");
    expect(notification("t", "x", { TERM: "foot" })).toBe("\x1b]777;notify;t;x\x1b\\");
    expect(notification("t", "x", { TMUX: "/tmp/x", TERM: "screen" })).toBe("\x1bPtmux;\x1b\x1b]9;t: x\x1b\x1b\\\x1b\\");
    expect(notification("t", "x", { TERM: "screen" })).toBe("\x1bP\x1b]9;t: x\x07\x1b\\");
  });
});

test("the title says how the latest run went, and that the pool is away", () => {
  const live: ModelEvent = { kind: "link", state: "live", sinceMs: 0, detail: "" };
  expect(titleOf(told().state)).toBe("hob ◌ connecting");
  expect(titleOf(told(live).state)).toBe("hob");
  expect(titleOf(told(live, call("failed", 5)).state)).toBe("hob ✗ embed");
  expect(titleSequence("a\x1b]0;evil\x07漢")).toBe("\x1b]2;a▯\x1b\\");
});

test("a link leads to a line of a file of this host; terminals that know none get plain text", () => {
  const spans = [{ text: "app.py:3", style: "plain" as const, link: { file: "/p/a b#?\x1b.py", line: 3 } }];
  const palette = { colours: true, ascii: false, accent: 36, links: true };
  expect(paint(spans, 10, palette)).toMatch(
    /^\x1b\]8;;file:\/\/[^/]+\/p\/a%20b%23%3F%1B\.py#3\x1b\\app\.py:3\x1b\]8;;\x1b\\ {2}$/,
  );
  expect(paint(spans, 10, { ...palette, links: false })).toBe("app.py:3  ");
});

// Recorded sessions: what is read again is what was written, and a replay ends in the state that was lived.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { initialState, type State } from "../../tui/model/state.ts";
import { type ModelEvent, update } from "../../tui/model/update.ts";
import { eventLine, headerLine, type RecordedEvent, readEvent, readHeader } from "../../tui/recording/format.ts";
import { createPlayer, openRecording } from "../../tui/recording/player.ts";
import { createRecorder } from "../../tui/recording/recorder.ts";
import { createStore } from "../../tui/store.ts";
import { startEvents } from "../tui/recording.ts";

const folder = mkdtempSync(join(tmpdir(), "hob-recording-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const header = { startedAtMs: 1_767_967_342_000, pool: "local", build: "test", columns: 120, rows: 36 };
const worked = ["working", "building", "broken", "hostile", "lost"].flatMap(startEvents);

function first(): State {
  return initialState({ ...header, nowMs: header.startedAtMs });
}

describe("the format", () => {
  test("every event is read as it was written, bytes that are no text included", () => {
    const result = {
      ...worked.find((event) => event.kind === "call")!.call,
      result: { json: Buffer.from([0xff, 0, 0x80]) },
    };
    const events: RecordedEvent["event"][] = [
      ...worked,
      { kind: "call", call: result } as RecordedEvent["event"],
      { kind: "key", key: "R", nowMs: 5 },
      {
        kind: "accepted",
        app: "a",
        function: "f",
        input: { positional: ["$utf8", null], keywords: { n: { $utf8: "no bytes" } } },
      },
    ];
    for (const event of events) {
      const read = readEvent(eventLine({ atMs: 12.34, event }), "here:2");
      expect(JSON.parse(JSON.stringify(read))).toEqual({ atMs: 12.3, event: JSON.parse(JSON.stringify(event)) });
    }
  });

  test("an event that a later hob has added is passed over, a later format and what is no recording are refused with a sentence", () => {
    expect(readEvent('{"at": 1, "event": {"kind": "weather"}}', "f:2")).toBeUndefined();
    expect(() => readEvent("{", "f:2")).toThrow("f:2 is not a line of a recorded session");
    expect(() => readHeader("Dear diary", "f")).toThrow("f is not a recorded session");
    expect(() => readHeader(headerLine(header).replace('"version":1', '"version":2'), "f")).toThrow("recorded by a later hob");
    expect(readHeader(headerLine(header), "f")).toEqual(header);
  });

  test("what a field lacks has the wire's default", () => {
    const read = readEvent('{"at": 1, "event": {"kind": "logs", "lines": [{"text": "hello"}]}}', "f:2");
    expect(read?.event).toMatchObject({ kind: "logs", lines: [{ text: "hello", call: "", dropped: 0 }] });
  });
});

describe("recording and replaying", () => {
  const recordedKeys = fc.array(
    fc.constantFrom("j", "k", "g", "G", "3", "1", "tab", "/", "e", "enter", "esc", "w", "l", "F", "R", "q"),
    {
      maxLength: 30,
    },
  );

  /** What both stores do alike: nothing is drawn, and what scrolls has 40 lines. */
  const surroundings = { paint: () => ({ run: { total: 40, height: 10, top: 0 } }), nowMs: () => header.startedAtMs };

  test("a replay ends in the state that was lived, whatever was typed", async () => {
    let number = 0;
    await fc.assert(
      fc.asyncProperty(recordedKeys, async (keys) => {
        const file = join(folder, `${++number}.jsonl`);
        const recorder = createRecorder(file, header, () => header.startedAtMs + 1);
        using lived = createStore({ initial: first(), ...surroundings, perform: () => {}, record: recorder.record });
        for (const event of startEvents("working")) lived.offer(event);
        await new Promise(setImmediate);
        for (const key of keys) lived.dispatch({ kind: "key", key, nowMs: header.startedAtMs });
        recorder[Symbol.dispose]();

        using again = createStore({
          initial: first(),
          ...surroundings,
          perform: () => expect.unreachable("a replay has effects"),
        });
        const recording = await openRecording(file);
        const player = createPlayer({ ...recording, speed: 64, step: false, clockMs: () => performance.now() });
        await player.play(again.replay, () => {});
        again.repaint();
        lived.repaint();
        const { calls: _calls, logs: _logs, fleet: _fleet, ...seen } = again.state;
        const { calls, logs, fleet, ...expected } = lived.state;
        expect(JSON.stringify(seen)).toBe(JSON.stringify(expected));
        expect(again.state.calls.byId.size).toBe(calls.byId.size);
        expect(again.state.logs.lines).toBe(logs.lines);
        expect(again.state.fleet.latest).toEqual(fleet.latest);
      }),
      { numRuns: 25 },
    );
  });

  test("the file is its owner's alone, and one that exists is not overwritten", () => {
    const file = join(folder, "mine.jsonl");
    createRecorder(file, header, () => header.startedAtMs)[Symbol.dispose]();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8")).toBe(`${headerLine(header)}\n`);
    expect(() => createRecorder(file, header, () => 0)).toThrow("it exists already");
  });

  test("time goes at the speed that is asked for, stands still when paused, and a step is one event", async () => {
    const file = join(folder, "steps.jsonl");
    const notices = [0, 1_000, 2_000].map((atMs) => ({ atMs, event: { kind: "paused", paused: atMs > 0 } as const }));
    writeFileSync(file, [headerLine(header), ...notices.map(eventLine)].join("\n"));
    let clock = 0;
    const recording = await openRecording(file);
    const player = createPlayer({ ...recording, speed: 4, step: true, clockMs: () => clock });
    const taken: ModelEvent[] = [];
    const states: string[] = [];
    const over = player.play(
      (event) => void taken.push(event),
      ({ state, speed }) => void states.push(`${state} ${speed}`),
    );
    const settled = () => new Promise((resolve) => setTimeout(resolve, 1));
    clock = 60_000;
    await settled();
    expect(taken).toHaveLength(0);
    player.change("step");
    while (taken.length < 1) await settled();
    player.change("step");
    while (taken.length < 2) await settled();
    expect(player.nowMs()).toBe(header.startedAtMs + 1_000);
    player.change("faster");
    player.change("pause");
    clock += 100; // 800 ms of the recording at eight times its speed
    await settled();
    expect(taken).toHaveLength(2);
    expect(player.nowMs()).toBe(header.startedAtMs + 1_800);
    clock += 25;
    await over;
    expect(taken).toHaveLength(3);
    expect(states).toEqual(["paused 4", "paused 4", "paused 4", "paused 8", "playing 8", "over 8"]);
    expect(() => player.workbench.call("a", "f", [], {}, "key")).toThrow("nothing runs");
  });

  // After ctrl-z and fg a replay had raced through all that it had missed.
  test("a replay that was stopped goes on where it was", async () => {
    const file = join(folder, "stopped.jsonl");
    const notices = [0, 1_000, 1_500].map((atMs) => ({ atMs, event: { kind: "paused", paused: atMs > 0 } as const }));
    writeFileSync(file, [headerLine(header), ...notices.map(eventLine)].join("\n"));
    let clock = 0;
    const player = createPlayer({ ...(await openRecording(file)), speed: 1, step: true, clockMs: () => clock });
    const taken: number[] = [];
    const over = player.play(
      () => void taken.push(player.nowMs() - header.startedAtMs),
      () => {},
    );
    player.change("step");
    while (taken.length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
    player.change("pause");
    clock = 600_000; // ten minutes in the background
    while (taken.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    clock += 400;
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(taken).toEqual([0, 1_000]);
    clock += 100;
    await over;
    expect(player.nowMs() - header.startedAtMs).toBe(1_500);
  });

  test("keys that move in a recording say elsewhere that this is none", () => {
    const refused = update(first(), { kind: "key", key: ">", nowMs: 0 });
    expect(refused.state.notice?.text).toContain("this is no recorded session");
    const replayed = update(first(), { kind: "replay", replay: { startedAtMs: 0, speed: 1, state: "playing" } }).state;
    expect(update(replayed, { kind: "key", key: "space", nowMs: 0 }).effects).toEqual([{ kind: "replay", change: "pause" }]);
    expect(update(replayed, { kind: "key", key: "r", nowMs: 0 }).state.notice?.text).toMatch(/no function|nothing runs/);
  });
});

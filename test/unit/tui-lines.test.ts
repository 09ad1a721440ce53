// The workbench as lines: what is printed, once, in words or as JSON.

import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { createChannel } from "../../base/channel.ts";
import type { Workbench, WorkbenchEvent } from "../../project/events.ts";
import { jsonObjects, runJson } from "../../tui/json.ts";
import { news, nothingHeard } from "../../tui/news.ts";
import { plainLines } from "../../tui/plain.ts";
import { startEvents } from "../tui/recording.ts";

const recorded = startEvents("working");
// Before the recording's first call, as a printer that saw all of it.
const startedAtMs = 1_767_967_000_000;

function told(events: readonly WorkbenchEvent[]) {
  const heard = nothingHeard(startedAtMs);
  return events.flatMap((event) => news(event, heard, startedAtMs + 1_500));
}

const objects = (events: readonly WorkbenchEvent[]) => told(events).flatMap(jsonObjects);
const lines = (events: readonly WorkbenchEvent[]) => told(events).flatMap((item) => plainLines(item, startedAtMs));

describe("as JSON", () => {
  test("ready is said once, with the app, the functions and the time", () => {
    const ready = objects(recorded).filter(({ event }) => event === "ready");
    expect(ready).toEqual([
      {
        event: "ready",
        app: "images",
        apps: ["images"],
        functions: ["embed", "Model.predict", "hello", "resize"],
        ms: 1500,
        urls: [],
      },
    ]);
  });

  test("ready waits for the link, the project and something that can answer", () => {
    const [link, project] = recorded as [WorkbenchEvent, WorkbenchEvent];
    const fleet = recorded.find(({ kind }) => kind === "fleet") as WorkbenchEvent;
    const isReady = (events: WorkbenchEvent[]): boolean => objects(events).some(({ event }) => event === "ready");
    expect(isReady([link, project])).toBe(false);
    expect(isReady([project, fleet])).toBe(false);
    expect(isReady([link, fleet])).toBe(false);
    expect(isReady([link, project, fleet])).toBe(true);
  });

  test("a reload has the names that scripts rely on", () => {
    expect(objects(recorded).find(({ event }) => event === "reload")).toMatchObject({
      functions: ["embed"],
      files: ["app.py"],
      reason: "body changed",
      tier: "patch",
      bytesShipped: 1229,
      ms: { watch: 0.6, describe: 2.1, ship: 0.3, load: 2.8 },
    });
  });

  test("a reload is told when it is answered, and once", () => {
    const receipt = recorded.find((event) => event.kind === "receipt");
    if (receipt?.kind !== "receipt") throw new Error("the recording has no receipt");
    const early = { ...receipt, receipt: { ...receipt.receipt, state: "shipped" as const } };
    expect(objects([early])).toEqual([]);
    expect(objects([early, receipt, receipt])).toHaveLength(1);
  });

  test("a call has its value, version, container, node and times", () => {
    const calls = objects(recorded).filter(({ event }) => event === "call");
    expect(calls.at(-1)).toMatchObject({
      function: "embed",
      ok: true,
      version: expect.stringMatching(/^9c1f2b/),
      container: "c7f3a1b2",
      node: "node-1",
      ms: { queue: 0.4, run: 12.4, total: 12.4, saveToResult: 18.6 },
    });
    expect(calls.at(-1)?.["value"]).toHaveLength(64);
    expect(calls.at(-2)).toMatchObject({ ok: false, failure: { type: "ValueError", kind: "exception" } });
  });

  test("what the pool only recalls from before is no news", () => {
    const heard = nothingHeard(1_767_967_402_050);
    const calls = recorded.filter(({ kind }) => kind === "call").flatMap((event) => news(event, heard, 0));
    expect(calls).toHaveLength(1);
  });

  test("a fault in the text and a lost pool are errors", () => {
    const errors = [...startEvents("broken"), ...startEvents("lost")];
    expect(objects(errors).filter(({ event }) => event === "error")).toMatchObject([
      { kind: "diagnostic", file: "app.py", line: 12, column: 21, message: "'(' was never closed" },
      { kind: "diagnostic", file: "shapes.py", line: 1 },
      { kind: "link", message: expect.stringContaining("trying again") },
    ]);
  });

  test("runJson prints one object a line and ends with the events", async () => {
    const events = createChannel<WorkbenchEvent>(1_000);
    for (const event of recorded) events.offer(event);
    events.close();
    const out = new PassThrough();
    const text = out.toArray();
    await runJson({ events } as unknown as Workbench, { out, nowMs: () => startedAtMs });
    out.end();
    const printed = Buffer.concat((await text) as Buffer[])
      .toString()
      .trimEnd()
      .split("\n");
    expect(printed.length).toBeGreaterThan(10);
    for (const line of printed) expect(JSON.parse(line)).toHaveProperty("event");
  });
});

describe("as plain lines", () => {
  test("one calm line for each thing that happens", () => {
    const text = lines(recorded).join("\n");
    expect(text).toContain("● connected");
    expect(text).toContain("● ready in 1.5 s: images, 4 functions embed, Model.predict, hello, resize");
    expect(text).toContain("✓ app.py → embed (body changed, patch)  18.6 ms  1.2 KiB shipped");
    expect(text).toContain('✗ #41 embed("dog.png"): ValueError: bad shape (3, 0): the picture is empty');
    expect(text).toMatch(
      /✓ #42 embed\("cat\.png"\) → \[0\.12, .*… \d+ more\] {2}12\.4 ms {2}save→result 18\.6 ms {2}node-1 c7f3 {2}code 9c1f2b/,
    );
  });

  test("nothing of the function's escapes reaches the terminal", () => {
    expect(lines(startEvents("hostile")).join("\n")).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  });

  test("long work is told by phase, not by step", () => {
    const step = (done: number): WorkbenchEvent => ({
      kind: "progress",
      what: "image host",
      phase: "capturing",
      done,
      total: 10,
      unit: "files",
      node: "",
      message: "",
    });
    expect(lines([step(1), step(2), step(3)])).toHaveLength(1);
  });
});

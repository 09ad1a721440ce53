// The screen in a real terminal: every state, every size.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildStage, openStage, openWhole, openWorked, removeStage, type Stage, type StageOptions } from "./terminal.ts";

let stage = "";
beforeAll(async () => {
  stage = await buildStage();
});
afterAll(removeStage);

const open = (recording: string, options: Partial<StageOptions> = {}): Promise<Stage> =>
  openWhole({ stage, recording, ...options });
const openWorking = (options: Partial<StageOptions> = {}): Promise<Stage> => openWorked(stage, options);

const esc = "\x1b";
const has =
  (...parts: string[]) =>
  (text: string) =>
    parts.every((part) => text.includes(part));
const lacks = (part: string) => (text: string) => !text.includes(part);

describe("what it shows", () => {
  test("a save, its cost, the run with its output and result, the calls, the pool", async () => {
    using shown = await openWorking();
    const parts = [
      "images · dev",
      "1 node · 4 warm · 1 busy · 0 starting",
      "save→result 18.6 ms",
      "● live",
      "p50 12.0 ms",
      "9c1f2b",
      "patch, state kept",
      "describe 2.1 ms",
      'Run #42  embed("cat.png")',
      "14:03:22.109  64 dimensions",
      "→ [0.12, 0.98, 0.33",
      "#41 ✗ embed",
      "node-1  cpu",
    ];
    await shown.until("all of it", has(...parts));
  });

  test("how images are built: step, last line; and a failure, whose log stays readable", async () => {
    using shown = await open("building", { columns: 140 });
    await shown.until(
      "both builds",
      has(
        ...["image debian bookworm  step 1 of 2 apt_install python3-numpy  ▇", "Setting up python3-numpy"],
        ...["✗ image debian bookworm failed at step 2 of 2 apt_install nump", "exited 100: Unable"],
        ...["E: Unable to locate package nump", "`hob images build`"],
      ),
    );
    shown.press("p");
    await shown.until("the one that is ready", (text) => lacks("Setting up")(text) && text.includes("exited 100"));
    shown.press("I");
    await shown.until("the images", has("Builds", "✓ 41e0c2 is ready", "Setting up python3-numpy", "Reading package lists..."));
    shown.press(esc);
    await shown.until("the panes", has("2 Run"));
  });

  test("what it waits for while the pool starts, with amounts", async () => {
    using shown = await open("connecting");
    await shown.until(
      "the progress",
      has("◌ connecting", "starting a pool on this machine", "capturing image host", "4,120 / 17,400 files"),
    );
  });

  test("how a function looks in both languages, in a project without functions", async () => {
    using shown = await open("empty");
    await shown.until("the examples", has("@app.function()", 'import { App } from "hob";', "no functions in this project yet"));
  });

  test("since when the pool is gone, what is tried, and what still works", async () => {
    using shown = await open("lost");
    await shown.until("the loss", has("✗ lost for", "pool local is gone", "trying again", "Saves are noticed"));
  });

  test("a fault in the text with file, line and caret, and that the old versions serve", async () => {
    using shown = await open("broken");
    const text = await shown.until("the fault", has("app.py:12:21", "'(' was never closed", "the versions before keep serving"));
    const rows = text.split("\n");
    const source = rows.findIndex((row) => row.includes("return normalise(pixels"));
    const fault = rows[source]?.indexOf("(pixels");
    expect(rows[source + 1]?.indexOf("^")).toBe(fault);
  });

  test("hostile text as text: no escape, title, bell or wide character gets through", async () => {
    using shown = await open("hostile");
    await shown.until("the hostile call", has("#50", "red bell ▯▯ é", "✗ Error: boo"));
    // Every frame's border is where it belongs: nothing has shifted.
    const rows = shown.rows();
    for (const row of rows.slice(2, -2)) expect(row).toHaveLength(120);
    for (const row of rows.slice(2, -2)) expect(row).toMatch(/^[│├].*[│┤]$/);
    // Of titles there is ours alone; it is written after the frame.
    const titles = () => [...shown.raw().matchAll(/\x1b\][012];(.*?)(?:\x07|\x1b\\)/gs)].map(([, title]) => title);
    await shown.until("our title", () => titles().length > 0);
    for (const title of titles()) expect(title).toMatch(/^hob(?: [\x21-\x7e]+)*(?: [◌✗✓●] [\x20-\x7e▯]*)?$/);
    expect(shown.raw()).not.toContain("\x07");
  });

  test.each([
    [80, 24],
    [100, 30],
    [120, 36],
    [200, 50],
  ])("every row fits at %i×%i", async (columns, rows) => {
    using shown = await openWorking({ columns, rows });
    const lines = shown.rows();
    expect(lines).toHaveLength(rows);
    expect(lines[1]).toMatch(/^╭.*╮$/);
    expect(lines[1]).toHaveLength(columns);
    expect(lines.at(-2)).toMatch(/^╰.*╯$/);
  });

  test("that the terminal is too small, and the panes again once it is not", async () => {
    using shown = await open("working", { columns: 70, rows: 20 });
    await shown.until("the sentence", has("terminal too small: 70×20"));
    shown.resize(100, 30);
    await shown.until("the panes", has("1 Functions", "4 Fleet", "q quit"));
  });

  test("marks of its own without colours when NO_COLOR is set", async () => {
    using shown = await openWorking({ env: { NO_COLOR: "1" } });
    expect(shown.raw()).not.toMatch(/\x1b\[[\d;]*3[0-7]m/);
    expect(shown.text()).toContain("✓");
  });

  test("plain characters on the Linux console", async () => {
    using shown = await open("working", { env: { TERM: "linux" } });
    await shown.until("the run", has("#42 + embed", "+ 1 Functions"));
    expect(shown.text()).toMatch(/^[\x20-\x7e·\n]*$/);
  });
});

test("to a screen reader it speaks in lines, each once, and a key says where one is", async () => {
  using shown = openStage({ stage, recording: "working", rows: 50, env: { INK_SCREEN_READER: "true" } });
  await shown.until("who is there", has("connected to pool", "4 functions: embed, Model.predict"));
  shown.press("j");
  await shown.until("the function", has("Model.predict, Python, last run done, median 31.0 ms, 2 of 4"));
  shown.press("I");
  await shown.until("the view", has("Images", "On the nodes"));
  shown.press("q");
  expect(await shown.exited).toBe(0);
  expect(shown.raw()).not.toContain("\x1b[?1049h");
  expect(shown.raw().split("connected to pool").length).toBe(2);
});

describe("resizing", () => {
  test("the screen is whole after every size it passes through", async () => {
    using shown = await openWorking();
    for (const [columns, rows] of [
      [90, 40],
      [200, 50],
      [80, 24],
      [150, 30],
      [120, 36],
    ] as const) {
      shown.resize(columns, rows);
      await shown.until(`${columns}×${rows}`, () => {
        const lines = shown.rows();
        const whole = lines[1]?.length === columns && lines.at(-1)?.endsWith("q quit") && lines.at(-2)?.startsWith("╰");
        return Boolean(whole) && lines.filter((line) => line.includes("1 Functions")).length === 1;
      });
    }
  });
});

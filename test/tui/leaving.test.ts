// The ways to leave the screen, in a real terminal: whichever it is, the terminal is given back.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildStage, openWorked, removeStage, type Stage, type StageOptions } from "./terminal.ts";

let stage = "";
beforeAll(async () => {
  stage = await buildStage();
});
afterAll(removeStage);

const openWorking = (options: Partial<StageOptions> = {}): Promise<Stage> => openWorked(stage, options);

describe("leaving", () => {
  function expectRestored(shown: Stage): void {
    expect(shown.xterm.buffer.active.type).toBe("normal");
    expect(shown.raw().lastIndexOf("\x1b[?25h")).toBeGreaterThan(shown.raw().lastIndexOf("\x1b[?25l"));
    expect(shown.raw().lastIndexOf("\x1b[?2004l")).toBeGreaterThan(shown.raw().lastIndexOf("\x1b[?2004h"));
  }

  test("q gives the terminal back", async () => {
    using shown = await openWorking();
    expect(shown.xterm.buffer.active.type).toBe("alternate");
    shown.press("q");
    expect(await shown.exited).toBe(0);
    expectRestored(shown);
    expect(shown.text().trim()).toBe("");
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ])("%s gives the terminal back and says so", async (signal, code) => {
    using shown = await openWorking();
    shown.kill(signal);
    expect(await shown.exited).toBe(code);
    expectRestored(shown);
    expect(shown.text()).toContain(`hob was ended by ${signal}`);
  });

  test.each([
    ["throw", "a fault of ours"],
    ["reject", "a forgotten promise"],
    ["draw", "hob's screen failed"],
  ])("a fault of ours (%s) gives the terminal back, with a sentence and the log's place", async (fault, words) => {
    using shown = await openWorking({ env: { HOB_STAGE_FAULT: fault } });
    shown.press("j");
    expect(await shown.exited).toBe(1);
    expectRestored(shown);
    expect(shown.text()).toContain(words);
    expect(shown.text().replaceAll("\n", "")).toContain("screen.log");
  });

  // A negative time-out, of which Node warns on stderr, had shifted all rows by one.
  test("a warning of Node's is not printed on the screen", async () => {
    using shown = await openWorking({ env: { HOB_STAGE_FAULT: "warn" } });
    shown.press("j");
    await shown.until("the key's frame", (text) => text.includes("▸ Model.predict"));
    shown.press("?");
    await shown.until("the help", (text) => text.includes("leave hob"));
    expect(shown.rows()[0]).toMatch(/^ hob/);
    expect(shown.raw()).not.toContain("a warning of Node's");
  });

  test("the end of the workbench ends the screen with its sentence and exit code", async () => {
    using shown = await openWorking({ env: { HOB_STAGE_FAULT: "end" } });
    shown.press("j");
    expect(await shown.exited).toBe(3);
    expectRestored(shown);
    expect(shown.text()).toContain("the pool ended: start hob again");
  });
});

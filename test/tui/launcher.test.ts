// The screen as the job of a real shell: killed with -9, stopped and continued. The terminal is the shell's again each time.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { openScreen, type Screen } from "../drive/screen.ts";
import { makeWorkplace } from "../drive/workplace.ts";

const childOf = (pid: number): number => Number(execFileSync("ps", ["-o", "pid=", "--ppid", `${pid}`], { encoding: "utf8" }));

/** A shell with `hob demo` on its terminal. */
async function openJob(environment: Record<string, string>): Promise<Screen & { launcher: number; node: number }> {
  const shell = openScreen("bash", ["--norc", "-i"], { columns: 100, rows: 30, environment: { ...environment, PS1: "ready> " } });
  await shell.waitFor("the prompt", (text) => text.includes("ready>"));
  shell.press(`${join(installRoot, "bin/hob")} demo\r`);
  await shell.waitFor("the screen", (text) => shell.alternate() && text.includes("1 Functions"));
  const launcher = childOf(shell.pty.pid);
  return {
    ...shell,
    ...{ launcher, node: childOf(launcher) },
    async [Symbol.asyncDispose]() {
      shell.pty.kill("SIGHUP"); // a shell that people type into does not end by SIGTERM
      await shell.ended;
    },
  };
}

/** The terminal echoes, takes lines, shows its cursor, and reports neither focus nor pastes. */
async function expectWhole(shell: Screen): Promise<void> {
  await shell.waitFor("the shell's own screen", () => !shell.alternate(), 5_000);
  shell.press("\rstty -a | grep -ow -e '-*echo' -e '-*icanon'; echo seen\r");
  const text = await shell.waitFor("what the terminal is set to", (seen) => /^seen$/m.test(seen), 5_000);
  expect(text).toMatch(/^icanon\necho\nseen$/m);
  expect(shell.modes()).toEqual({ cursor: true, focusReports: false });
}

test("killed with -9 the screen leaves a whole terminal and a sentence", async () => {
  using place = makeWorkplace({});
  await using shell = await openJob(place.environment);
  process.kill(shell.node, "SIGKILL");
  await shell.waitFor("the sentence", (text) => text.includes("the screen was ended by signal 9; the terminal is as it was"));
  await expectWhole(shell);
});

test("a screen whose launcher is killed with -9 ends by itself, and the terminal is the shell's", async () => {
  using place = makeWorkplace({});
  await using shell = await openJob(place.environment);
  process.kill(shell.launcher, "SIGKILL");
  await expect.poll(() => existsSync(`/proc/${shell.node}`), { timeout: 10_000, interval: 20 }).toBe(false);
  await expectWhole(shell);
});

test("ctrl-z stops the job whole, fg brings the screen back, q ends it", async () => {
  using place = makeWorkplace({});
  await using shell = await openJob(place.environment);
  shell.press("\x1a");
  await shell.waitFor("that it is stopped", (text) => !shell.alternate() && text.includes("Stopped"));
  shell.press("fg\r");
  await shell.waitFor("the screen", (text) => shell.alternate() && text.includes("1 Functions"));
  shell.press("?");
  await shell.waitFor("that it listens", (text) => text.includes("leave hob"));
  shell.press("q");
  await expectWhole(shell);
});

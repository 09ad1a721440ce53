// The screen's rival: `tail -f` in tmux, with `cat` in the pane beside it for what is typed.

import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openScreen } from "../../test/drive/screen.ts";

export const columns = 200;
export const rows = 50;

export const textOf = (seq: number): string => `line ${seq}: ${"some words of output ".repeat((seq % 4) + 1)}`;

/** Processor time of a process and its threads, in milliseconds: utime and stime of proc(5), in ticks of 10 ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export interface Rival extends AsyncDisposable {
  firstFrameMs: number;
  /** Processor time of tmux and tail. */
  cpuMs(): number;
  press(key: string): void;
  sees(what: string, holds: (text: string) => boolean): Promise<string>;
}

/** A file that grows by `linesPerSecond`, and a terminal in which it is followed. */
export async function openRival(linesPerSecond: number): Promise<Rival> {
  const folder = mkdtempSync(join(tmpdir(), "hob-tail-"));
  const file = join(folder, "log");
  const tmux = ["-S", join(folder, "socket")];
  writeFileSync(file, `${textOf(0)}\n`);
  const startMs = performance.now();
  const follow = ["new-session", "-x", `${columns}`, "-y", `${rows}`, `tail -f ${file}`];
  const screen = openScreen("tmux", [...tmux, "-f", "/dev/null", ...follow, ";", "split-window", "-h", "cat"], {
    ...{ columns, rows, environment: { TMUX: "" } },
  });
  await screen.waitFor("tail's first line", (text) => text.includes("line 0"));
  const firstFrameMs = performance.now() - startMs;
  let seq = 0;
  const writer = setInterval(() => {
    let lines = "";
    for (let n = 0; n < linesPerSecond / 100; n++) lines += `${textOf(++seq)}\n`;
    if (lines !== "") appendFileSync(file, lines);
  }, 10);
  const pids = execFileSync("tmux", [...tmux, "list-panes", "-a", "-F", "#{pane_pid}"], { encoding: "utf8" })
    .trim()
    .split("\n");
  const server = execFileSync("tmux", [...tmux, "display", "-p", "#{pid}"], { encoding: "utf8" }).trim();
  return {
    firstFrameMs,
    cpuMs: () => [...pids, server].map(Number).reduce((sum, pid) => sum + cpuMs(pid), cpuMs(screen.pty.pid)),
    press: screen.press,
    sees: (what, holds) => screen.waitFor(what, holds),
    async [Symbol.asyncDispose]() {
      clearInterval(writer);
      execFileSync("tmux", [...tmux, "kill-server"]);
      await screen.ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

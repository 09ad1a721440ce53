// ⑤ A process by pid and start time, so that a pid used again is never mistaken for the one that had it.

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as after } from "node:timers/promises";
import { errnoOf, HobError } from "../../base/errors.ts";
import { reap } from "./system-calls.ts";

export interface ProcessId {
  pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat. */
  startTime: number;
}

interface Stat {
  state: string;
  startTime: number;
}

/** State letter and start time from /proc/PID/stat; the command's name, in brackets, may hold anything. */
export function parseStat(text: string): Stat {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTime: Number(fields[19]) };
}

function statOf(pid: number): Stat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return undefined;
    throw error;
  }
}

export function identify(pid: number): ProcessId | undefined {
  const stat = statOf(pid);
  return stat && { pid, startTime: stat.startTime };
}

/** Runs, that is: exists, is the same one, and is not a zombie. */
export function isRunning({ pid, startTime }: ProcessId): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== "Z" && stat.state !== "X";
}

export function kill(target: ProcessId): void {
  if (!isRunning(target)) return;
  try {
    process.kill(target.pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

const endPatienceMs = 10_000;

/** Waits for a killed process' end (and collects it where it is our child). Says how it ended, where we could learn that. */
export async function awaitEnd(target: ProcessId): Promise<{ code?: number; signal?: number }> {
  const deadline = performance.now() + endPatienceMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const wait = reap(target.pid);
    if (wait.state === "exited") return { code: wait.code };
    if (wait.state === "killed") return { signal: wait.signal };
    if (wait.state === "notOurs" && !isRunning(target)) return {};
    if (performance.now() > deadline) {
      throw new HobError(
        "internal",
        `process ${target.pid} of a container has not ended ${endPatienceMs / 1000} s after it was killed`,
      );
    }
    await after(pauseMs);
  }
}

export interface Ended {
  code: number;
  /** Name of the signal that ended it, else "". */
  signal: string;
}

/** The end of a process that became our child when runc ended (system-calls.ts, adoptOrphans). */
export function endOf(leader: ProcessId): Promise<Ended> {
  return new Promise((resolve) => {
    const look = (): void => {
      const wait = reap(leader.pid);
      if (wait.state === "running") return;
      process.off("SIGCHLD", look);
      if (wait.state === "killed") resolve({ code: 128 + wait.signal, signal: signalName(wait.signal) });
      else resolve({ code: wait.state === "exited" ? wait.code : 0, signal: "" });
    };
    process.on("SIGCHLD", look);
    look();
  });
}

export const signalName = (wanted: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === wanted)?.[0] ?? `signal ${wanted}`;

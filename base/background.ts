// What gives way to the thread that somebody waits for. V8's own threads (compilers, collectors of garbage) would hold it up for 80 ms on two cores when much becomes hot at once.

import { readdirSync, readFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** As nice has it: a tenth of what others get that are there. */
const backgroundNice = 10;

/** Where it cannot be done, the thread stays as it is. */
function yieldThread(id: number): void {
  try {
    if (getPriority(id) < backgroundNice) setPriority(id, backgroundNice);
  } catch {
    // it is gone
  }
}

/** Of V8's threads that are there, and it starts all of them with the process. */
export function yieldBackground(): void {
  for (const thread of readdirSync("/proc/self/task")) {
    if (readFileSync(`/proc/self/task/${thread}/comm`, "latin1") === "V8Worker\n") yieldThread(Number(thread));
  }
}

/** The whole process: what it does is worth less than what somebody waits for at the same time. */
export function yieldProcess(): void {
  yieldBackground();
  yieldThread(process.pid); // of Linux' threads the main one
}

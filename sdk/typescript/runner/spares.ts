// ⑥ Processes that wait, started and warmed before anyone asks: a load takes one, and another follows when the save has had its result.

import { writeFileSync } from "node:fs";
import { type Child, type ChildEvents, startChild } from "./children.ts";

/** Bursts of saves come faster than one spare is ready again (some 50 ms of CPU each). */
const spareCount = 2;
/** A spare is started when the save that took one has had its result. */
const refillAfterMs = 100;

export interface Spares {
  /** Every process: those that wait and those that serve. */
  readonly all: ReadonlySet<Child>;
  take(): Child;
  fill(): void;
  forget(child: Child): void;
  /** None is started any more: the runner waits for the last process to end. */
  close(): void;
}

export function createSpares(events: ChildEvents): Spares {
  const waiting: Child[] = [];
  const all = new Set<Child>();
  let refill: NodeJS.Timeout | undefined;
  let closed = false;

  function start(): Child {
    const child = startChild(events);
    all.add(child);
    // When the container is over its memory, the kernel shall end this process, not the runner.
    try {
      writeFileSync(`/proc/${child.process.pid}/oom_score_adj`, "1000");
    } catch {
      // No /proc here, or it has ended already: then the container ends as a whole.
    }
    return child;
  }

  /** One after the other: each finds compiled what the former has loaded, and they leave a core for the work of the moment. */
  function fill(): void {
    if (!closed && waiting.length < spareCount) waiting.push(start());
  }

  return {
    all,
    fill,
    take() {
      const child = waiting.shift() ?? start();
      clearTimeout(refill);
      refill = setTimeout(fill, refillAfterMs);
      return child;
    },
    forget(child) {
      all.delete(child);
      const at = waiting.indexOf(child);
      if (at >= 0) waiting.splice(at, 1);
    },
    close() {
      closed = true;
      clearTimeout(refill);
    },
  };
}

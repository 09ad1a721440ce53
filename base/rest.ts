// Tidies this process' memory while it rests, so that it does not have to while somebody waits: V8 would do so in the middle of a save.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Quiet for so long, a process is at rest. One that never rests is V8's alone to tidy. */
const restAfterMs = 12;

type Collect = (options?: { type: "minor" }) => void;

/** V8's own, which a process has only when it asks before it needs it. Without options it collects everything. */
export function garbageCollector(): Collect {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  return collect;
}

export interface Rest extends Disposable {
  /** Something was done that leaves garbage. */
  worked(): void;
  /** Does this once, when the process next rests, unless what it answers with has been called. */
  once(work: () => void): () => void;
}

/**
 * Collects the young generation (a third of a millisecond) once after each spell of work. From now on without V8's helping threads: three are woken each
 * time, for longer than the work takes, and take a processor from whoever is at work.
 */
export function openRest(): Rest {
  const collect = garbageCollector();
  setFlagsFromString("--no-parallel-scavenge");
  let timer: NodeJS.Timeout | undefined;
  let waiting = new Set<() => void>();
  const tidy = (): void => {
    timer = undefined;
    collect({ type: "minor" });
    const due = waiting;
    waiting = new Set();
    for (const work of due) work();
  };
  function worked(): void {
    if (timer) timer.refresh();
    else timer = setTimeout(tidy, restAfterMs).unref();
  }
  return {
    worked,
    once(work) {
      waiting.add(work);
      worked();
      return () => void waiting.delete(work);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

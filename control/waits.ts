// ⑦ Calls whose next attempt waits for its time.

import type { Clock } from "../base/clock.ts";
import type { Call } from "./call.ts";

export interface Waits extends Disposable {
  /** Hands the call to `due` once `untilMs` is past, unless it is dropped before. */
  add(call: Call, untilMs: number): void;
  /** False when it does not wait. */
  drop(call: Call): boolean;
}

const longestTimerMs = 2 ** 31 - 1; // Node takes longer ones for 1 ms

export function createWaits(clock: Clock, due: (call: Call) => void): Waits {
  const timers = new Map<Call, NodeJS.Timeout>();

  function add(call: Call, untilMs: number): void {
    const ms = Math.max(0, untilMs - clock.now());
    const timer = setTimeout(
      () => {
        timers.delete(call);
        if (ms > longestTimerMs) add(call, untilMs);
        else due(call);
      },
      Math.min(ms, longestTimerMs),
    );
    timers.set(call, timer);
  }

  return {
    add,
    drop(call) {
      clearTimeout(timers.get(call));
      return timers.delete(call);
    },
    [Symbol.dispose]() {
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

// ④ Which firings of a schedule are to be made now, and which were missed. Pure.

import type { Schedule } from "../../proto/gen/hob/v1/common.ts";
import { firingAfter } from "../../proto/schedule.ts";

/** A firing that is later than this is missed: control was away, and its policy says what becomes of it. */
const punctualMs = 10_000;
/** Of those that are made up for, at a time: the others are due when that has been done. */
const mostAtOnce = 100;

export interface Progress {
  schedule: Schedule;
  anchorMs: number;
  /** Firings due until then have been seen to. */
  lastMs: number;
}

interface Due {
  dueMs: number;
  missed: boolean;
}

export interface Plan {
  fire: Due[];
  /** Once those have been made. */
  lastMs: number;
}

export function dueFirings({ schedule, anchorMs, lastMs }: Progress, nowMs: number): Plan {
  const after = (ms: number): number | undefined => firingAfter(schedule, anchorMs, ms);
  const lateMs = nowMs - punctualMs; // what was due before then is missed
  const fire: Due[] = [];
  let last = lastMs;
  const first = after(lastMs);
  const anyMissed = first !== undefined && first < lateMs;
  if (anyMissed && schedule.missed === "all") {
    for (let next: number | undefined = first; next !== undefined && next < lateMs; next = after(next)) {
      if (fire.length === mostAtOnce) return { fire, lastMs: last };
      fire.push({ dueMs: next, missed: true });
      last = next;
    }
  } else if (anyMissed) last = lateMs - 1;
  for (let next = after(last); next !== undefined && next <= nowMs; next = after(next)) {
    fire.push({ dueMs: next, missed: false });
    last = next;
  }
  // One that comes in time stands for those that were missed before it.
  if (anyMissed && schedule.missed === "once" && fire.length === 0) fire.push({ dueMs: first, missed: true });
  return { fire, lastMs: last };
}

// ④ How many containers a group's waiting work is worth: from what waits, how long such calls take, and how many a container takes at a time. Pure.

import { type GroupView, personLanes } from "./decide.ts";

/** Another container is worth having when what waits would keep it busy for so long: about what it takes to start one with code in it. */
export const horizonMs = 100;

/**
 * More than are busy, for `waiting` calls of those in its lanes. While nobody knows how long calls take, each that waits may have its own. A person's call always may, and so
 * may all when none was placed for longer than the horizon: then those that run are not like those before.
 */
export function moreWanted(group: GroupView, nowMs: number, waiting = Number.POSITIVE_INFINITY): number {
  const { callMs, concurrency, waitingInputs, waitingSinceMs, lanes } = group;
  let [queued, persons] = [0, 0];
  for (let i = 0; i < lanes.length; i++) {
    queued += lanes[i]!.size;
    if (i < personLanes) persons += lanes[i]!.size;
  }
  queued = Math.min(queued, waiting);
  persons = Math.min(persons, queued);
  const stuck = waitingSinceMs > 0 && nowMs - waitingSinceMs >= horizonMs;
  const each = Math.ceil(queued / concurrency);
  if (callMs === 0) return each;
  const batchMs = (queued - persons + waitingInputs) * callMs;
  const worth = Math.ceil(persons / concurrency + batchMs / (horizonMs * concurrency));
  return stuck ? Math.max(each, worth) : worth;
}

export const wanted = (group: GroupView, busy: number, nowMs: number): number => busy + moreWanted(group, nowMs);

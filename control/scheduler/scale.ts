// ④ How many containers a group's waiting work is worth: from what waits, how long such calls take, and how many a container takes at a time. Pure.

import { type GroupView, personLanes } from "./decide.ts";

/** Another container is worth having when what waits would keep it busy for so long: about what it takes to start one with code in it. */
export const horizonMs = 100;

/** A person's call waits so long for a container that a map's short inputs have, rather than have code put into another one: that would take as long, and the processors. */
const personWaitMs = 10;

interface Waiting {
  /** Calls of the group's lanes; of persons those of the first two. */
  queued: number;
  persons: number;
}

function waitingOf({ lanes }: GroupView, most: number): Waiting {
  let [queued, persons] = [0, 0];
  for (let i = 0; i < lanes.length; i++) {
    queued += lanes[i]!.size;
    if (i < personLanes) persons += lanes[i]!.size;
  }
  queued = Math.min(queued, most);
  return { queued, persons: Math.min(persons, queued) };
}

const isStuck = ({ waitingSinceMs }: GroupView, nowMs: number): boolean =>
  waitingSinceMs > 0 && nowMs - waitingSinceMs >= horizonMs;

/** A map of short inputs has those that are busy: they are soon free. */
const isSoonFree = ({ callMs, waitingInputs }: GroupView, busy: number): boolean =>
  busy > 0 && waitingInputs > 0 && callMs > 0 && callMs < personWaitMs;

/** Containers, more than are busy, for persons' calls. */
function moreForPersons(group: GroupView, persons: number, busy: number): number {
  const { callMs, concurrency } = group;
  return isSoonFree(group, busy) ? Math.floor((persons * callMs) / (personWaitMs * concurrency)) : persons / concurrency;
}

/** Containers that a group may have for persons' calls: no fewer than `limit`, but where those that are busy are soon free. */
export function capForPersons(group: GroupView, busy: number, nowMs: number, limit: number): number {
  if (!isSoonFree(group, busy) || isStuck(group, nowMs)) return limit;
  const { persons } = waitingOf(group, Number.POSITIVE_INFINITY);
  return Math.min(limit, busy + moreForPersons(group, persons, busy));
}

/**
 * More than are busy, for `waiting` calls of those in its lanes. While nobody knows how long calls take, each that waits may have its own. A person's call may (but see
 * above), and so may all when none was placed for longer than the horizon: then those that run are not like those before.
 */
export function moreWanted(group: GroupView, busy: number, nowMs: number, waiting = Number.POSITIVE_INFINITY): number {
  const { callMs, concurrency, waitingInputs } = group;
  const { queued, persons } = waitingOf(group, waiting);
  const each = Math.ceil(queued / concurrency);
  if (callMs === 0) return each;
  const batchMs = (queued - persons + waitingInputs) * callMs;
  const worth = Math.ceil(moreForPersons(group, persons, busy) + batchMs / (horizonMs * concurrency));
  return isStuck(group, nowMs) ? Math.max(each, worth) : worth;
}

export const wanted = (group: GroupView, busy: number, nowMs: number): number => busy + moreWanted(group, busy, nowMs);

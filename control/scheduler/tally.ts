// ④ What one group has, and what it has been given, while a plan is being made.

import type { ContainerView, GroupView } from "./decide.ts";
import type { Heap } from "./heap.ts";
import type { GroupPlaces, NodePlace } from "./pool-index.ts";
import { type Reserve, reserveOf } from "./room.ts";

/** A container that could take a call; `cost`: how far it is from being ready for it. */
export interface Choice {
  container: ContainerView;
  cost: number;
  order: number;
}

/** For calls of one snapshot: the containers that have not been looked at yet, and those that have, the best at hand. */
export interface Choices {
  unseen: Iterator<ContainerView>;
  seen: Heap<Choice>;
  looked: number; // at so many
}

/** A node that has generic containers of the group's kind. */
export interface Holder {
  place: NodePlace;
  containers: Iterator<ContainerView>;
  local: number;
  /** Containers of the group there. */
  own: number;
  load: number;
  most: number;
}

export interface GroupTally {
  readonly group: GroupView;
  readonly places: GroupPlaces | undefined;
  readonly reserve: Reserve;
  /** Generic containers that this plan gives it. */
  taken: ContainerView[];
  /** Containers, those that are taken included. */
  count: number;
  /** Those with a call. */
  busy: number;
  cap: number;
  /** Where a person's call waits: the limit, and room that no batch takes. */
  personsCap: number;
  /** Containers that are to be there even if nobody calls: the least, or the busy ones and the buffer. */
  keep: number;
  waiting: number;
  /** Containers that what waits is worth. */
  want: number;
  choices: Map<string, Choices> | undefined;
  holders: Heap<Holder> | undefined;
  /** A generic container was there, and its node had no room for it as the group's. */
  roomless: boolean;
}

type Counts = Pick<GroupTally, "places" | "waiting" | "want" | "count" | "busy" | "cap" | "personsCap">;

/** There is one for each group in each decision: plain fields, and what few need is made when it is needed. */
export function tallyOf(group: GroupView, { places, waiting, want, count, busy, cap, personsCap }: Counts): GroupTally {
  const reserve = reserveOf(group.classKey);
  return {
    group,
    places,
    reserve,
    taken: [],
    count,
    busy,
    cap,
    personsCap,
    keep: 0,
    waiting,
    want,
    choices: undefined,
    holders: undefined,
    roomless: false,
  };
}

export function* containersOf({ places, taken }: GroupTally): Iterable<ContainerView> {
  if (places) yield* places.all;
  yield* taken;
}

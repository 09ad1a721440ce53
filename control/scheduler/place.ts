// ④ Places calls and code: by priority, between apps by turns, in the container that is nearest to being ready. Part of decide().

import { type ContainerView, type Plan, personLanes, type QueuedCall } from "./decide.ts";
import { createHeap } from "./heap.ts";
import type { NodePlace, PoolView } from "./pool-index.ts";
import { kindKey } from "./pools.ts";
import { type Amount, hasRoom } from "./room.ts";
import { type Choice, type Choices, containersOf, type GroupTally, type Holder } from "./tally.ts";

/** A plan in the making. */
export interface Draft {
  readonly view: PoolView;
  readonly nowMs: number;
  readonly tallies: ReadonlyMap<string, GroupTally>;
  /** Containers by app, those that are taken included. */
  readonly apps: Map<string, number>;
  /** Generic containers that are somebody's now. */
  readonly taken: Set<ContainerView>;
  /** What those reserve, by node. */
  readonly reserved: Map<NodePlace, Amount>;
  /** `container snapshot` pairs that a dispatch of this plan loads. */
  readonly loading: Set<string>;
  /** Calls that this plan gives to a container. */
  readonly given: Map<ContainerView, number>;
  /** Containers that get no call of a batch, for another waits for their place. */
  withheld: ReadonlySet<ContainerView>;
  /** Groups with a call that no container could be found for. */
  readonly full: Set<GroupTally>;
  /** Something waits that is not worth another container yet. */
  heldBack: boolean;
  readonly plan: Plan;
}

const mostLanes = 4;
const mostHolders = 64; // nodes looked at for a generic container; those that have waited longest

/** Nodes with generic containers of the group's kind and room for one as the group's: with the image first, then where fewest of its own are. */
function holdersFor({ view, taken, reserved }: Draft, own: GroupTally): Holder[] {
  const holders: Holder[] = [];
  for (const [place, waiting] of view.generic.get(kindKey(own.group.imageKey, own.group.classKey)) ?? []) {
    if (holders.length === mostHolders) break;
    const image = place.node.images.get(own.group.imageKey);
    let most = 0;
    for (const container of waiting) if (!taken.has(container)) most++;
    if (most === 0) continue;
    if (!hasRoom(place, own.reserve, reserved.get(place))) {
      own.roomless = true;
      continue;
    }
    const containers = waiting.values();
    const load = (place.cpu + place.count) / Math.max(1, place.node.cores);
    const local = Math.floor(place.node.localShare(image!) * 2); // all of it, most of it, less
    holders.push({ place, containers, local, own: place.groups.get(own.group.key) ?? 0, load, most });
  }
  return holders;
}

const nearer = (a: Holder, b: Holder): number =>
  b.local - a.local || a.own - b.own || a.load - b.load || b.most - a.most || a.place.position - b.place.position;

/** Takes a generic container that fits, if the group may have one more. */
function specialise(draft: Draft, own: GroupTally, most = own.cap): ContainerView | undefined {
  if (own.count >= most) return undefined;
  const { taken, reserved, apps } = draft;
  own.holders ??= createHeap(nearer, holdersFor(draft, own));
  for (let holder = own.holders.peek(); holder; holder = own.holders.peek()) {
    const { place } = holder;
    const next = holder.containers.next();
    if (next.done || !hasRoom(place, own.reserve, reserved.get(place))) {
      own.roomless ||= !next.done;
      own.holders.pop();
      continue;
    }
    const container = next.value;
    if (taken.has(container)) continue;
    taken.add(container);
    const before = reserved.get(place) ?? { cpu: 0, memoryBytes: 0 };
    const { cpu, memoryBytes } = own.reserve;
    reserved.set(place, { cpu: before.cpu + cpu, memoryBytes: before.memoryBytes + memoryBytes });
    own.count++;
    own.taken.push(container);
    apps.set(own.group.app, (apps.get(own.group.app) ?? 0) + 1);
    holder.own++;
    holder.most--;
    own.holders.sink();
    return container;
  }
  return undefined;
}

const callsOf = ({ given }: Draft, container: ContainerView): number => container.inFlight + (given.get(container) ?? 0);

/** The less, the nearer: has the code, is loading it, is the group's at all; of equals the least busy. */
function costOf(draft: Draft, container: ContainerView, snapshot: string, concurrency: number): number {
  const code = container.loaded.has(snapshot)
    ? 0
    : container.loading.has(snapshot) || draft.loading.has(`${container.id} ${snapshot}`)
      ? 1
      : 2;
  return code * concurrency + callsOf(draft, container);
}

const cheaper = (a: Choice, b: Choice): number => a.cost - b.cost || a.order - b.order;

/** Of one call at a time, the idle ones, what was busy last first: so that what is too much stays idle, and ends. */
function choicesFor(own: GroupTally, snapshot: string): Choices {
  own.choices ??= new Map();
  let choices = own.choices.get(snapshot);
  if (!choices) {
    const { places } = own;
    const idle = (places?.idle.newest() ?? [])[Symbol.iterator]();
    const unseen = own.group.concurrency === 1 ? idle : containersOf(own)[Symbol.iterator]();
    choices = { unseen, seen: createHeap(cheaper), looked: 0 };
    own.choices.set(snapshot, choices);
  }
  return choices;
}

/** An open container that needs least; undefined where there is none. */
function openOne(draft: Draft, own: GroupTally, snapshot: string, batch: boolean): ContainerView | undefined {
  const { concurrency } = own.group;
  const choices = choicesFor(own, snapshot);
  const { unseen, seen } = choices;
  const isFull = (container: ContainerView): boolean => callsOf(draft, container) >= concurrency;
  const isOut = (container: ContainerView): boolean => isFull(container) || (batch && draft.withheld.has(container));
  for (let top = seen.peek(); top; top = seen.peek()) {
    const cost = costOf(draft, top.container, snapshot, concurrency);
    if (isOut(top.container)) seen.pop();
    else if (cost !== top.cost) {
      top.cost = cost;
      seen.sink();
    } else break;
  }
  while (seen.peek()?.cost !== 0) {
    const next = unseen.next();
    if (next.done) break;
    if (isOut(next.value)) continue;
    seen.push({ container: next.value, cost: costOf(draft, next.value, snapshot, concurrency), order: choices.looked++ });
  }
  return seen.peek()?.container;
}

function pick(draft: Draft, own: GroupTally, snapshot: string, batch: boolean): ContainerView | undefined {
  // What is beyond the limit is there for persons.
  if (batch && own.group.concurrency === 1 && own.busy >= own.cap) return undefined;
  let container = openOne(draft, own, snapshot, batch);
  if (!container) {
    if (batch && own.count >= own.want) {
      draft.heldBack ||= own.count < own.cap;
      return undefined;
    }
    container = specialise(draft, own, batch ? own.cap : own.personsCap);
    if (!container) {
      draft.heldBack ||= !batch && own.count >= own.personsCap && own.group.waitingInputs > 0;
      return undefined;
    }
    if (own.group.concurrency > 1) {
      for (const { seen } of own.choices?.values() ?? []) seen.push({ container, cost: -1, order: own.count }); // weighed when it is looked at
    }
  }
  if (callsOf(draft, container) === 0) own.busy++;
  draft.given.set(container, (draft.given.get(container) ?? 0) + 1);
  return container;
}

interface GroupTurn {
  own: GroupTally;
  calls: Iterator<QueuedCall>;
}

interface AppTurn {
  app: string;
  containers: number;
  /** Since when one of its groups has got nothing. */
  sinceMs: number;
  groups: GroupTurn[];
  next: number;
}

/** The app with fewest containers goes first, of equals who has waited longest: apps compete for generic containers only, and have equal shares of those. */
const poorer = (a: AppTurn, b: AppTurn): number =>
  a.containers - b.containers || a.sinceMs - b.sinceMs || (a.app < b.app ? -1 : 1);

function turnsOf(draft: Draft, priority: number): AppTurn[] {
  const turns = new Map<string, AppTurn>();
  for (const own of draft.tallies.values()) {
    const lane = own.group.lanes[priority];
    if (own.waiting === 0 || !lane || lane.size === 0 || draft.full.has(own)) continue;
    const { app } = own.group;
    let turn = turns.get(app);
    if (!turn) {
      turn = { app, containers: draft.apps.get(app) ?? 0, sinceMs: Number.MAX_VALUE, groups: [], next: 0 };
      turns.set(app, turn);
    }
    turn.sinceMs = Math.min(turn.sinceMs, own.group.waitingSinceMs || Number.MAX_VALUE);
    turn.groups.push({ own, calls: lane[Symbol.iterator]() });
  }
  for (const { groups } of turns.values()) groups.sort((a, b) => a.own.count - b.own.count);
  return [...turns.values()];
}

function placeLanes(draft: Draft, from: number, to: number): void {
  for (let priority = from; priority < to; priority++) {
    const turns = createHeap(poorer, turnsOf(draft, priority));
    for (let turn = turns.peek(); turn; turn = turns.peek()) {
      if (!placeNext(draft, turn, priority)) turn.groups.splice(turn.next, 1);
      else turn.next++;
      if (turn.next >= turn.groups.length) turn.next = 0;
      turn.containers = draft.apps.get(turn.app) ?? 0;
      if (turn.groups.length === 0) turns.pop();
      else turns.sink();
    }
  }
}

/** One call of the group whose turn it is; false when it has none, or no container for it. */
function placeNext(draft: Draft, turn: AppTurn, priority: number): boolean {
  const { own, calls } = turn.groups[turn.next]!;
  const next = calls.next();
  if (next.done) return false;
  const call = next.value;
  const container = pick(draft, own, call.snapshot, priority >= personLanes);
  if (!container) {
    draft.full.add(own);
    return false;
  }
  draft.plan.dispatches.push({ call, group: own.group.key, container });
  if (!container.loaded.has(call.snapshot)) draft.loading.add(`${container.id} ${call.snapshot}`);
  own.waiting--;
  return true;
}

/** What comes before any batch. */
export const placePersons = (draft: Draft): void => placeLanes(draft, 0, personLanes);

export const placeBatches = (draft: Draft): void => placeLanes(draft, personLanes, mostLanes);

/** At this point of the plan. */
export function keepOf({ group, cap, busy }: GroupTally): number {
  if (group.newest === "") return 0;
  if (group.bufferContainers === 0) return Math.min(cap, group.minContainers);
  return Math.min(cap, Math.max(group.minContainers, busy + group.bufferContainers));
}

/** A person waits for such a call, and the processors for other containers' loads are the same. */
const calledWith = ({ plan }: Draft, key: string, snapshot: string): boolean =>
  plan.dispatches.some(({ group, call }) => group === key && call.snapshot === snapshot);

export function placeCode(draft: Draft): void {
  for (const own of draft.tallies.values()) {
    const { group } = own;
    const load = (container: ContainerView, snapshot: string): void => {
      const pair = `${container.id} ${snapshot}`;
      if (container.loaded.has(snapshot) || container.loading.has(snapshot) || draft.loading.has(pair)) return;
      draft.loading.add(pair);
      draft.plan.loads.push({ group: group.key, snapshot, container });
    };
    if (group.eager.size > 0 && own.count === 0) specialise(draft, own);
    own.keep = keepOf(own);
    while (own.count < own.keep) {
      const container = specialise(draft, own);
      if (!container) break;
      load(container, group.newest);
    }
    for (const snapshot of group.eager) {
      if (calledWith(draft, group.key, snapshot)) draft.plan.later.push({ group: group.key, snapshot });
      else for (const container of containersOf(own)) load(container, snapshot);
    }
  }
}

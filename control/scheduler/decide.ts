// ④ Which call goes to which container, and which code is loaded where. Pure: a snapshot of the pool and a clock value give a plan.

import { type Demand, type PoolWish, wishes } from "./pools.ts";
import { type Stop, stops } from "./stops.ts";

/** A container as the decision sees it. `group` is "" while it is generic. */
export interface ContainerView {
  readonly id: string;
  readonly node: string;
  readonly image: string;
  readonly classKey: string;
  readonly state: "created" | "starting" | "warm" | "specialised" | "stopping";
  readonly group: string;
  readonly inFlight: number;
  readonly idleSinceMs: number;
  /** Measured. */
  readonly memoryBytes: number;
  readonly loaded: { has(snapshot: string): boolean };
  readonly loading: { has(snapshot: string): boolean };
}

export interface QueuedCall {
  readonly id: string;
  readonly snapshot: string;
}

/** Functions that share containers: those of one app, image and resource class, or one function (or class) with scaling of its own. */
export interface GroupView {
  readonly key: string;
  readonly imageKey: string;
  readonly classKey: string;
  readonly maxContainers: number; // 0: the default
  readonly minContainers: number;
  /** Kept ready beyond those that are busy. */
  readonly bufferContainers: number;
  /** Calls that one container takes at a time, at least 1. */
  readonly concurrency: number;
  readonly idleTimeoutMs: number; // 0: the default
  /** Shells that wait for a container of their own. */
  readonly shells: number;
  /** Running calls that wait for calls which they made: their containers do not count against the limit. */
  readonly blocked: number;
  /** Inputs of maps that are not in a lane yet: demand, beside the calls that wait. */
  readonly waitingInputs: number;
  /** By priority: again after a loss, a person's, a running call's, all others. */
  readonly lanes: readonly { readonly size: number; [Symbol.iterator](): Iterator<QueuedCall> }[];
  /** Snapshots to be put in place before anybody calls. */
  readonly eager: ReadonlySet<string>;
  /** The newest snapshot of its current versions; "" when it has no function any more. */
  readonly newest: string;
}

export interface NodeView {
  readonly name: string;
  readonly cores: number;
  readonly memoryBytes: number; // 0: not known
  readonly memoryUsedBytes: number;
  /** False while it is cordoned, drained or silent: nothing new begins there. */
  readonly schedulable: boolean;
  /** Manifest digest by image key, as far as the node has resolved them. */
  readonly images: ReadonlyMap<string, string>;
}

export interface PoolState {
  nodes: readonly NodeView[];
  containers: readonly ContainerView[];
  groups: ReadonlyMap<string, GroupView>;
  /** Generic containers taken lately, by kind. */
  demand: ReadonlyMap<string, Demand>;
}

export interface Plan {
  dispatches: { call: QueuedCall; group: string; container: ContainerView }[];
  loads: { group: string; snapshot: string; container: ContainerView }[];
  stops: Stop[];
  pools: Map<string, PoolWish[]>;
}

export const defaultCap = (nodes: readonly NodeView[]): number =>
  Math.max(4, 2 * nodes.reduce((sum, node) => sum + node.cores, 0));

const genericKey = (node: string, image: string, classKey: string): string => `${node} ${image} ${classKey}`;

/** What one group has, while the plan is being made. */
export interface GroupTally {
  group: GroupView;
  /** With room for another call. */
  open: ContainerView[];
  containers: ContainerView[];
  /** Containers, those taken by this plan included. */
  count: number;
  cap: number;
  /** Containers that are to be there even if nobody calls: the least, or the busy ones and the buffer. */
  keep: number;
  waiting: number;
}

interface Draft {
  state: PoolState;
  tallies: Map<string, GroupTally>;
  generic: Map<string, ContainerView[]>;
  /** `container snapshot` pairs that a dispatch of this plan loads. */
  loading: Set<string>;
  /** Calls that this plan gives to a container. */
  given: Map<ContainerView, number>;
  plan: Plan;
}

export function decide(state: PoolState, nowMs: number): Plan {
  const draft = tally(state);
  placeCalls(draft);
  placeCode(draft);
  const used = new Set([...draft.plan.dispatches, ...draft.plan.loads].map(({ container }) => container));
  draft.plan.stops = stops(state, draft.tallies, used, nowMs);
  draft.plan.pools = wishes(state, [...draft.tallies.values()], nowMs);
  return draft.plan;
}

function tally(state: PoolState): Draft {
  const tallies = new Map<string, GroupTally>();
  const generic = new Map<string, ContainerView[]>();
  const standard = defaultCap(state.nodes);
  for (const group of state.groups.values()) {
    const waiting = group.lanes.reduce((sum, lane) => sum + lane.size, 0);
    const cap = (group.maxContainers || standard) + Math.ceil(group.blocked / group.concurrency);
    tallies.set(group.key, { group, open: [], containers: [], count: 0, cap, keep: 0, waiting });
  }
  const closed = new Set(state.nodes.filter(({ schedulable }) => !schedulable).map(({ name }) => name));
  for (const container of state.containers) {
    if (container.state !== "warm" && container.state !== "specialised") continue;
    if (closed.has(container.node)) continue;
    if (container.group === "") {
      if (container.state !== "warm" || container.inFlight > 0) continue;
      const key = genericKey(container.node, container.image, container.classKey);
      const others = generic.get(key);
      if (others) others.push(container);
      else generic.set(key, [container]);
      continue;
    }
    const own = tallies.get(container.group);
    if (!own) continue;
    own.count++;
    own.containers.push(container);
    if (container.inFlight < own.group.concurrency) own.open.push(container);
  }
  const plan: Plan = { dispatches: [], loads: [], stops: [], pools: new Map() };
  return { state, tallies, generic, loading: new Set(), given: new Map(), plan };
}

/** Takes a generic container that fits, if the group may have one more. */
function specialise(draft: Draft, own: GroupTally): ContainerView | undefined {
  if (own.count >= own.cap) return undefined;
  let most: ContainerView[] | undefined; // from the node with most to give
  for (const node of draft.state.nodes) {
    const image = node.images.get(own.group.imageKey);
    const here = image === undefined ? undefined : draft.generic.get(genericKey(node.name, image, own.group.classKey));
    if (here && here.length > (most?.length ?? 0)) most = here;
  }
  const container = most?.shift();
  if (!container) return undefined;
  own.count++;
  own.containers.push(container);
  return container;
}

const callsOf = (draft: Draft, container: ContainerView): number => container.inFlight + (draft.given.get(container) ?? 0);

/** The open container that needs least: has the code, is loading it, is the group's at all, of equals the least busy; else a generic one. */
function pick(draft: Draft, own: GroupTally, snapshot: string): ContainerView | undefined {
  const { concurrency } = own.group;
  let best = -1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i < own.open.length && bestCost > 0; i++) {
    const container = own.open[i]!;
    const comes = container.loading.has(snapshot) || draft.loading.has(`${container.id} ${snapshot}`);
    const cost = (container.loaded.has(snapshot) ? 0 : comes ? 1 : 2) * concurrency + callsOf(draft, container);
    if (cost < bestCost) [best, bestCost] = [i, cost];
  }
  const container = best < 0 ? specialise(draft, own) : own.open[best];
  if (!container) return undefined;
  draft.given.set(container, (draft.given.get(container) ?? 0) + 1);
  const full = callsOf(draft, container) >= concurrency;
  if (full && best >= 0) own.open.splice(best, 1);
  else if (!full && best < 0) own.open.push(container);
  return container;
}

function placeCalls(draft: Draft): void {
  const hungry = [...draft.tallies.values()].filter((own) => own.waiting > 0);
  // Groups compete for generic containers only: who has fewest goes first.
  hungry.sort((a, b) => a.count - b.count || (a.group.key < b.group.key ? -1 : 1));
  const full = new Set<GroupTally>();
  for (let priority = 0; priority < 4; priority++) {
    let turns = hungry.flatMap((own) => {
      const lane = own.group.lanes[priority];
      return lane && lane.size > 0 && !full.has(own) ? [{ own, calls: lane[Symbol.iterator]() }] : [];
    });
    while (turns.length > 0) {
      turns = turns.filter(({ own, calls }) => {
        const next = calls.next();
        if (next.done) return false;
        const container = pick(draft, own, next.value.snapshot);
        if (!container) {
          full.add(own);
          return false;
        }
        draft.plan.dispatches.push({ call: next.value, group: own.group.key, container });
        if (!container.loaded.has(next.value.snapshot)) draft.loading.add(`${container.id} ${next.value.snapshot}`);
        own.waiting--;
        return true;
      });
    }
  }
}

function keepOf(draft: Draft, { group, containers, cap }: GroupTally): number {
  if (group.newest === "") return 0;
  const busy = group.bufferContainers > 0 ? containers.filter((container) => callsOf(draft, container) > 0).length : 0;
  return Math.min(cap, Math.max(group.minContainers, busy + group.bufferContainers));
}

function placeCode(draft: Draft): void {
  for (const own of draft.tallies.values()) {
    const { group } = own;
    const load = (container: ContainerView, snapshot: string): void => {
      const pair = `${container.id} ${snapshot}`;
      if (container.loaded.has(snapshot) || container.loading.has(snapshot) || draft.loading.has(pair)) return;
      draft.loading.add(pair);
      draft.plan.loads.push({ group: group.key, snapshot, container });
    };
    if (group.eager.size > 0 && own.count === 0) specialise(draft, own);
    own.keep = keepOf(draft, own);
    while (own.count < own.keep) {
      const container = specialise(draft, own);
      if (!container) break;
      load(container, group.newest);
    }
    for (const snapshot of group.eager) for (const container of own.containers) load(container, snapshot);
  }
}

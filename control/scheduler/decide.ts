// ④ Which call goes to which container, and which code is loaded where. Pure: a snapshot of the pool and a clock value give a plan.

import { type PoolWish, wishes } from "./pools.ts";

/** A container as the decision sees it. `group` is "" while it is generic. */
export interface ContainerView {
  readonly id: string;
  readonly node: string;
  readonly image: string;
  readonly classKey: string;
  readonly state: "starting" | "warm" | "specialised" | "stopping";
  readonly group: string;
  readonly inFlight: number;
  readonly idleSinceMs: number;
  readonly loaded: { has(snapshot: string): boolean };
  readonly loading: { has(snapshot: string): boolean };
}

export interface QueuedCall {
  readonly id: string;
  readonly snapshot: string;
}

/** Functions that share containers: those of one app, image and resource class, or one function with a limit of its own. */
export interface GroupView {
  readonly key: string;
  readonly imageKey: string;
  readonly classKey: string;
  readonly maxContainers: number; // 0: the default
  readonly minContainers: number;
  /** Running calls that wait for calls which they made: their containers do not count against the limit. */
  readonly blocked: number;
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
  /** Manifest digest by image key, as far as the node has resolved them. */
  readonly images: ReadonlyMap<string, string>;
}

export interface PoolState {
  nodes: readonly NodeView[];
  containers: readonly ContainerView[];
  groups: ReadonlyMap<string, GroupView>;
}

export interface Plan {
  dispatches: { call: QueuedCall; group: string; container: ContainerView }[];
  loads: { group: string; snapshot: string; container: ContainerView }[];
  stops: { container: ContainerView; reason: string }[];
  pools: Map<string, PoolWish[]>;
}

const idleStopMs = 10 * 60_000;
const surplusStopMs = 10_000; // above the limit: left over from calls that waited for others

export const defaultCap = (nodes: readonly NodeView[]): number =>
  Math.max(4, 2 * nodes.reduce((sum, node) => sum + node.cores, 0));

const genericKey = (node: string, image: string, classKey: string): string => `${node} ${image} ${classKey}`;

/** What one group has, while the plan is being made. */
export interface GroupTally {
  group: GroupView;
  idle: ContainerView[];
  containers: ContainerView[];
  /** Containers, those taken by this plan included. */
  count: number;
  cap: number;
  waiting: number;
}

interface Draft {
  state: PoolState;
  tallies: Map<string, GroupTally>;
  generic: Map<string, ContainerView[]>;
  /** `container snapshot` pairs that a dispatch of this plan loads. */
  loading: Set<string>;
  plan: Plan;
}

export function decide(state: PoolState, nowMs: number): Plan {
  const draft = tally(state);
  placeCalls(draft);
  placeCode(draft);
  stopIdle(draft, nowMs);
  draft.plan.pools = wishes(state.nodes, [...draft.tallies.values()]);
  return draft.plan;
}

function tally(state: PoolState): Draft {
  const tallies = new Map<string, GroupTally>();
  const generic = new Map<string, ContainerView[]>();
  const standard = defaultCap(state.nodes);
  for (const group of state.groups.values()) {
    const waiting = group.lanes.reduce((sum, lane) => sum + lane.size, 0);
    const cap = (group.maxContainers || standard) + group.blocked;
    tallies.set(group.key, { group, idle: [], containers: [], count: 0, cap, waiting });
  }
  for (const container of state.containers) {
    if (container.state === "starting" || container.state === "stopping") continue;
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
    if (container.inFlight === 0) own.idle.push(container);
  }
  const plan: Plan = { dispatches: [], loads: [], stops: [], pools: new Map() };
  return { state, tallies, generic, loading: new Set(), plan };
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

/** The idle container that needs least: has the code, is loading it, is the group's at all; else a generic one. */
function pick(draft: Draft, own: GroupTally, snapshot: string): ContainerView | undefined {
  let best = own.idle.findIndex((container) => container.loaded.has(snapshot));
  if (best < 0) best = own.idle.findIndex((container) => container.loading.has(snapshot));
  if (best < 0 && own.idle.length > 0) best = 0;
  return best < 0 ? specialise(draft, own) : own.idle.splice(best, 1)[0];
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
    while (group.newest && own.count < Math.min(group.minContainers, own.cap)) {
      const container = specialise(draft, own);
      if (!container) break;
      load(container, group.newest);
    }
    for (const snapshot of group.eager) for (const container of own.containers) load(container, snapshot);
  }
}

function stopIdle(draft: Draft, nowMs: number): void {
  const used = new Set([...draft.plan.dispatches, ...draft.plan.loads].map(({ container }) => container));
  for (const container of draft.state.containers) {
    if (container.state !== "specialised" || container.inFlight > 0 || used.has(container)) continue;
    const own = draft.tallies.get(container.group);
    const idleMs = nowMs - container.idleSinceMs;
    let reason = "";
    if (!own) reason = "no function needs it any more";
    else if (own.group.newest === "" && own.waiting === 0) reason = "no function needs it any more";
    else if (own.count > own.cap && idleMs >= surplusStopMs) reason = "more than the limit of containers";
    else if (own.count > own.group.minContainers && idleMs >= idleStopMs) reason = "idle";
    if (!reason) continue;
    if (own) own.count--;
    draft.plan.stops.push({ container, reason });
  }
}

// ④ Which call goes to which container, which code is loaded where, what ends, and what should wait where. Pure: a view of the pool and a clock value give a plan.

import type { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { type Draft, placeBatches, placeCode, placePersons } from "./place.ts";
import type { PoolView } from "./pool-index.ts";
import { type PoolWish, wishes } from "./pools.ts";
import { capForPersons, horizonMs, wanted } from "./scale.ts";
import { withhold } from "./share.ts";
import { type Stop, stops } from "./stops.ts";
import { type GroupTally, tallyOf } from "./tally.ts";

/** A container as the decision sees it. `group` is "" while it is generic. */
export interface ContainerView {
  readonly id: string;
  readonly node: string;
  readonly image: string;
  readonly classKey: string;
  readonly state: "created" | "starting" | "warm" | "specialised" | "stopping";
  readonly group: string;
  /** The shell that has it for its own, else "": no call is placed in it. */
  readonly shell: string;
  readonly inFlight: number;
  readonly idleSinceMs: number;
  /** Measured. */
  readonly memoryBytes: number;
  /** Uuids of the devices that it holds. */
  readonly info: { readonly gpus: readonly string[] };
  readonly loaded: { has(snapshot: string): boolean };
  readonly loading: { has(snapshot: string): boolean };
}

export interface QueuedCall {
  readonly id: string;
  readonly snapshot: string;
}

/** So many lanes come first: calls of these wait for no batch. */
export const personLanes = 2;

/** Functions that share containers: those of one app, image and resource class, or one function (or class) with scaling of its own. */
export interface GroupView {
  readonly key: string;
  readonly app: string;
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
  /** How long its calls, or inputs, ran lately; 0 while none has. */
  readonly callMs: number;
  /** Since when calls have waited and none was placed; 0 when that is not so. */
  readonly waitingSinceMs: number;
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
  readonly info: { readonly gpus: readonly Gpu[] };
  /** How much of an image's contents is on its disk, 0 to 1. */
  localShare(image: string): number;
}

export interface Plan {
  dispatches: { call: QueuedCall; group: string; container: ContainerView }[];
  loads: { group: string; snapshot: string; container: ContainerView }[];
  /** To be loaded into more containers once the calls that this plan places with it have most likely been answered. */
  later: { group: string; snapshot: string }[];
  stops: Stop[];
  pools: Map<string, PoolWish[]>;
  /** When to decide again although nothing has changed: calls wait that are not worth another container yet. */
  againMs: number | undefined;
}

/** How many containers a group may have that says nothing itself. */
export const defaultCap = (cores: number): number => Math.max(4, 2 * cores);

/** Beyond that, for persons' calls alone: a batch that has all of the others does not hold them up. */
export const roomForPersons = (standard: number): number => Math.ceil(standard / 2);

export function decide(view: PoolView, nowMs: number): Plan {
  const draft = begin(view, nowMs);
  placePersons(draft);
  const withheld = withhold(draft);
  placeBatches(draft);
  placeCode(draft);
  draft.plan.stops = stops(draft, withheld);
  draft.plan.pools = wishes(draft);
  if (draft.heldBack) draft.plan.againMs = nowMs + horizonMs;
  return draft.plan;
}

function begin(view: PoolView, nowMs: number): Draft {
  const tallies = new Map<string, GroupTally>();
  const apps = new Map<string, number>();
  const standard = defaultCap(view.cores);
  for (const group of view.groups.values()) {
    const places = view.places.get(group.key);
    const count = places?.all.size ?? 0;
    const busy = count - (places?.idle.size ?? 0);
    let waiting = 0;
    for (const lane of group.lanes) waiting += lane.size;
    const cap = (group.maxContainers || standard) + Math.ceil(group.blocked / group.concurrency);
    const personsLimit = group.maxContainers > 0 ? cap : cap + roomForPersons(standard);
    const personsCap = capForPersons(group, busy, nowMs, personsLimit);
    const want = waiting === 0 ? 0 : wanted(group, busy, nowMs);
    tallies.set(group.key, tallyOf(group, { places, waiting, want, count, busy, cap, personsCap }));
    apps.set(group.app, (apps.get(group.app) ?? 0) + count);
  }
  return {
    view,
    nowMs,
    tallies,
    apps,
    taken: new Set(),
    reserved: new Map(),
    loading: new Set(),
    given: new Map(),
    withheld: new Set(),
    full: new Set(),
    heldBack: false,
    plan: { dispatches: [], loads: [], later: [], stops: [], pools: new Map(), againMs: undefined },
  };
}

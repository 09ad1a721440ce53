// ④ How many generic containers should wait, warm and in reserve, for each image and resource class: a function of demand, memory and time. Pure.

import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../../proto/image.ts";
import type { GroupView, NodeView } from "./decide.ts";
import { withinDevices } from "./gpus.ts";
import type { Draft } from "./place.ts";
import type { NodePlace } from "./pool-index.ts";
import { type Reserve, reserveOf } from "./room.ts";
import { moreWanted } from "./scale.ts";
import { spread, windowOf } from "./spread.ts";
import type { GroupTally } from "./tally.ts";

export interface PoolWish {
  image: string;
  classKey: string;
  warm: number;
  reserve: number;
  /** Of the warm ones, for calls that wait, and for what is to be kept: the others are ready for nobody yet. */
  wanted: number;
}

/** Of one kind, how many generic containers were taken lately: each adds one, and quiet halves what there was. */
export interface Demand {
  level: number;
  atMs: number;
}

const halfLifeMs = 60_000;

const levelAt = ({ level, atMs }: Demand, nowMs: number): number => level * 0.5 ** (Math.max(0, nowMs - atMs) / halfLifeMs);

export const raised = (before: Demand | undefined, nowMs: number): Demand => ({
  level: (before ? levelAt(before, nowMs) : 0) + 1,
  atMs: nowMs,
});

export const kindKey = (imageKey: string, classKey: string): string => `${imageKey} ${classKey}`;

const MiB = 2 ** 20;
const standardWarm = 2;
const specialWarm = 1; // of a class that only some functions ask for
const standardReserve = 2;
const specialReserve = 1;
const readyMost = 128; // of those that stand ready because of demand, warm or in the reserve

// What demand may take of a node's free memory, for the reserve and for the warm ones each.
const demandShare = 0.1;
const reserveBytes = 2 * MiB; // measured: 1.8
/**
 * What one that waits warm holds, its process in spare among it (measured: 10 and 96 MiB), and of how many taken lately one more does. A light one
 * stands warm again for each that was taken: its first result takes 2 ms of processor time, that of one of the reserve 30, for the interpreter.
 */
const light = { bytes: 16 * MiB, takenPerWarm: 1 };
const heavy = { bytes: 128 * MiB, takenPerWarm: 8 };
/** With less than this share free, only what calls wait for is kept ready. */
const scarceShare = 0.08;

export const defaultMemoryBytes = 512 * MiB;

export const classKeyOf = ({ cpu, memoryBytes, language, gpu, network }: ResourceClass): string =>
  [cpu, memoryBytes, language, network || "internet", gpu].join(" "); // last the GPU: its model's name may have spaces

export function classOfKey(key: string): ResourceClass {
  const [cpu, memoryBytes, language = "", network = "", ...gpu] = key.split(" ");
  return { cpu: Number(cpu), memoryBytes: Number(memoryBytes), language, network, gpu: gpu.join(" ") };
}

const standardClasses: readonly string[] = ["python", "typescript"].map((language) =>
  classKeyOf({ cpu: 0, memoryBytes: defaultMemoryBytes, language, gpu: "", network: "internet" }),
);

export interface Kind {
  readonly imageKey: string;
  readonly kind: string;
  readonly classKey: string;
  readonly reserve: Reserve;
  readonly standard: boolean;
  readonly light: boolean;
}

export interface Need {
  readonly of: Kind;
  /** For calls that wait and may have a container, for shells that wait for a GPU, and for containers that are to be kept. */
  more: number;
  /** Taken lately, now. */
  level: number;
}

const kinds = new Map<string, Kind>();
const mostKinds = 10_000; // remembered

function kindOf(imageKey: string, classKey: string): Kind {
  const kind = kindKey(imageKey, classKey);
  let known = kinds.get(kind);
  if (!known) {
    const standard = imageKey === hostImageKey && standardClasses.includes(classKey);
    const light = classOfKey(classKey).language === "python";
    known = { imageKey, kind, classKey, reserve: reserveOf(classKey), standard, light };
    if (kinds.size >= mostKinds) kinds.clear();
    kinds.set(kind, known);
  }
  return known;
}

const kindsOfGroups = new WeakMap<GroupView, Kind>();

/** A group's image and class never change. */
function kindOfGroup(group: GroupView): Kind {
  const kind = kindsOfGroups.get(group) ?? kindOf(group.imageKey, group.classKey);
  kindsOfGroups.set(group, kind);
  return kind;
}

function needs({ view, tallies, nowMs }: Draft): Need[] {
  const all = new Map<Kind, Need>();
  const of = (kind: Kind): Need => {
    let need = all.get(kind);
    if (need) return need;
    const lately = view.demand.get(kind.kind);
    need = { of: kind, more: 0, level: lately ? Math.round(levelAt(lately, nowMs)) : 0 };
    all.set(kind, need);
    return need;
  };
  for (const classKey of standardClasses) of(kindOf(hostImageKey, classKey));
  for (const own of tallies.values()) {
    const { group, count, keep, waiting, reserve } = own;
    if (group.newest === "" && waiting === 0 && group.shells === 0) continue;
    const forShells = reserve.gpu ? group.shells : 0; // elsewhere one stands ready, or soon does
    of(kindOfGroup(group)).more += Math.max(forCalls(own, nowMs), keep - count, 0) + forShells;
  }
  return [...all.values()];
}

/** What waits still has no container with room. */
function forCalls({ group, count, busy, cap, personsCap, waiting }: GroupTally, nowMs: number): number {
  if (waiting === 0) return 0;
  const persons = Math.min(waiting, group.lanes[0]!.size + group.lanes[1]!.size);
  const most = Math.max(cap - count, Math.min(persons, personsCap - count), 0);
  return Math.min(moreWanted(group, busy, nowMs, waiting), most);
}

/** The wish list of each node that is asked about, or that gets more; in one order, so that equal wishes are equal texts. */
export function wishes(draft: Draft): Map<string, PoolWish[]> {
  const { view } = draft;
  const { ring, sweep } = view;
  const result = new Map<string, PoolWish[]>();
  if (sweep?.length === 0) return result;
  const wanted = needs(draft).sort((a, b) => (a.of.kind < b.of.kind ? -1 : 1));
  const extras = wanted.map((need) => (need.more > 0 ? spread(view, need) : none));
  const lists = new Map<NodePlace, PoolWish[]>();
  for (const place of sweep ?? view.nodes.values()) lists.set(place, []);
  for (const extra of extras) for (const place of extra.keys()) if (!lists.has(place)) lists.set(place, []);
  for (const [i, need] of wanted.entries()) {
    const extra = extras[i]!;
    const { from, size, level } = windowOf(view, need);
    const say = (place: NodePlace, here: number): void => {
      const list = lists.get(place);
      const image = place.node.images.get(need.of.imageKey);
      if (!list || image === undefined || place.position < 0) return;
      const ready = readyOn(place.node, need, here);
      const wanted = extra.get(place) ?? 0;
      const { classKey } = need.of;
      const same = list.find((wish) => wish.image === image && wish.classKey === classKey);
      if (!same) list.push({ image, classKey, warm: ready.warm + wanted, reserve: ready.reserve, wanted });
      else joinWish(same, { ...ready, wanted });
    };
    const isHome = ({ position }: NodePlace): boolean => (position - from + ring.length) % ring.length < size;
    if (need.of.standard) for (const place of lists.keys()) say(place, isHome(place) ? level : 0);
    else {
      for (let n = 0; n < size; n++) say(ring[(from + n) % ring.length]!, level);
      for (const place of extra.keys()) if (!isHome(place)) say(place, away);
    }
  }
  for (const [place, list] of lists) {
    const devices = list.some(({ classKey }) => reserveOf(classKey).gpu);
    result.set(place.node.name, devices ? withinDevices(list, place.node, [...place.containers]) : list);
  }
  return result;
}

/** One image may be known by two keys, a node's own and its digest: what waits in it is for both. */
function joinWish(wish: PoolWish, { warm, reserve, wanted }: Pick<PoolWish, "warm" | "reserve" | "wanted">): void {
  wish.warm = Math.max(wish.warm - wish.wanted, warm) + wish.wanted + wanted;
  wish.reserve = Math.max(wish.reserve, reserve);
  wish.wanted += wanted;
}

const none: ReadonlyMap<NodePlace, number> = new Map();
/** Nothing of the kind stands ready there. */
const away = -1;

/**
 * What waits on a node before anybody calls: a little, nothing when memory is short. What was taken lately stands ready again, warm
 * as far as its runner and the node's memory allow, the rest in the reserve.
 */
function readyOn(
  { memoryBytes, memoryUsedBytes }: NodeView,
  { of: { standard, light: isLight } }: Need,
  level: number,
): Pick<PoolWish, "warm" | "reserve"> {
  if (level === away) return { warm: 0, reserve: 0 };
  const freeBytes = memoryBytes > 0 ? Math.max(0, memoryBytes - memoryUsedBytes) : Number.POSITIVE_INFINITY;
  if (freeBytes < memoryBytes * scarceShare) return { warm: 0, reserve: 0 };
  const least = standard ? { warm: standardWarm, reserve: standardReserve } : { warm: specialWarm, reserve: specialReserve };
  const room = (bytes: number): number => Math.floor((freeBytes * demandShare) / bytes);
  const { bytes, takenPerWarm } = isLight ? light : heavy;
  const lately = Math.min(Math.ceil(level), readyMost);
  const warm = Math.min(Math.floor(lately / takenPerWarm), room(bytes));
  return { warm: least.warm + warm, reserve: least.reserve + Math.min(lately - warm, room(reserveBytes)) };
}

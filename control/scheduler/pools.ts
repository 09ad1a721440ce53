// ④ How many generic containers should wait, warm and in reserve, for each image and resource class: a function of demand, memory and time. Pure.

import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../../proto/image.ts";
import type { NodeView } from "./decide.ts";
import { withinDevices } from "./gpus.ts";
import type { Draft } from "./place.ts";
import type { NodePlace, PoolView } from "./pool-index.ts";
import { devicesFor, type Reserve, reserveOf, slotsOn } from "./room.ts";
import { moreWanted } from "./scale.ts";
import type { GroupTally } from "./tally.ts";

export interface PoolWish {
  image: string;
  classKey: string;
  warm: number;
  reserve: number;
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
/** A kind that only some functions ask for stands ready on so many nodes, on more as more are taken; the standard ones on each. */
const homes = 4;
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

interface Kind {
  readonly imageKey: string;
  readonly kind: string;
  readonly classKey: string;
  readonly reserve: Reserve;
  readonly standard: boolean;
  readonly light: boolean;
}

interface Need {
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

function needs({ view, tallies, nowMs }: Draft): Need[] {
  const all = new Map<Kind, Need>();
  const of = (imageKey: string, classKey: string): Need => {
    const kind = kindOf(imageKey, classKey);
    let need = all.get(kind);
    if (need) return need;
    const lately = view.demand.get(kind.kind);
    need = { of: kind, more: 0, level: lately ? Math.round(levelAt(lately, nowMs)) : 0 };
    all.set(kind, need);
    return need;
  };
  for (const classKey of standardClasses) of(hostImageKey, classKey);
  for (const own of tallies.values()) {
    const { group, count, keep, waiting, reserve } = own;
    if (group.newest === "" && waiting === 0 && group.shells === 0) continue;
    const forShells = reserve.gpu ? group.shells : 0; // elsewhere one stands ready, or soon does
    of(group.imageKey, group.classKey).more += Math.max(forCalls(own, nowMs), keep - count, 0) + forShells;
  }
  return [...all.values()];
}

/** What waits still has no container with room. */
function forCalls({ group, count, cap, personsCap, waiting }: GroupTally, nowMs: number): number {
  if (waiting === 0) return 0;
  const persons = Math.min(waiting, group.lanes[0]!.size + group.lanes[1]!.size);
  const most = Math.max(cap - count, Math.min(persons, personsCap - count), 0);
  return Math.min(moreWanted(group, nowMs, waiting), most);
}

/** The wish list of each node that is asked about, or that gets more; in one order, so that equal wishes are equal texts. */
export function wishes(draft: Draft): Map<string, PoolWish[]> {
  const { view } = draft;
  const wanted = needs(draft).sort((a, b) => (a.of.kind < b.of.kind ? -1 : 1));
  const result = new Map<string, PoolWish[]>();
  if (view.sweep?.length === 0) return result;
  const more = new Map<NodePlace, Map<Need, number>>();
  for (const need of wanted) if (need.more > 0) spread(view, need, more);
  const windows = wanted.map((need) => windowOf(view, need));
  for (const place of view.sweep ? new Set([...view.sweep, ...more.keys()]) : view.nodes.values()) {
    const list: PoolWish[] = [];
    for (let i = 0; place.position >= 0 && i < wanted.length; i++) {
      const need = wanted[i]!;
      const image = place.node.images.get(need.of.imageKey);
      if (image === undefined) continue;
      const ready = readyOn(place.node, need, levelOn(place, view, windows[i]!));
      const extra = more.get(place)?.get(need) ?? 0;
      if (ready) list.push({ image, classKey: need.of.classKey, warm: ready.warm + extra, reserve: ready.reserve });
      else if (extra > 0) list.push({ image, classKey: need.of.classKey, warm: extra, reserve: 0 });
    }
    const holders = list.some(({ classKey }) => reserveOf(classKey).gpu) ? [...place.containers] : [];
    result.set(place.node.name, withinDevices(list, place.node, holders));
  }
  return result;
}

/** The nodes of the ring on which a kind stands ready, from a place of its own on: so kinds are spread, and stay where they are. */
interface Window {
  from: number;
  size: number;
  /** Containers taken lately, on each of them. */
  level: number;
}

function windowOf({ ring }: PoolView, { of: { kind, imageKey, reserve }, level }: Need): Window {
  if (ring.length <= homes) {
    let able = 0;
    for (const { node } of ring) if (node.images.has(imageKey)) able++;
    return { from: 0, size: ring.length, level: level / Math.max(1, able) };
  }
  const size = reserve.gpu ? ring.length : Math.min(ring.length, Math.max(homes, level));
  return { from: startOf(kind, ring.length), size, level: level / size };
}

/** The same for the same text: its hash (FNV-1a) as a share of the ring. */
function startOf(text: string, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return Math.floor((hash / 2 ** 32) * length);
}

/** -1 outside of the window. */
function levelOn({ position }: NodePlace, { ring }: PoolView, { from, size, level }: Window): number {
  return (position - from + ring.length) % ring.length < size ? level : -1;
}

/**
 * What waits on a node before anybody calls: a little, nothing when memory is short. What was taken lately stands ready again, warm
 * as far as its runner and the node's memory allow, the rest in the reserve.
 */
function readyOn(
  { memoryBytes, memoryUsedBytes }: NodeView,
  { of: { standard, light: isLight } }: Need,
  level: number,
): Omit<PoolWish, "image" | "classKey"> | undefined {
  if (level < 0 && !standard) return undefined;
  const freeBytes = memoryBytes > 0 ? Math.max(0, memoryBytes - memoryUsedBytes) : Number.POSITIVE_INFINITY;
  if (freeBytes < memoryBytes * scarceShare) return { warm: 0, reserve: 0 };
  const least = standard ? { warm: standardWarm, reserve: standardReserve } : { warm: specialWarm, reserve: specialReserve };
  const room = (bytes: number): number => Math.floor((freeBytes * demandShare) / bytes);
  const { bytes, takenPerWarm } = isLight ? light : heavy;
  const lately = Math.min(Math.ceil(Math.max(0, level)), readyMost);
  const warm = Math.min(Math.floor(lately / takenPerWarm), room(bytes));
  return { warm: least.warm + warm, reserve: least.reserve + Math.min(lately - warm, room(reserveBytes)) };
}

interface Candidate {
  place: NodePlace;
  /** 2: all of the image is there, 1: most of it. */
  local: number;
  load: number;
  /** Containers that it should have at most for this. */
  slots: number;
}

/** Distributes what is wanted now: nodes with the image before those without, of equals the least loaded, one each in turn while they have room. */
function spread(view: PoolView, need: Need, more: Map<NodePlace, Map<Need, number>>): void {
  const { ring } = view;
  const from = startOf(need.of.kind, ring.length);
  const candidates: Candidate[] = [];
  for (let i = 0; i < ring.length && candidates.length < 4 * need.more + 2 * homes; i++) {
    const place = ring[(from + i) % ring.length]!;
    const candidate = candidateOf(place, need.of);
    if (candidate) candidates.push(candidate);
  }
  candidates.sort((a, b) => b.local - a.local || a.load - b.load);
  let left = need.more;
  const give = (place: NodePlace, count: number): void => {
    const on = more.get(place) ?? new Map<Need, number>();
    more.set(place, on.set(need, (on.get(need) ?? 0) + count));
    left -= count;
  };
  for (const local of [2, 1, 0]) {
    let hungry = candidates.filter((candidate) => candidate.local === local);
    while (left > 0 && hungry.length > 0) {
      for (const { place } of hungry.slice(0, left)) give(place, 1);
      hungry = hungry.filter((candidate) => --candidate.slots > 0);
    }
  }
  // Where nothing is promised there is always room for one more: its node's processors are shared.
  if (left <= 0 || candidates.length === 0 || candidates.some(({ place }) => Number.isFinite(slotsOn(place, need.of.reserve))))
    return;
  const each = Math.ceil(left / candidates.length);
  for (const { place } of candidates) if (left > 0) give(place, Math.min(each, left));
}

function candidateOf(place: NodePlace, { imageKey, reserve }: Kind): Candidate | undefined {
  const { node } = place;
  const image = node.images.get(imageKey);
  if (image === undefined || (reserve.gpu && devicesFor(place, reserve.gpu) < reserve.gpu.count)) return undefined;
  const slots = Math.min(slotsOn(place, reserve), Math.max(1, 2 * node.cores - place.count));
  if (slots <= 0) return undefined;
  return {
    place,
    local: Math.floor(node.localShare(image) * 2),
    load: (place.cpu + place.count) / Math.max(1, node.cores),
    slots,
  };
}

// ④ How many generic containers should wait, warm and in reserve, for each image and resource class: a function of demand, memory and time. Pure.

import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../../proto/image.ts";
import type { GroupTally, NodeView, PoolState } from "./decide.ts";

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
/** With less than this share free, only what calls wait for is kept ready. */
const shortShare = 0.08;

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

interface Need {
  imageKey: string;
  classKey: string;
  standard: boolean;
  /** For calls that wait and may have a container, for shells that wait for a GPU, and for containers that are to be kept. */
  more: number;
}

function needs(tallies: readonly GroupTally[]): Need[] {
  const all = new Map<string, Need>();
  const of = (imageKey: string, classKey: string): Need => {
    const key = kindKey(imageKey, classKey);
    const standard = imageKey === hostImageKey && standardClasses.includes(classKey);
    const need = all.get(key) ?? { imageKey, classKey, standard, more: 0 };
    all.set(key, need);
    return need;
  };
  for (const classKey of standardClasses) of(hostImageKey, classKey);
  for (const { group, count, cap, keep, waiting } of tallies) {
    if (group.newest === "" && waiting === 0 && group.shells === 0) continue;
    const forCalls = Math.min(Math.ceil(waiting / group.concurrency), Math.max(0, cap - count));
    const forShells = classOfKey(group.classKey).gpu === "" ? 0 : group.shells; // elsewhere one stands ready, or soon does
    of(group.imageKey, group.classKey).more += Math.max(forCalls, keep - count, 0) + forShells;
  }
  return [...all.values()];
}

/** The wish list of each node, sorted, so that equal wishes are equal texts. */
export function wishes({ nodes, demand }: PoolState, tallies: readonly GroupTally[], nowMs: number): Map<string, PoolWish[]> {
  const wanted = needs(tallies);
  const result = new Map<string, PoolWish[]>();
  for (const node of nodes) {
    const list: PoolWish[] = [];
    for (const need of wanted) {
      const image = node.images.get(need.imageKey);
      if (image === undefined || !node.schedulable) continue;
      const able = nodes.filter((other) => other.schedulable && other.images.has(need.imageKey)).length;
      const lately = demand.get(kindKey(need.imageKey, need.classKey));
      const level = lately ? Math.round(levelAt(lately, nowMs)) : 0;
      const ready = readyOn(node, need, level / able);
      list.push({ image, classKey: need.classKey, warm: ready.warm + Math.ceil(need.more / able), reserve: ready.reserve });
    }
    list.sort((a, b) => (`${a.image} ${a.classKey}` < `${b.image} ${b.classKey}` ? -1 : 1));
    result.set(node.name, list);
  }
  return result;
}

/**
 * What waits on a node before anybody calls: always a little, nothing when memory is short. What was taken lately stands ready again, warm
 * as far as its runner and the node's memory allow, the rest in the reserve.
 */
function readyOn(
  { memoryBytes, memoryUsedBytes }: NodeView,
  { standard, classKey }: Need,
  level: number,
): Omit<PoolWish, "image" | "classKey"> {
  const freeBytes = memoryBytes > 0 ? Math.max(0, memoryBytes - memoryUsedBytes) : Number.POSITIVE_INFINITY;
  if (freeBytes < memoryBytes * shortShare) return { warm: 0, reserve: 0 };
  const least = standard ? { warm: standardWarm, reserve: standardReserve } : { warm: specialWarm, reserve: specialReserve };
  const room = (bytes: number): number => Math.floor((freeBytes * demandShare) / bytes);
  const { bytes, takenPerWarm } = classOfKey(classKey).language === "python" ? light : heavy;
  const lately = Math.min(Math.ceil(level), readyMost);
  const warm = Math.min(Math.floor(lately / takenPerWarm), room(bytes));
  return { warm: least.warm + warm, reserve: least.reserve + Math.min(lately - warm, room(reserveBytes)) };
}

// ④ How many generic containers should wait, warm, for each image and resource class. Pure.

import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import type { GroupTally, NodeView } from "./decide.ts";

export interface PoolWish {
  image: string;
  classKey: string;
  warm: number;
}

const standardWarm = 2;
const specialWarm = 1; // of a class that only some functions ask for
export const defaultMemoryBytes = 512 * 2 ** 20;

/** The key of an image that each node has made of itself. */
export const hostImage = "source:host";

export const classKeyOf = ({ cpu, memoryBytes, language, gpu, network }: ResourceClass): string =>
  [cpu, memoryBytes, language, network || "internet", gpu].join(" "); // last the GPU: its model's name may have spaces

export function classOfKey(key: string): ResourceClass {
  const [cpu, memoryBytes, language = "", network = "", ...gpu] = key.split(" ");
  return { cpu: Number(cpu), memoryBytes: Number(memoryBytes), language, network, gpu: gpu.join(" ") };
}

const standardClasses: readonly string[] = ["python", "typescript"].map((language) =>
  classKeyOf({ cpu: 0, memoryBytes: defaultMemoryBytes, language, gpu: "", network: "internet" }),
);

/** The wish list of each node, sorted, so that equal wishes are equal texts. A reserve that is always there, and one for each call that waits and may have a container. */
export function wishes(nodes: readonly NodeView[], tallies: readonly GroupTally[]): Map<string, PoolWish[]> {
  const need = new Map<string, { imageKey: string; classKey: string; reserve: number; more: number }>();
  const of = (imageKey: string, classKey: string) => {
    const key = `${imageKey} ${classKey}`;
    const standard = imageKey === hostImage && standardClasses.includes(classKey);
    const found = need.get(key) ?? { imageKey, classKey, reserve: standard ? standardWarm : specialWarm, more: 0 };
    need.set(key, found);
    return found;
  };
  for (const classKey of standardClasses) of(hostImage, classKey);
  for (const { group, count, cap, waiting } of tallies) {
    if (group.newest === "" && waiting === 0) continue;
    const entry = of(group.imageKey, group.classKey);
    const forCalls = Math.min(waiting, Math.max(0, cap - count));
    entry.more += Math.max(forCalls, Math.min(group.minContainers, cap) - count, 0);
  }
  const result = new Map<string, PoolWish[]>();
  for (const node of nodes) {
    const list: PoolWish[] = [];
    for (const { imageKey, classKey, reserve, more } of need.values()) {
      const image = node.images.get(imageKey);
      if (image === undefined) continue;
      const able = nodes.filter((other) => other.images.has(imageKey)).length;
      list.push({ image, classKey, warm: reserve + Math.ceil(more / able) });
    }
    list.sort((a, b) => (`${a.image} ${a.classKey}` < `${b.image} ${b.classKey}` ? -1 : 1));
    result.set(node.name, list);
  }
  return result;
}

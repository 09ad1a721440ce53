// ④ GPUs: which requests a pool can ever serve, and how many containers of each kind fit on the devices that are free. Pure.

import type { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { type GpuRequest, isModel, parseGpuRequest } from "../../proto/gpu.ts";
import { classOfKey, type PoolWish } from "./pools.ts";

export interface GpuNode {
  readonly info: { readonly gpus: readonly Gpu[] };
}

/** A container that is on a node. */
export interface GpuHolder {
  readonly group: string;
  readonly state: string;
  readonly info: { readonly gpus: readonly string[] };
}

/**
 * Why no node of this pool can serve the request, be all its devices free; undefined where one can, or where no node is there yet to
 * ask: then calls wait.
 */
export function unservable(gpu: string, nodes: readonly GpuNode[]): string | undefined {
  const wanted = parseGpuRequest(gpu);
  if (!wanted || nodes.length === 0) return undefined;
  const able = nodes.filter(({ info }) => info.gpus.filter(({ name }) => isModel(name, wanted.model)).length >= wanted.count);
  if (able.some(({ info }) => info.gpus.filter(usable(wanted)).length >= wanted.count)) return undefined;
  for (const { name, obstacle } of able.flatMap(({ info }) => info.gpus)) {
    if (obstacle !== "" && isModel(name, wanted.model)) return `no container can be given a GPU: ${obstacle}`;
  }
  const what = wanted.model === "any" ? "GPU" : `GPU "${wanted.model}"`;
  const lacks = wanted.count === 1 ? `no node has a ${what}` : `no node has ${wanted.count} × ${what}`;
  return `${lacks}; this pool has: ${inventory(nodes)}. Add a node with one, or remove gpu=`;
}

export const usable =
  (wanted: GpuRequest) =>
  ({ name, obstacle }: Gpu): boolean =>
    obstacle === "" && isModel(name, wanted.model);

function inventory(nodes: readonly GpuNode[]): string {
  const counts = new Map<string, number>();
  for (const { info } of nodes) for (const { name } of info.gpus) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts.size === 0 ? "none" : [...counts].map(([name, count]) => `${count} × ${name}`).join(", ");
}

/**
 * The wish list of one node, cut to the devices that it has free, for a generic container holds devices, too. Waiting calls have them first, then
 * containers kept warm, one of each kind in turn. The reserve has no containers with GPUs.
 */
export function withinDevices(wishes: readonly PoolWish[], node: GpuNode, holders: readonly GpuHolder[]): PoolWish[] {
  const gpuOf = (wish: PoolWish): string => classOfKey(wish.classKey).gpu;
  if (wishes.every((wish) => gpuOf(wish) === "")) return [...wishes];
  const taken = new Set(
    holders.filter(({ group, state }) => group !== "" || state === "stopping").flatMap(({ info }) => info.gpus),
  );
  let free = node.info.gpus.filter(({ uuid }) => !taken.has(uuid));
  const given = new Map<PoolWish, number>();
  const givenTo = (wish: PoolWish): number => given.get(wish) ?? 0;
  const giveOut = (mostOf: (wish: PoolWish) => number): void => {
    let hungry = wishes.filter((wish) => gpuOf(wish) !== "").toSorted((a, b) => mostOf(b) - mostOf(a));
    while (hungry.length > 0) {
      hungry = hungry.filter((wish) => {
        const wanted = parseGpuRequest(gpuOf(wish));
        const fitting = wanted ? free.filter(usable(wanted)) : [];
        if (!wanted || givenTo(wish) >= mostOf(wish) || fitting.length < wanted.count) return false;
        const own = new Set(fitting.slice(0, wanted.count));
        free = free.filter((gpu) => !own.has(gpu));
        given.set(wish, givenTo(wish) + 1);
        return true;
      });
    }
  };
  giveOut(({ wanted }) => wanted);
  giveOut(({ warm }) => warm);
  return wishes.map((wish) => (gpuOf(wish) === "" ? wish : { ...wish, warm: givenTo(wish), reserve: 0 }));
}

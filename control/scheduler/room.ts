// ④ What a container reserves of its node, and whether a node has that left. Pure.

import { type GpuRequest, parseGpuRequest } from "../../proto/gpu.ts";
import type { ContainerView, NodeView } from "./decide.ts";
import { usable } from "./gpus.ts";
import type { NodePlace, PoolView } from "./pool-index.ts";
import { classOfKey, defaultMemoryBytes } from "./pools.ts";

/**
 * What a container of a class has for itself once it is an app's. A function that names `cpu` or `memory` is promised it, whatever it uses; one
 * that names neither shares what the others leave, up to its limits, and is watched by what its node's memory really holds.
 */
export interface Reserve {
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly gpu: GpuRequest | undefined;
}

const known = new Map<string, Reserve>();

export function reserveOf(classKey: string): Reserve {
  let reserve = known.get(classKey);
  if (!reserve) {
    const { cpu, memoryBytes, gpu } = classOfKey(classKey);
    reserve = { cpu, memoryBytes: memoryBytes === defaultMemoryBytes ? 0 : memoryBytes, gpu: parseGpuRequest(gpu) };
    known.set(classKey, reserve);
  }
  return reserve;
}

/** Whether places for such containers are counted. */
export const isReserved = ({ cpu, memoryBytes, gpu }: Reserve): boolean => cpu > 0 || memoryBytes > 0 || gpu !== undefined;

const roundingError = 1e-6; // of sums of cores

const memoryOf = ({ memoryBytes }: NodeView): number => memoryBytes || Number.POSITIVE_INFINITY; // 0: not known

export interface Amount {
  cpu: number;
  memoryBytes: number;
}

/** `taken`: what else is reserved there by now; below zero for what comes free. */
export function hasRoom(place: NodePlace, { cpu, memoryBytes }: Reserve, taken: Amount = nothing): boolean {
  const { node } = place;
  return (
    (cpu === 0 || place.cpu + taken.cpu + cpu <= node.cores + roundingError) &&
    (memoryBytes === 0 || place.memoryBytes + taken.memoryBytes + memoryBytes <= memoryOf(node))
  );
}

const nothing: Amount = { cpu: 0, memoryBytes: 0 };

/** How many such containers would fit; Infinity where nothing is counted. `ending`: with what comes free anyway. */
export function slotsOn(place: NodePlace, reserve: Reserve): number {
  const { node, ending } = place;
  const cores = node.cores - place.cpu + ending.cpu + roundingError;
  const bytes = memoryOf(node) - place.memoryBytes + ending.memoryBytes;
  const gpus = reserve.gpu ? Math.floor(devicesFor(place, reserve.gpu) / reserve.gpu.count) : Number.POSITIVE_INFINITY;
  const byCpu = reserve.cpu > 0 ? Math.floor(cores / reserve.cpu) : Number.POSITIVE_INFINITY;
  const byMemory = reserve.memoryBytes > 0 ? Math.floor(bytes / reserve.memoryBytes) : Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(gpus, byCpu, byMemory));
}

/** Whether there is a node for one more, or soon will be. */
export function roomSomewhere({ ring }: PoolView, imageKey: string, reserve: Reserve): boolean {
  return ring.some((place) => place.node.images.has(imageKey) && slotsOn(place, reserve) > 0);
}

/** Devices that fit and that no app's container keeps: generic ones give theirs up, those that end and `leaving` soon have. */
export function devicesFor({ node, containers }: NodePlace, gpu: GpuRequest, leaving?: ReadonlySet<ContainerView>): number {
  const fitting = node.info.gpus.filter(usable(gpu));
  if (fitting.length === 0) return 0;
  const held = new Set<string>();
  for (const container of containers) {
    if (container.group === "" || container.state === "stopping" || leaving?.has(container)) continue;
    for (const uuid of container.info.gpus) held.add(uuid);
  }
  return fitting.filter(({ uuid }) => !held.has(uuid)).length;
}

/** Why no node could hold such a container, were it empty; undefined where one could, or where no node is there yet to ask. */
export function tooLarge(classKey: string, nodes: Iterable<NodeView>): string | undefined {
  const { cpu, memoryBytes } = reserveOf(classKey);
  if (cpu === 0 && memoryBytes === 0) return undefined;
  let cores = 0;
  let bytes = 0;
  for (const node of nodes) {
    if (cpu <= node.cores && memoryBytes <= memoryOf(node)) return undefined;
    cores = Math.max(cores, node.cores);
    bytes = Math.max(bytes, node.memoryBytes);
  }
  if (cores === 0) return undefined;
  const wanted = [...(cpu > 0 ? [`${cpu} cores`] : []), ...(memoryBytes > 0 ? [`${gibibytes(memoryBytes)} of memory`] : [])];
  const remedy = "Ask for less with cpu= and memory=, or add a larger node";
  return `no node has ${wanted.join(" and ")}; the most that one has is ${cores} cores, and ${gibibytes(bytes)}. ${remedy}`;
}

const gibibytes = (bytes: number): string => `${Math.round((bytes / 2 ** 30) * 10) / 10} GiB`;

// ⑤ The node's GPUs as its other parts have them: what they do, who holds them, and what a container needs to have one.

import { HobError } from "../../base/errors.ts";
import type { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { type Configuration, withEdits } from "./apply.ts";
import { editsFor } from "./cdi.ts";
import { createHoldings } from "./holdings.ts";
import { findNodes, readSpecifications } from "./specifications.ts";
import { watchGpus } from "./watch.ts";

export type GpuEdit = (config: Configuration) => Configuration;

export interface Gpus extends Disposable {
  readonly ready: Promise<void>;
  /** With the functions of the containers that hold each. */
  current(functionsOf: (container: string) => string[]): Gpu[];
  /** What to do to a container's configuration so that it has the devices, which are its own until `release`. */
  acquire(id: string, request: string, signal: AbortSignal): Promise<GpuEdit>;
  release(id: string): void;
  /** How many containers with that request the free devices are enough for. */
  room(request: string): number;
  /** UUIDs. */
  of(id: string): string[];
}

export function openGpus(cgroupParent: string, now: () => number): Gpus {
  const watch = watchGpus(cgroupParent, now);
  const holdings = createHoldings(() => watch.current());
  return {
    ready: watch.ready,
    current: (functionsOf) =>
      watch.current().map((gpu, index) => {
        const holder = holdings.holderOf(gpu.uuid);
        return { ...gpu, functions: holder === undefined ? [] : functionsOf(holder), obstacle: obstacleOf(gpu.uuid, index) };
      }),
    async acquire(id, request, signal) {
      const devices = await holdings.acquire(id, request, signal);
      if (devices.length === 0) return (config) => config;
      const edits = editsFor(readSpecifications(), devices);
      const nodes = findNodes(edits.deviceNodes ?? []);
      return (config) => withEdits(config, edits, nodes);
    },
    release: holdings.release,
    room: holdings.room,
    of: holdings.of,
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

/** Why a container could not have that device: no specification names it, or what that names is not there. "" when nothing is in the way. */
export function obstacleOf(uuid: string, index: number): string {
  try {
    findNodes(editsFor(readSpecifications(), [{ uuid, index }]).deviceNodes ?? []);
    return "";
  } catch (error) {
    if (error instanceof HobError) return error.sentence;
    throw error;
  }
}

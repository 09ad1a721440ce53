// ⑤ The node's GPUs as its other parts have them: what they do, who holds them, and what a container needs to have one.

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
  /** UUIDs. */
  of(id: string): string[];
}

export function openGpus(cgroupParent: string, now: () => number): Gpus {
  const watch = watchGpus(cgroupParent, now);
  const holdings = createHoldings(() => watch.current());
  return {
    ready: watch.ready,
    current: (functionsOf) =>
      watch.current().map((gpu) => {
        const holder = holdings.holderOf(gpu.uuid);
        return { ...gpu, functions: holder === undefined ? [] : functionsOf(holder) };
      }),
    async acquire(id, request, signal) {
      const devices = await holdings.acquire(id, request, signal);
      if (devices.length === 0) return (config) => config;
      const edits = editsFor(readSpecifications(), devices);
      const nodes = findNodes(edits.deviceNodes ?? []);
      return (config) => withEdits(config, edits, nodes);
    },
    release: holdings.release,
    of: holdings.of,
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

// ⑤ Which container holds which GPU: each device one container's, from before it is made until all of it is gone.

import { HobError } from "../../base/errors.ts";
import type { Gpu } from "../../proto/gen/hob/v1/fleet.ts";
import { type GpuRequest, isModel, parseGpuRequest } from "../../proto/gpu.ts";

export interface Holdings {
  /** Devices for `holder`, waiting a while for those that others are letting go of. Undefined where none is asked for. */
  acquire(holder: string, request: string, signal: AbortSignal): Promise<Device[]>;
  release(holder: string): void;
  /** For how many holders with that request the free devices are enough. */
  room(request: string): number;
  of(holder: string): string[];
  holderOf(uuid: string): string | undefined;
}

interface Device {
  uuid: string;
  index: number;
}

/** Control plans with what containers hold; one that is just ending is not known to it. */
const patienceMs = 10_000;

export function createHoldings(gpus: () => readonly Gpu[]): Holdings {
  const held = new Map<string, string>(); // uuid → holder
  const waiting = new Set<() => void>();

  const fittingOf = (wanted: GpuRequest): Device[] =>
    gpus().flatMap(({ uuid, name }, index) => (isModel(name, wanted.model) ? [{ uuid, index }] : []));

  function take(holder: string, request: string): Device[] | undefined {
    const wanted = parseGpuRequest(request);
    if (!wanted) return [];
    const fitting = fittingOf(wanted);
    if (fitting.length < wanted.count) {
      throw new HobError("precondition", `this node has ${fitting.length} GPUs that are "${wanted.model}", not ${wanted.count}`, {
        remedy: "add a node with more, or change gpu=",
      });
    }
    const free = fitting.filter(({ uuid }) => !held.has(uuid)).slice(0, wanted.count);
    if (free.length < wanted.count) return undefined;
    for (const { uuid } of free) held.set(uuid, holder);
    return free;
  }

  return {
    acquire(holder, request, signal) {
      return new Promise((resolve, reject) => {
        const settle = (finish: () => void): void => {
          clearTimeout(timer);
          waiting.delete(look);
          signal.removeEventListener("abort", stop);
          finish();
        };
        const stop = (): void => settle(() => reject(signal.reason));
        const timer = setTimeout(
          () => settle(() => reject(new HobError("exhausted", `all GPUs that are "${request}" are held by other containers`))),
          patienceMs,
        );
        const look = (): void => {
          try {
            const devices = take(holder, request);
            if (devices) settle(() => resolve(devices));
          } catch (error) {
            settle(() => reject(error));
          }
        };
        signal.addEventListener("abort", stop, { once: true });
        waiting.add(look);
        look();
      });
    },
    release(holder) {
      for (const [uuid, other] of held) if (other === holder) held.delete(uuid);
      for (const look of [...waiting]) look();
    },
    room(request) {
      const wanted = parseGpuRequest(request);
      if (!wanted) return Number.POSITIVE_INFINITY;
      return Math.floor(fittingOf(wanted).filter(({ uuid }) => !held.has(uuid)).length / wanted.count);
    },
    of: (holder) => [...held].filter(([, other]) => other === holder).map(([uuid]) => uuid),
    holderOf: (uuid) => held.get(uuid),
  };
}

// ⑧ The pool over time: the latest sample whole, and of the last minutes the few numbers that charts show.

import type { ContainerInfo, FleetSample } from "../../proto/gen/hob/v1/fleet.ts";

/** Containers by what they are doing, as the header and the charts count them. */
export interface ContainerCounts {
  readonly created: number; // of the reserve
  readonly starting: number;
  readonly warm: number; // waiting, generic or specialised
  readonly busy: number; // with a call in flight
  readonly stopping: number;
}

export interface FleetHistory {
  readonly latest: FleetSample | undefined;
  readonly total: Float64Array;
  readonly busy: Float64Array;
  readonly p50Ms: Float64Array;
  readonly p99Ms: Float64Array;
}

const keptSamples = 480; // four minutes at two samples a second

const nothing = (): Float64Array => new Float64Array(keptSamples).fill(Number.NaN);

export const emptyFleet: FleetHistory = {
  latest: undefined,
  total: nothing(),
  busy: nothing(),
  p50Ms: nothing(),
  p99Ms: nothing(),
};

export function containersOf(sample: FleetSample): ContainerInfo[] {
  return sample.nodes.flatMap((node) => node.containers);
}

export function doingOf(container: ContainerInfo): keyof ContainerCounts {
  const { state } = container;
  if (state === "created" || state === "starting" || state === "stopping") return state;
  return container.calls.length > 0 ? "busy" : "warm";
}

export function countContainers(sample: FleetSample): ContainerCounts {
  const counts = { created: 0, starting: 0, warm: 0, busy: 0, stopping: 0 };
  for (const container of containersOf(sample)) counts[doingOf(container)] += 1;
  return counts;
}

function pushed(values: Float64Array, value: number): Float64Array {
  const next = new Float64Array(values.length);
  next.set(values.subarray(1));
  next[next.length - 1] = value;
  return next;
}

export function recordSample(history: FleetHistory, sample: FleetSample): FleetHistory {
  const { starting, warm, busy } = countContainers(sample);
  const idle = sample.latencyP50Ms === 0 && sample.latencyP99Ms === 0; // no call finished in the last minute
  return {
    latest: sample,
    total: pushed(history.total, starting + warm + busy),
    busy: pushed(history.busy, busy),
    p50Ms: pushed(history.p50Ms, idle ? Number.NaN : sample.latencyP50Ms),
    p99Ms: pushed(history.p99Ms, idle ? Number.NaN : sample.latencyP99Ms),
  };
}

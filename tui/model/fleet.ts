// ⑧ The pool over time: the latest sample whole, and of the last hour the few numbers that charts show.

import type { ContainerInfo, FleetSample } from "../../proto/gen/hob/v1/fleet.ts";

/** Containers by what they are doing, as the header and the charts count them. */
export interface ContainerCounts {
  readonly created: number; // of the reserve
  readonly starting: number;
  readonly warm: number; // waiting, generic or specialised
  readonly busy: number; // with a call in flight
  readonly stopping: number;
}

/** What charts show, over time. Containers are stacked in this order. */
const seriesNames = ["busy", "warm", "starting", "created", "queued", "p50Ms", "p99Ms"] as const;
type SeriesName = (typeof seriesNames)[number];

/** How far back a chart can look, in minutes. */
export const spans = [1, 5, 15, 60] as const;
export type SpanMinutes = (typeof spans)[number];

/** The latest `spanMinutes` in slots of equal length; NaN where nothing is known. */
interface Track {
  readonly slotMs: number;
  readonly lastSlot: number; // Unix time over slotMs of the last value
  readonly values: Readonly<Record<SeriesName, Float64Array>>;
}

export interface FleetHistory {
  readonly latest: FleetSample | undefined;
  readonly tracks: Readonly<Record<SpanMinutes, Track>>;
}

// A slot holds at least one of the two samples a second, and a chart needs no more slots than it has dots.
const slotsOf: Record<SpanMinutes, number> = { 1: 60, 5: 150, 15: 225, 60: 240 };
const longestFilledMs = 3_000; // a sample that comes late leaves no hole

function emptyTrack(minutes: SpanMinutes): Track {
  const nothing = (): Float64Array => new Float64Array(slotsOf[minutes]).fill(Number.NaN);
  const values = Object.fromEntries(seriesNames.map((name) => [name, nothing()])) as Record<SeriesName, Float64Array>;
  return { slotMs: (minutes * 60_000) / slotsOf[minutes], lastSlot: Number.NEGATIVE_INFINITY, values };
}

export const emptyFleet: FleetHistory = {
  latest: undefined,
  tracks: { 1: emptyTrack(1), 5: emptyTrack(5), 15: emptyTrack(15), 60: emptyTrack(60) },
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

function valuesOf(sample: FleetSample): Record<SeriesName, number> {
  const { created, starting, warm, busy } = countContainers(sample);
  const idle = sample.latencyP50Ms === 0 && sample.latencyP99Ms === 0; // no call finished in the last minute
  const [p50Ms, p99Ms] = idle ? [Number.NaN, Number.NaN] : [sample.latencyP50Ms, sample.latencyP99Ms];
  return { busy, warm, starting, created, queued: sample.queued, p50Ms, p99Ms };
}

/** Of the samples in one slot the one with most containers busy stays: a chart of an hour shows what a short burst reached. */
function recordOn(track: Track, timeMs: number, sampled: Record<SeriesName, number>): Track {
  const { slotMs, lastSlot, values } = track;
  const slot = Math.floor(timeMs / slotMs);
  const count = values.busy.length;
  const last = count - 1;
  if (slot < lastSlot) return track; // a clock that was set back
  if (slot === lastSlot && (values.busy[last] ?? 0) > sampled.busy) return track;
  const shift = slot - lastSlot;
  const filled = shift * slotMs <= longestFilledMs ? shift - 1 : 0;
  const next = {} as Record<SeriesName, Float64Array>;
  for (const name of seriesNames) {
    const before = values[name];
    const after = new Float64Array(count).fill(Number.NaN);
    if (shift < count) after.set(before.subarray(shift));
    if (filled > 0) after.fill(before[last] ?? Number.NaN, last - filled, last);
    after[last] = sampled[name];
    next[name] = after;
  }
  return { slotMs, lastSlot: slot, values: next };
}

export function recordSample({ tracks }: FleetHistory, sample: FleetSample): FleetHistory {
  const sampled = valuesOf(sample);
  const record = (track: Track): Track => recordOn(track, sample.timeMs, sampled);
  return {
    latest: sample,
    tracks: { 1: record(tracks[1]), 5: record(tracks[5]), 15: record(tracks[15]), 60: record(tracks[60]) },
  };
}

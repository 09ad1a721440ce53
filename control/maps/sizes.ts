// ④⑦ How a map is cut: inputs of a batch, batches that wait, inputs that its client may send. Pure.

import { briefly } from "./pace.ts";

/** Of one block: inputs that are stored, cut and told as one piece at most. */
export const blockInputs = 512;
export const blockBytes = 1 << 20;

/** What a batch should take: long enough that its messages cost little beside it, short enough that what is left spreads evenly. */
const batchMs = 50;
/** Not worth spreading. */
const leastMs = 5;
/** A first measurement may be of a warm cache or a cold one: sizes grow in steps. */
const growth = 8;

interface Measure {
  /** Measured, of one input; undefined before the first result. */
  inputMs: number | undefined;
  /** Of the largest batch so far. */
  former: number;
  /** Inputs that wait. */
  waiting: number;
  /** Containers that the map has, or could have at once. */
  width: number;
  /** A person calls (pace.ts). */
  brief: boolean;
}

export function batchSize({ inputMs, former, waiting, width, brief }: Measure): number {
  if (inputMs === undefined) return 1;
  const most = brief ? briefly : { batchMs, inputs: blockInputs };
  const of = (ms: number): number => Math.max(1, Math.floor(ms / Math.max(inputMs, 0.001)));
  const fair = Math.max(Math.ceil(waiting / (2 * Math.max(1, width))), of(leastMs));
  return Math.max(1, Math.min(of(most.batchMs), fair, former * growth, most.inputs));
}

/** Newer results count more; a handful decides. */
export const measured = (former: number | undefined, inputMs: number): number =>
  former === undefined ? inputMs : former * 0.7 + inputMs * 0.3;

/** Batches in the lane: for every container that works for the map another, and some for containers that could. */
export function ticketsWanted(waiting: number, size: number, out: number): number {
  return Math.min(Math.ceil(waiting / size), out + 4);
}

const windowInputs = 4 * 1024;
const windowBytes = 64 << 20;
/** Whatever their size. */
const windowLeast = 16;
/** Indices have 32 bits. */
const mostInputs = 0xffffffff;

interface Intake {
  recorded: number;
  recordedBytes: number;
  /** Results that the client has been sent, or that there are; undefined where inputs may come long before they are worked on. */
  used: number | undefined;
}

/**
 * The index below which inputs may be sent. The client of an attached map is not let far ahead of what it has taken out: so a
 * generator that never ends is asked for no more than its results are used. Nor is any while a person calls, of what has been worked on.
 */
export function inputsUntil({ recorded, recordedBytes, used }: Intake): number {
  const each = recorded > 0 ? Math.max(1, recordedBytes / recorded) : 1024;
  const window = Math.max(windowLeast, Math.min(windowInputs, Math.floor(windowBytes / each)));
  const from = used === undefined ? recorded : Math.min(recorded, used);
  return Math.min(mostInputs, Math.max(recorded, from + window));
}

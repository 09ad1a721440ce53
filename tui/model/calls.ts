// ⑧ The calls that the screen remembers: a bounded book of them, and for each function how its latest runs went.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";

export type CallState = "queued" | "running" | "succeeded" | "failed" | "cancelled";

export interface CallRecord {
  readonly info: CallInfo;
  readonly saveToResultMs: number | undefined;
}

export interface RecentRun {
  readonly state: CallState;
  readonly ms: number;
}

export interface CallBook {
  readonly byId: ReadonlyMap<string, CallRecord>;
  /** Finished runs by function key, oldest first. */
  readonly recent: ReadonlyMap<string, readonly RecentRun[]>;
  /** Calls that were forgotten to keep the book bounded. */
  readonly forgotten: number;
}

export interface CallChange {
  readonly call: CallInfo;
  readonly saveToResultMs?: number;
}

const keptCalls = 500;
const keptBytes = 64 * 1024 * 1024; // of inputs and results, of which one has up to 1 MiB
const keptRuns = 64;

export const emptyCallBook: CallBook = { byId: new Map(), recent: new Map(), forgotten: 0 };

export function functionKey(app: string, name: string): string {
  return `${app}/${name}`;
}

/** The wire's state as ours; what a newer control might add counts as running. */
export function stateOf(call: CallInfo): CallState {
  switch (call.state) {
    case "queued":
    case "running":
    case "succeeded":
    case "failed":
    case "cancelled":
      return call.state;
    default:
      return "running";
  }
}

export function isFinished(call: CallInfo): boolean {
  const state = stateOf(call);
  return state !== "queued" && state !== "running";
}

/** How long the function itself ran; undefined before it has finished. */
export function runMs(call: CallInfo): number | undefined {
  const step = call.steps.find(({ name }) => name === "run");
  if (step) return step.ms;
  if (!isFinished(call) || call.startedAtMs === 0 || call.finishedAtMs === 0) return undefined;
  return Math.max(0, call.finishedAtMs - call.startedAtMs);
}

/** Takes in many changes at once: in a burst, one new book for all of them. */
export function recordCalls(book: CallBook, changes: readonly CallChange[]): CallBook {
  const byId = new Map(book.byId);
  const recent = new Map(book.recent);
  for (const { call, saveToResultMs } of changes) {
    const before = byId.get(call.id);
    // A late "running" does not undo an outcome.
    if (before && isFinished(before.info) && !isFinished(call)) continue;
    byId.set(call.id, { info: call, saveToResultMs: saveToResultMs ?? before?.saveToResultMs });
    if (!isFinished(call) || (before && isFinished(before.info))) continue;
    const key = functionKey(call.app, call.function);
    recent.set(key, [...(recent.get(key) ?? []), { state: stateOf(call), ms: runMs(call) ?? 0 }].slice(-keptRuns));
  }
  return { byId, recent, forgotten: book.forgotten + forget(byId) };
}

/** Drops the oldest finished calls beyond the bounds (unfinished ones too, when nothing else is left). */
function forget(byId: Map<string, CallRecord>): number {
  let dropped = 0;
  let bytes = 0;
  for (const { info } of byId.values()) bytes += bytesOf(info);
  for (const finishedOnly of [true, false]) {
    for (const [id, { info }] of byId) {
      if (byId.size <= keptCalls && bytes <= keptBytes) return dropped;
      if (finishedOnly && !isFinished(info)) continue;
      byId.delete(id);
      bytes -= bytesOf(info);
      dropped += 1;
    }
  }
  return dropped;
}

function bytesOf({ arguments: input, result }: CallInfo): number {
  return (input?.positional.length ?? 0) + (input?.keywords.length ?? 0) + (result?.json.length ?? 0);
}

const sorted = new WeakMap<CallBook["byId"], readonly CallRecord[]>();

export function newestFirst(book: CallBook): readonly CallRecord[] {
  const known = sorted.get(book.byId);
  if (known) return known;
  const list = [...book.byId.values()].sort((a, b) => b.info.number - a.info.number || b.info.queuedAtMs - a.info.queuedAtMs);
  sorted.set(book.byId, list);
  return list;
}

/** Median of the successful runs that are remembered; undefined when there is none. */
export function medianMs(runs: readonly RecentRun[]): number | undefined {
  const times = runs.filter(({ state }) => state === "succeeded").map(({ ms }) => ms);
  times.sort((a, b) => a - b);
  return times[Math.floor((times.length - 1) / 2)];
}

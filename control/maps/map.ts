// ⑦ One map that has not ended: what of it is where, and what follows the results and losses of its inputs.

import { Failure, type Version } from "../../proto/gen/hob/v1/common.ts";
import { type MapInfo, MapResult, MapResults, type OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import type { Call } from "../call.ts";
import { afterFailure, type Spent } from "../call-states.ts";
import type { MapStore } from "../engine/engine.ts";
import type { Container } from "../nodes.ts";
import type { QueuedCall } from "../scheduler/decide.ts";
import type { Group } from "../scheduler/groups.ts";
import type { Intake } from "./intake.ts";
import { eachItem, itemBody } from "./items.ts";
import { createLedger, type KnownBlock, type Ledger, type Range } from "./ledger.ts";
import type { MapState } from "./states.ts";

/** A place in the lane: what it takes is cut when it is placed. */
export interface Ticket extends QueuedCall {
  readonly map: RunningMap;
}

/** What waits for containers. */
export type Work = Call | Ticket;

export const isTicket = (work: QueuedCall): work is Ticket => "map" in work;

/** It ends with what made it. */
export const isChild = ({ parent, origin }: MapInfo | OpenMap): boolean => parent !== "" && origin !== "spawn";

export const isComplete = ({ state, info }: RunningMap): boolean =>
  state === "closed" && info.succeeded + info.failed === info.inputs;

/** Calls have ids without a slash. */
export const isBatch = (id: string): boolean => id.includes("/");

/** "MAP/FIRST-COUNT.N": what an agent still runs is told from it when control has started again. */
export function parseBatch(id: string): { map: string; first: number; count: number } | undefined {
  const [, map, first, count] = /^([^/]+)\/(\d+)-(\d+)\./.exec(id) ?? [];
  return map === undefined ? undefined : { map, first: Number(first), count: Number(count) };
}

/** Inputs that a container has. */
export interface Batch {
  readonly id: string;
  readonly map: RunningMap;
  readonly container: Container;
  readonly range: Range;
  /** Results that it has brought. */
  results: number;
  /** Inputs that failed and are to be tried again, and after how many ms. */
  readonly again: Map<number, number>;
}

/** Who reads a map's results. */
export interface Reader {
  /** Something was recorded. */
  poke(): void;
  progress(info: MapInfo): void;
  /** Results that it has been sent, those that it already had among them. */
  readonly delivered: number;
}

export interface RunningMap {
  readonly info: MapInfo;
  state: MapState;
  readonly version: Version;
  group: Group<Work>;
  readonly ledger: Ledger;
  readonly intake: Intake;
  /** Of all its inputs. */
  bytes: number;
  tickets: Ticket[];
  readonly batches: Map<string, Batch>;
  /** Inputs that have failed or been lost, and have no result. */
  readonly spent: Map<number, Spent>;
  inputMs: number | undefined;
  largest: number;
  /** Calls that its inputs have made and wait for. */
  readonly children: Set<string>;
  readonly readers: Set<Reader>;
  vanished: NodeJS.Timeout | undefined;
  /** Failed inputs that wait for their next attempt. */
  readonly waits: Set<NodeJS.Timeout>;
  /** Something to tell since the last progress. */
  changed: boolean;
  /** What is durable of it: no more may be said to be so. */
  durable: { inputs: number; ended: boolean };
}

const pageBlocks = 32;
const nothing: Spent = { retries: 0, losses: 0 };

/** `recorded`: results that an earlier control has recorded. */
export function openLedger(store: MapStore, number: number, recorded: number): Ledger {
  const known = (block: { first: number; count: number }): KnownBlock => {
    const count = recorded === 0 ? 0 : store.resultCount(number, block.first);
    if (count >= block.count) return { ...block, done: "all" };
    const done: number[] = [];
    for (let piece = store.resultsAfter(number, 0, block.first); piece && count > 0; ) {
      eachItem(piece.bytes, "results", (index) => void done.push(index));
      piece = store.resultsAfter(number, piece.position, block.first);
    }
    return { ...block, done };
  };
  return createLedger((from) => store.blocks(number, from, pageBlocks).map(known), recorded);
}

function record(map: RunningMap, index: number, failed: boolean): boolean {
  if (!map.ledger.record(index)) return false;
  map.spent.delete(index);
  if (failed) map.info.failed++;
  else map.info.succeeded++;
  return true;
}

/** True when its failure is final; else the input is tried again when its batch has ended. */
function isFinal(map: RunningMap, batch: Batch | undefined, index: number, failure: Failure): boolean {
  const next = afterFailure(failure, map.spent.get(index) ?? nothing, map.version.spec!);
  if (next.event !== "again") return true;
  if (!batch) return false; // of an attempt that was given up: the input is somewhere else already
  map.spent.set(index, next.spent);
  batch.again.set(index, next.waitMs);
  return false;
}

/** Marks results as recorded, each input's first. Answers the bytes to keep, without those that are not the first or not the last word. */
export function takeResults(
  map: RunningMap,
  batch: Batch | undefined,
  { first, count }: Omit<Range, "block">,
  bytes: Uint8Array,
) {
  const slices: Uint8Array[] = [];
  let kept = 0;
  let from = -1;
  const skip = (at: number) => {
    if (from >= 0) slices.push(bytes.subarray(from, at));
    from = -1;
  };
  eachItem(bytes, "results", (index, start, end, failed) => {
    const ours = index >= first && index < first + count && !map.ledger.isDone(index);
    const final = ours && (!failed || isFinal(map, batch, index, MapResult.decode(itemBody(bytes, start, end)).failure!));
    if (!final || !record(map, index, failed)) return skip(start);
    kept++;
    if (from < 0) from = start;
  });
  skip(bytes.byteLength);
  return { count: kept, bytes: slices.length === 1 ? slices[0]! : Buffer.concat(slices) };
}

/** A batch came back without bringing all: its first input may have been the reason. Answers that input's failure, once it has been so too often. */
export function loseBatch(map: RunningMap, batch: Batch, message: string): Uint8Array | undefined {
  const suspect = map.ledger.firstUndone(batch.range);
  if (suspect === undefined) return undefined;
  const failure = Failure.fromPartial({ kind: "infrastructure", message });
  const next = afterFailure(failure, map.spent.get(suspect) ?? nothing, map.version.spec!);
  if (next.event === "again") {
    map.spent.set(suspect, next.spent);
    return undefined;
  }
  record(map, suspect, true);
  return MapResults.encode({ results: [{ index: suspect, value: undefined, failure }] }).finish();
}

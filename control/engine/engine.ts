// ④⑦ What control asks of the place where its state lives: records, the queue of calls, the log, and blobs.

import type { ContentFolder, Digest } from "../../base/content-folder.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";

export interface StoredRecord {
  key: string;
  revision: number; // 1 is the first
  value: Uint8Array;
}

/** Small values by kind and key. */
export interface Records {
  get(kind: string, key: string): StoredRecord | undefined;
  list(kind: string): StoredRecord[];
  /**
   * Compare and set: `expected` is the revision that the caller has seen, 0 for a record that does not exist yet. Another
   * revision throws a HobError of kind `precondition`. Returns the new revision.
   */
  put(kind: string, key: string, value: Uint8Array, expected: number): number;
  remove(kind: string, key: string): void;
}

export interface StoredCall {
  info: CallInfo;
  /** Attempts that the function's own retries have paid for. */
  retries: number;
  /** Attempts that were lost with their container, node or control. */
  losses: number;
}

export interface CallQuery {
  app: string; // "" any
  function: string; // "" any
  state: string; // "" any
  sinceMs: number; // queued since; 0 any
  parent: string; // "" any
  limit: number;
}

/** The work queue: calls from the moment that they are accepted until they are trimmed. */
export interface CallStore {
  /** What counts is the state at the next commit; a call saved twice in between is written once. */
  save(call: StoredCall): void;
  /** Queued and running, in the order in which they were accepted. */
  unfinished(): StoredCall[];
  /** `call` stands for one of those from now on: saving it updates what is stored. */
  restored(call: StoredCall): void;
  find(id: string): StoredCall | undefined;
  numbered(number: number): StoredCall | undefined;
  /** Newest first. */
  list(query: CallQuery): CallInfo[];
  lastNumber(): number;
  /** Blobs that calls refer to: their large arguments and results. */
  values(): Digest[];
  /** Those of calls that have been trimmed since this was asked last. */
  forgotten(): Digest[];
}

export interface InputBlock {
  /** Index of its first input. */
  first: number;
  count: number;
}

/** Results that were recorded together, of inputs of one block. */
export interface ResultPiece {
  /** Rises with each piece of the map. */
  position: number;
  count: number;
  bytes: Uint8Array;
}

interface MapQuery {
  app: string; // "" any
  limit: number;
}

/** What maps are, their inputs in blocks as they came, and their results in pieces as they were recorded: bytes, as in maps.proto. */
export interface MapStore {
  /** What counts is the state at the next commit. */
  save(info: MapInfo): void;
  unfinished(): MapInfo[];
  find(id: string): MapInfo | undefined;
  /** Newest first. */
  list(query: MapQuery): MapInfo[];
  lastNumber(): number;
  addInputs(map: number, block: InputBlock, bytes: Uint8Array): void;
  /** The next blocks that begin at `from` or later, in order. */
  blocks(map: number, from: number, limit: number): InputBlock[];
  /** The block in which that input lies. */
  blockOf(map: number, index: number): InputBlock | undefined;
  /** A block's inputs, committed or not. */
  inputs(map: number, first: number): Uint8Array;
  inputBytes(map: number): number;
  /** `block`: index of its first input. */
  addResults(map: number, block: number, piece: Omit<ResultPiece, "position">): void;
  /** How many results of that block are committed. */
  resultCount(map: number, block: number): number;
  /** The first durable piece after that position, of one block or of all; undefined when there is none yet. */
  resultsAfter(map: number, position: number, block?: number): ResultPiece | undefined;
  piece(position: number): ResultPiece | undefined;
  /** Results in the pieces up to that position. */
  countUntil(map: number, position: number): number;
}

export interface LogQuery {
  apps: string[]; // empty: any
  function: string; // "" any
  call: string; // "" any
  sinceMs: number; // Unix time; 0: any
}

export interface LogStore {
  /** Gives each line its `seq`, rising by one. */
  append(lines: LogLine[]): void;
  /** The seq of the oldest of the last `limit` lines that match; undefined when none does. */
  tail(query: LogQuery, limit: number): number | undefined;
  /** Matching lines with a seq of at least `fromSeq`, oldest first. */
  page(query: LogQuery, fromSeq: number, limit: number): LogLine[];
  lastSeq(): number;
}

export interface Retention {
  keepMs: number;
  calls: number;
  lines: number;
  maps: number;
}

/** Leaving it commits what has gathered. */
export interface Engine extends AsyncDisposable {
  readonly records: Records;
  readonly calls: CallStore;
  readonly logs: LogStore;
  readonly maps: MapStore;
  readonly blobs: ContentFolder;
  /**
   * Writes everything since the last commit, as one transaction. Throws a HobError (`exhausted` when the disk is full); nothing
   * is lost then: the next commit tries all of it again. Answers with undefined when everything committed is durable, else with a promise
   * of it, which rejects when this process is not the one any more that records for the pool.
   */
  commit(): Promise<void> | undefined;
  /** Housekeeping of what has been committed. */
  rest(): void;
  /** Forgets a slice of what is older than `retention` keeps; true when there is more to forget. */
  trim(retention: Retention, nowMs: number): boolean;
}

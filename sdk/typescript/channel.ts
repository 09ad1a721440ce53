// ⑥ How a bundle reaches the process that runs it. Each bundle carries a copy of this module, so they meet at a global symbol.

import type { RemoteFailure } from "./errors.ts";

export type RemoteOutcome = { failure: RemoteFailure } | { json: string };

export interface RemoteCall {
  readonly id: string;
  /** Never rejects because of the call: its failure is an outcome. Rejects when the connection ends. */
  readonly outcome: Promise<RemoteOutcome>;
  cancel(): void;
  /** The function that made it waits for it from now on: so its place can be lent. */
  awaited(): void;
}

/** What made a call: what was spawned outlives the function that spawned it. */
export type CallOrigin = "function" | "spawn";

export interface MapStart {
  app: string;
  function: string;
  /** Results in the order of the inputs. */
  ordered: boolean;
  /** It outlives the function that made it. */
  spawned: boolean;
}

export interface MapNews {
  /** Inputs below this index are kept by the pool. */
  recorded?: number;
  /** Inputs below this index may be sent. */
  until?: number;
  results: { index: number; outcome: RemoteOutcome }[];
  /** Nothing more comes. */
  finished: boolean;
  /** Of the map as a whole. */
  failure?: RemoteFailure;
}

export interface RemoteMap {
  readonly id: string;
  /** Each a JSON array of arguments, from index `first` on; with `last` there are no more. */
  send(first: number, inputs: string[], last: boolean): void;
  /** How many results are wanted, in all so far. */
  take(results: number): void;
  cancel(): void;
}

export interface Channel {
  /** `positional` is a JSON array. */
  start(app: string, functionName: string, positional: string, origin: CallOrigin): RemoteCall;
  map(start: MapStart, hear: (news: MapNews) => void): RemoteMap;
}

const key: symbol = Symbol.for("hob.channel");
const place = globalThis as unknown as Record<symbol, Channel | undefined>;

export function currentChannel(): Channel | undefined {
  return place[key];
}

export function installChannel(channel: Channel): void {
  place[key] = channel;
}

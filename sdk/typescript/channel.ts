// ⑥ How a bundle reaches the process that runs it. Each bundle carries a copy of this module, so they meet at a global symbol.

import type { RemoteFailure } from "./errors.ts";

export interface RemoteCall {
  readonly id: string;
  /** Never rejects because of the call: its failure is an outcome. Rejects when the connection ends. */
  readonly outcome: Promise<{ failure: RemoteFailure } | { json: string }>;
  cancel(): void;
}

/** What made a call: what was spawned outlives the function that spawned it. */
export type CallOrigin = "function" | "map" | "spawn";

export interface Channel {
  /** `positional` is a JSON array. */
  start(app: string, functionName: string, positional: string, origin: CallOrigin): RemoteCall;
}

const key: symbol = Symbol.for("hob.channel");
const place = globalThis as unknown as Record<symbol, Channel | undefined>;

export function currentChannel(): Channel | undefined {
  return place[key];
}

export function installChannel(channel: Channel): void {
  place[key] = channel;
}

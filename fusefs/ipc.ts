// ⑤ Messages between the agent and its FUSE daemon, over Node's IPC channel: calls with answers, either way.

import { type ErrorKind, HobError, sentenceOf } from "../base/errors.ts";
import type { ImageView } from "./erofs/choice.ts";
import type { FuseServer } from "./server.ts";

/** What the agent may call; the arguments and results are those of the contract in server.ts. */
export type Method =
  | "mountImage"
  | "mountSnapshots"
  | "mountBlobs"
  | "addContainer"
  | "addSnapshot"
  | "removeSnapshot"
  | "removeContainer"
  | "unmount"
  | "reads"
  | "stats";

export interface DaemonOptions {
  store: string;
  logFile: string;
  passthrough: boolean;
  /** The view that somebody wishes for; "" for none. */
  view: string;
  /** 0: the daemon chooses. */
  workers: number;
}

export type ToDaemon =
  | { kind: "start"; options: DaemonOptions }
  | { [M in Method]: { kind: "call"; id: number; method: M; args: Parameters<FuseServer[M]> } }[Method]
  | { kind: "fetched"; digest: string; chunk?: number; failure?: WireError };

export type FromDaemon =
  | { kind: "ready"; passthrough: { used: boolean; reason: string }; idmap: boolean; view: ImageView }
  | { kind: "refused"; failure: WireError }
  | { kind: "answer"; id: number; result?: unknown; failure?: WireError }
  | { kind: "fetch"; digest: string; chunk?: number };

export interface WireError {
  kind: ErrorKind;
  message: string;
  remedy?: string;
}

export function toWire(error: unknown): WireError {
  if (!(error instanceof HobError)) return { kind: "internal", message: sentenceOf(error) };
  return error.remedy === undefined
    ? { kind: error.kind, message: error.message }
    : { kind: error.kind, message: error.message, remedy: error.remedy };
}

export function fromWire({ kind, message, remedy }: WireError): HobError {
  return new HobError(kind, message, remedy === undefined ? {} : { remedy });
}

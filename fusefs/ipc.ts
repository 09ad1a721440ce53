// ⑤ Messages between the agent and its FUSE daemon, over Node's IPC channel: calls with answers, either way.

import { type ErrorKind, HobError, sentenceOf } from "../base/errors.ts";
import type { ImageView } from "./erofs/choice.ts";
import type { FuseServer } from "./server.ts";
import type { Shows } from "./worker-messages.ts";

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
  /** A folder for what a daemon leaves to the one after it. */
  run: string;
}

/** A mount that does not end with the daemon. `fds`: one for each worker, as numbers of the process that reads this. */
export interface HeldMount {
  id: number;
  mountPoint: string;
  shows: Shows;
  /** Digest of the image, or "". */
  image: string;
  fds: number[];
}

export type Kept = [key: string, value: unknown];

/** What a daemon finds that is not the first one. */
export interface Before {
  ready: Extract<FromDaemon, { kind: "ready" }>;
  mounts: HeldMount[];
  records: Kept[];
}

/** `again`: a daemon before may have done it, or a part. */
export type Call = {
  [M in Method]: { kind: "call"; id: number; method: M; args: Parameters<FuseServer[M]>; again?: boolean };
}[Method];

export type ToDaemon =
  | { kind: "start"; options: DaemonOptions; before?: Before }
  /** Before the start of one that is to take over from a daemon that serves: does it load, and do its threads? */
  | { kind: "rehearse"; options: DaemonOptions }
  | Call
  | { kind: "held"; id: number }
  | { kind: "fetched"; digest: string; chunk?: number; failure?: WireError };

export type FromDaemon =
  | { kind: "ready"; passthrough: { used: boolean; reason: string }; idmap: boolean; view: ImageView }
  | { kind: "refused"; failure: WireError }
  | { kind: "rehearsed" }
  | { kind: "answer"; id: number; result?: unknown; failure?: WireError }
  | { kind: "fetch"; digest: string; chunk?: number }
  | { kind: "hold"; id: number; mount: HeldMount; obstacle: string }
  | { kind: "letGo"; mount: number }
  | { kind: "keep"; key: string; value: unknown }
  | { kind: "forget"; key: string };

/** To the thread that outlives the daemon. */
export type ToHolder =
  | Call
  | Extract<ToDaemon, { kind: "fetched" }>
  /** Another daemon takes over, from the files that are installed now, once it is known to start. */
  | { kind: "replace" }
  | { kind: "end" };

export type FromHolder =
  | Extract<FromDaemon, { kind: "ready" | "refused" | "answer" | "fetch" }>
  | { kind: "began"; pid: number }
  | { kind: "died"; reason: string }
  /** It was replaced, by the one that begins now; or not, and serves on. */
  | { kind: "upgraded"; reason: "" }
  | { kind: "kept"; reason: string }
  /** A daemon's death will be the end of its mounts here. */
  | { kind: "obstacle"; reason: string }
  | { kind: "ended"; reason: string };

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

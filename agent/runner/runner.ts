// ⑥ What the agent asks of the runner inside a container, and hears from it. The frames are in frames.ts, this side's life in connect.ts.

import type { Failure, HttpResponse, Value } from "../../proto/gen/hob/v1/common.ts";
import type { Frame, FrameHeads, RequestHead } from "./frames.ts";
import type { Inspection } from "./inspections.ts";

export type MapFrame = Extract<Frame, { name: "map" | "mapInputs" | "mapTake" | "mapCancel" }>;

/** One function as a runner is told of it. */
export interface LoadedVersion {
  function: string;
  digest: string;
  module: string;
  qualname: string;
  bundle: string;
  /** The class of which it is a method, else "". */
  className: string;
  /** Its calls may leave something behind in the process. */
  keepsState: boolean;
  /** Calls at a time; at least 1. */
  concurrency: number;
  /** Names of secrets in its environment. */
  secrets: string[];
}

/** common.proto, Patch: how a process that serves `base` goes on with new code. */
export interface Patch {
  base: string;
  functions: string[];
  keep: "all" | "unsure" | "loaded";
  units: { path: string; name: string; line: number; endLine: number }[];
  bundle: string;
}

/** What it does not know is taken for the most careful. */
export const keepOf = (text: string): Patch["keep"] => (text === "all" || text === "unsure" ? text : "loaded");

export interface LoadRequest {
  app: string;
  snapshot: string;
  /** Whole list of the snapshot's files, or what differs from `base`, a snapshot that this runner has loaded before. */
  base: string;
  changed: { path: string; digest: string }[];
  removed: string[];
  /** Contents that the runner lacks, by digest: Python sources (all of the project's at first, then the changed), or bundles. */
  blobs: { digest: string; data: Uint8Array }[];
  versions: LoadedVersion[];
  /** Versions that are in none are forked. */
  patches: Patch[];
  secrets: Record<string, string>;
  /** Snapshots whose process ends once it is idle. */
  retire: string[];
}

export interface CallRequest {
  call: string;
  snapshot: string;
  version: string; // digest
  function: string;
  positional: Uint8Array; // JSON array
  keywords: Uint8Array; // JSON object or empty
  timeoutMs: number; // 0: none
  /** The call answers it: `positional` is its body then. */
  request?: RequestHead;
  /** Should it fail, its frames are kept for a while, to be asked for. */
  keepFrames?: boolean;
}

export interface CallOutcome {
  result?: Pick<Value, "json">;
  /** Of a request: `result` is its body. */
  response?: HttpResponse;
  failure?: Failure;
  runMs: number;
  droppedBytes: number;
}

/** Some inputs of a map, for one process. */
export interface InputsRequest {
  map: string;
  snapshot: string;
  version: string; // digest
  function: string;
  inputs: { index: number; positional: Uint8Array; keywords: Uint8Array }[];
  timeoutMs: number; // of each input; 0: none
}

export interface InputResult {
  index: number;
  result?: Value;
  failure?: Failure;
}

export interface InputsEnd {
  /** Why the rest has no results; "" for each that has one. An input that ended its process has a result of its own. */
  failure?: Failure;
  droppedBytes: number;
}

export interface RunningInputs {
  readonly ended: Promise<InputsEnd>;
  /** Ends the process that runs them; `ended` tells then of a failure of kind `cancelled`. */
  cancel(): void;
}

export interface OutputLine {
  call: string; // or the map; "" when written outside of both
  index?: number; // of the map's input
  stream: "stdout" | "stderr" | "system";
  timeMs: number; // Unix time
  text: string;
  dropped: number;
}

export interface ChildCall {
  id: string;
  parent: string;
  app: string; // "" means the caller's own
  function: string;
  origin: "function" | "spawn"; // what was spawned outlives its caller
  positional: Uint8Array;
  keywords: Uint8Array;
}

export interface RunnerEvents {
  output(lines: OutputLine[]): void;
  started(call: string, timeMs: number): void;
  childCall(child: ChildCall): void;
  childCancel(id: string): void;
  /** A function waits for a call that it has spawned. */
  childWait(id: string): void;
  /** What a function says about a map that it makes. */
  map(frame: MapFrame): void;
  /** Of the streamed response of that call, in order; the first has its head. */
  part(part: { call: string; response?: HttpResponse; data: Buffer }): void;
  /** No process has this snapshot any more. */
  unloaded(snapshot: string): void;
}

/** A connected runner. Every promise ends: with the runner's death as `failure.kind` "exit" or "signal". */
export interface Runner extends AsyncDisposable {
  readonly language: "python" | "typescript";
  /** Its interpreter, for people: "Python 3.11.2". */
  readonly interpreter: string;
  /** `tier` and `reason`: how it was done, and why not as asked ("" when it was). */
  load(request: LoadRequest): Promise<{ ms: number; tier: "patch" | "fork"; reason: string; failure?: Failure }>;
  call(request: CallRequest): Promise<CallOutcome>;
  /** `results` hears of each once, as they come. */
  inputs(request: InputsRequest, results: (results: InputResult[], runMs: number) => void): RunningInputs;
  /** Tells a process of a map that its function makes. */
  mapNews(head: FrameHeads["mapNews"], payload?: readonly Uint8Array[]): void;
  /** SIGTERM to the process of that call, SIGKILL 2 s later; the call's outcome is then a failure of kind `cancelled`. */
  cancel(call: string): void;
  /** Runs the exit hooks of what it has loaded and ends its processes; `closed` resolves when that is done. */
  finish(): void;
  /** Whoever reads that call's streamed response has taken so much of it, or has gone. */
  partsTaken(call: string, bytes: number, gone: boolean): void;
  /** What serves will be asked something within milliseconds. */
  rouse(): void;
  /** What the project's frames of a failed call hold, as long as its process keeps them. */
  inspect(call: string): Promise<Inspection>;
  childFinished(id: string, outcome: { result?: Pick<Value, "json">; failure?: Failure }): void;
  /** Resolves when the connection has ended, with the reason. */
  readonly closed: Promise<string>;
}

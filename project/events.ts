// What the workbench has to say, whoever listens: the screen, plain lines, or JSON lines.

import type { CallInfo, CallsClient, InspectResponse } from "../proto/gen/hob/v1/calls.ts";
import type { Failure, FunctionSpec, LogLine, Value } from "../proto/gen/hob/v1/common.ts";
import type { AppInfo } from "../proto/gen/hob/v1/deployments.ts";
import type { FleetSample } from "../proto/gen/hob/v1/fleet.ts";
import type { ImageBuild } from "../proto/gen/hob/v1/images.ts";
import type { MapInfo } from "../proto/gen/hob/v1/maps.ts";
import type { ScheduleInfo } from "../proto/gen/hob/v1/schedules.ts";
import type { Deployed } from "./deploying.ts";

export type Tier = "patch" | "fork" | "container";

/** What a save caused and what each step cost. It grows: `state` goes from "described" to "loaded" or "failed"; `id` stays. */
export interface Receipt {
  id: number;
  state: "described" | "shipped" | "loaded" | "failed";
  files: string[];
  changes: { function: string; tier: Tier; reason: string }[];
  removed: string[];
  snapshot: string;
  bytesShipped: number;
  /** Milliseconds; absent until known. `total` runs from the save to the latest step. */
  ms: { watch?: number; describe?: number; ship?: number; load?: number; run?: number; total?: number };
  savedAtMs: number; // Unix time of the save itself
  /** Nothing to reload: "comment or formatting only", "no function reaches notes.md". */
  nothing?: string;
  failure?: Failure;
}

/** A fault in the project's own text. The last good versions keep serving. */
export interface Diagnostic {
  file: string;
  line: number; // 1-based; 0 when it concerns the whole file
  column: number; // 1-based; 0 when unknown
  message: string;
  sourceLine: string;
}

export interface FunctionView {
  spec: FunctionSpec;
  /** Digest of the version that serves. */
  version: string;
  pinned: boolean;
  /** Where it answers HTTP requests. */
  url?: string;
}

/** Of the whole pool. */
export interface Operations {
  apps: AppInfo[];
  schedules: ScheduleInfo[];
}

export type WorkbenchEvent =
  | { kind: "link"; state: "connecting" | "live" | "lost"; sinceMs: number; detail: string }
  /** `empty`: the folder has no file at all. */
  | { kind: "project"; root: string; apps: string[]; functions: FunctionView[]; empty?: true }
  | { kind: "diagnostics"; diagnostics: Diagnostic[] } // the whole current list; empty when mended
  | { kind: "receipt"; receipt: Receipt }
  | { kind: "call"; call: CallInfo; saveToResultMs?: number }
  /** How a map of these apps goes: now and then while it runs, and at its end. */
  | { kind: "map"; map: MapInfo }
  | { kind: "logs"; lines: LogLine[] }
  | { kind: "fleet"; sample: FleetSample }
  /** How a build of an image goes; its lines are those since the last. */
  | { kind: "image"; build: ImageBuild }
  | { kind: "progress"; what: string; phase: string; done: number; total: number; unit: string; node: string; message: string }
  | { kind: "notice"; level: "info" | "warning" | "error"; text: string; timeMs: number }
  | { kind: "paused"; paused: boolean };

/** What the screen or the command line asks of the workbench. */
export interface Workbench extends AsyncDisposable {
  events: AsyncIterable<WorkbenchEvent>;
  /** Starts a call; returns its id at once. Unknown functions and arguments that do not fit throw a HobError of kind `usage`. */
  call(
    app: string,
    functionName: string,
    positional: unknown[],
    keywords: Record<string, unknown>,
    origin: "key" | "cli",
  ): string;
  /** The JSON of a value, wherever it lies; throws a HobError when it is not kept any more. */
  value(value: Value): Promise<Buffer>;
  /** The variables of the project's frames in which a call has failed, or why there are none; rejects where there is no connection. */
  inspect(call: string): Promise<InspectResponse>;
  /** What is deployed, and what the clock calls; rejects where there is no connection. */
  operations(): Promise<Operations>;
  /** What runs here of the app becomes what its callers get; resolves once it is live. */
  deploy(app: string): Promise<Deployed>;
  cancel(call: string): void;
  /** Opens a stream for a map of a function of that app, once control has the app's code; rejects when that is refused. */
  dialMap(app: string): Promise<ReturnType<CallsClient["map"]>>;
  /** Resolves once control has the app's code; rejects when that is refused. */
  settled(app: string): Promise<void>;
  /** A pinned function is called with these arguments after every save that changes it (and after every save at all with `always`). */
  pin(app: string, functionName: string, positional: unknown[], keywords: Record<string, unknown>): void;
  unpin(app: string, functionName: string): void;
  /** While paused, saves are noticed and described, but not published. */
  pause(paused: boolean): void;
}

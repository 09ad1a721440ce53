// ⑧ A recorded session as JSON lines: first a header, then each event of the model with its time. docs/recordings.md describes the format.

import { HobError } from "../../base/errors.ts";
import type { FunctionView, Operations, WorkbenchEvent } from "../../project/events.ts";
import { CallInfo, FrameLocals } from "../../proto/gen/hob/v1/calls.ts";
import { Failure, FunctionSpec, LogLine } from "../../proto/gen/hob/v1/common.ts";
import { AppInfo } from "../../proto/gen/hob/v1/deployments.ts";
import { FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { ImageBuild } from "../../proto/gen/hob/v1/images.ts";
import { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { ScheduleInfo } from "../../proto/gen/hob/v1/schedules.ts";
import type { PersonEvent } from "../model/update.ts";

/** Raised when a reader of this version could no longer understand what is written. New kinds of events and new fields do not raise it. */
const version = 1;

export interface RecordingHeader {
  readonly startedAtMs: number; // Unix time; nowMs of the first event
  readonly pool: string;
  readonly build: string;
  readonly columns: number;
  readonly rows: number;
}

/** What enters the model from outside: nothing else changes it but time and the size of what was drawn. */
export type SessionEvent = WorkbenchEvent | PersonEvent;

export interface RecordedEvent {
  readonly atMs: number; // since startedAtMs
  readonly event: SessionEvent;
}

export function headerLine(header: RecordingHeader): string {
  return JSON.stringify({ hob: "session", version, ...header });
}

export function eventLine({ atMs, event }: RecordedEvent): string {
  return JSON.stringify({ at: Math.round(atMs * 10) / 10, event }, withoutBytes);
}

/** Bytes as {"$utf8": TEXT} where they are text, which a person can read, else as {"$base64": TEXT}; what only looks so as {"$json": TEXT}. */
function withoutBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const bytes = this[key];
  if (!(bytes instanceof Uint8Array)) return looksEncoded(value) ? { $json: JSON.stringify(value) } : value;
  const buffer = Buffer.from(bytes);
  const text = buffer.toString("utf8");
  return Buffer.from(text, "utf8").equals(buffer) ? { $utf8: text } : { $base64: buffer.toString("base64") };
}

const looksEncoded = (value: unknown): boolean =>
  typeof value === "object" && value !== null && ("$utf8" in value || "$base64" in value || "$json" in value);

function withBytes(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$utf8" in value && typeof value.$utf8 === "string") return Buffer.from(value.$utf8, "utf8");
  if ("$base64" in value && typeof value.$base64 === "string") return Buffer.from(value.$base64, "base64");
  if ("$json" in value && typeof value.$json === "string") return JSON.parse(value.$json) as unknown;
  return value;
}

type Kind = SessionEvent["kind"];
type EventOf<K extends Kind> = Extract<SessionEvent, { kind: K }>;
type Readers = { [K in Kind]: (event: EventOf<K>) => EventOf<K> };

const asItIs = <T>(event: T): T => event;

// What a field that the recording lacks is, the wire's own defaults say: an older recording stays readable.
const readers: Readers = {
  link: asItIs,
  project: (event) => ({ ...event, functions: event.functions.map(viewOf) }),
  diagnostics: asItIs,
  receipt: (event) => ({ ...event, receipt: { ...event.receipt, ...failureOf(event.receipt.failure) } }),
  call: (event) => ({ ...event, call: CallInfo.fromPartial(event.call) }),
  map: (event) => ({ ...event, map: MapInfo.fromPartial(event.map) }),
  logs: (event) => ({ ...event, lines: event.lines.map((line) => LogLine.fromPartial(line)) }),
  fleet: (event) => ({ ...event, sample: FleetSample.fromPartial(event.sample) }),
  image: (event) => ({ ...event, build: ImageBuild.fromPartial(event.build) }),
  progress: asItIs,
  notice: asItIs,
  paused: asItIs,
  key: asItIs,
  paste: asItIs,
  resize: asItIs,
  accepted: asItIs,
  refused: asItIs,
  copied: asItIs,
  said: asItIs,
  inspected: (event) => ({ ...event, frames: event.frames.map((frame) => FrameLocals.fromPartial(frame)) }),
  inputs: asItIs,
  operations: (event) => ({ ...event, told: "problem" in event.told ? event.told : operationsOf(event.told) }),
  config: asItIs,
};

const operationsOf = ({ apps, schedules }: Operations): Operations => ({
  apps: apps.map((app) => AppInfo.fromPartial(app)),
  schedules: schedules.map((schedule) => ScheduleInfo.fromPartial(schedule)),
});
const viewOf = (view: FunctionView): FunctionView => ({ ...view, spec: FunctionSpec.fromPartial(view.spec) });
const failureOf = (failure: Failure | undefined) => (failure ? { failure: Failure.fromPartial(failure) } : {});

/** Throws a HobError of kind `usage` for what is no recording, or one of a later version. `name` is the file's. */
export function readHeader(text: string, name: string): RecordingHeader {
  let header: Partial<RecordingHeader> & { hob?: string; version?: number };
  try {
    header = JSON.parse(text) as typeof header;
  } catch {
    header = {};
  }
  if (header.hob !== "session") {
    throw new HobError("usage", `${name} is not a recorded session`, { remedy: "`hob dev --record FILE` makes one" });
  }
  if ((header.version ?? 0) > version) {
    throw new HobError("usage", `${name} was recorded by a later hob (format ${header.version}, this one reads ${version})`, {
      remedy: "replay it with that hob",
    });
  }
  const { startedAtMs = 0, pool = "", build = "", columns = 120, rows = 36 } = header;
  return { startedAtMs, pool, build, columns, rows };
}

/** Undefined for an event of a kind that a later hob has added. Throws a HobError of kind `usage` for a line that is none. */
export function readEvent(text: string, where: string): RecordedEvent | undefined {
  let line: { at: number; event: SessionEvent };
  try {
    line = JSON.parse(text, withBytes) as typeof line;
  } catch {
    throw new HobError("usage", `${where} is not a line of a recorded session`, { remedy: "delete it, or record again" });
  }
  if (!(line.event?.kind in readers)) return undefined;
  // One reader for each kind, of that kind; TypeScript cannot follow the pairing through a union.
  const reader = readers[line.event.kind] as (event: SessionEvent) => SessionEvent;
  return { atMs: line.at, event: reader(line.event) };
}

// Recordings of a workbench's events: JSON lines, each {"on": WHEN, "event": EVENT}. Values and arguments are written as plain JSON, times
// as Unix ms or "now-2000"; what a line leaves out has the wire's default.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { WorkbenchEvent } from "../../project/events.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Failure, FunctionSpec, LogLine } from "../../proto/gen/hob/v1/common.ts";
import { FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { ImageBuild } from "../../proto/gen/hob/v1/images.ts";
import { imageKey } from "../../proto/image.ts";

/** "start", or a method of the workbench: the line's event is sent when it is called. */
interface RecordedEvent {
  on: "start" | "call" | "cancel" | "pin" | "unpin" | "pause";
  event: WorkbenchEvent;
}

const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

// biome-ignore lint/suspicious/noExplicitAny: hand-written JSON on its way to a type
type Loose = any;

function revive(event: Loose): WorkbenchEvent {
  switch (event.kind) {
    case "project":
      return {
        ...event,
        functions: event.functions.map((view: Loose) => ({ ...view, spec: FunctionSpec.fromPartial(view.spec) })),
      };
    case "call": {
      const { arguments: input, result, failure, ...rest } = event.call;
      const call = CallInfo.fromPartial({
        ...rest,
        ...(input ? { arguments: { positional: bytes(input.positional ?? []), keywords: bytes(input.keywords ?? {}) } } : {}),
        ...(result === undefined ? {} : { result: { json: bytes(result) } }),
        ...(failure ? { failure: Failure.fromPartial(failure) } : {}),
      });
      return { ...event, call };
    }
    case "logs":
      return { ...event, lines: event.lines.map((line: Loose) => LogLine.fromPartial(line)) };
    case "fleet":
      return { ...event, sample: FleetSample.fromPartial(event.sample) };
    case "image": {
      const build = ImageBuild.fromPartial(event.build);
      return { ...event, build: { ...build, key: imageKey(build.image!) } };
    }
    case "receipt":
      return event.receipt.failure
        ? { ...event, receipt: { ...event.receipt, failure: Failure.fromPartial(event.receipt.failure) } }
        : event;
    default:
      return event;
  }
}

function withTimes(_name: string, value: unknown): unknown {
  const match = typeof value === "string" ? /^now([+-]\d+)?$/.exec(value) : null;
  return match ? Date.now() + Number(match[1] ?? 0) : value;
}

/** Reads recordings/NAME.jsonl; a line {"include": OTHER} stands for the start of another recording. */
export function readRecording(name: string, folder: string): RecordedEvent[] {
  const text = readFileSync(join(folder, `${name}.jsonl`), "utf8");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.flatMap((line): RecordedEvent[] => {
    const entry = JSON.parse(line, withTimes) as Loose;
    if (entry.include) return readRecording(entry.include, folder).filter(({ on }) => on === "start");
    return [{ on: entry.on, event: revive(entry.event) }];
  });
}

export const recordings = join(import.meta.dirname, "recordings");

/** The events of a recording that come at the start. */
export function startEvents(name: string): WorkbenchEvent[] {
  return readRecording(name, recordings)
    .filter(({ on }) => on === "start")
    .map(({ event }) => event);
}

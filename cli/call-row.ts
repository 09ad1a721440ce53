// ⑧ One call as a row of a table, and as an object for programs.

import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatMs } from "./format/duration.ts";
import type { Column } from "./format/table.ts";
import { formatMoment } from "./format/time.ts";

export const callColumns: Column[] = [
  { title: "CALL", align: "right" },
  { title: "STATE" },
  { title: "FUNCTION" },
  { title: "TIME", align: "right" },
  { title: "QUEUED" },
  { title: "NODE" },
  { title: "CONTAINER" },
  { title: "VERSION" },
  { title: "OUTCOME" },
];

const marks: Record<string, string> = { queued: "○", running: "●", succeeded: "✓", failed: "✗", cancelled: "–" };

/** From when it was queued to its end, or to now while it goes on. */
const totalMs = (call: CallInfo, nowMs: number): number => (call.finishedAtMs || nowMs) - call.queuedAtMs;

export function callRow(call: CallInfo, nowMs: number): string[] {
  const outcome = outcomeOf(call, nowMs);
  return [
    `#${call.number}`,
    `${marks[call.state] ?? "?"} ${call.state}`,
    `${call.app}/${call.function}`,
    formatMs(totalMs(call, nowMs)),
    formatMoment(call.queuedAtMs, nowMs),
    call.node || "–",
    call.container || "–",
    call.version.slice(0, 6) || "–",
    outcome.length > 60 ? `${outcome.slice(0, 59)}…` : outcome,
  ];
}

function outcomeOf({ failure, result, attempts, againAtMs }: CallInfo, nowMs: number): string {
  if (failure) return `${failure.type || failure.kind}: ${failure.message}`;
  if (againAtMs > nowMs) return `again in ${formatMs(Math.ceil((againAtMs - nowMs) / 1000) * 1000)}: ${attempts.at(-1)?.message}`;
  return result?.large ? formatBytes(result.large.bytes) : textOf(result?.json);
}

const textOf = (json: Uint8Array | undefined): string => (json ? Buffer.from(json).toString("utf8") : "");

export function callObject(call: CallInfo): Record<string, unknown> {
  return {
    kind: "call",
    call: call.id,
    number: call.number,
    app: call.app,
    function: call.function,
    state: call.state,
    version: call.version,
    attempt: call.attempt,
    container: call.container,
    node: call.node,
    origin: call.origin,
    queuedAtMs: call.queuedAtMs,
    startedAtMs: call.startedAtMs || null,
    finishedAtMs: call.finishedAtMs || null,
    ms: Object.fromEntries(call.steps.map(({ name, ms }) => [name, ms])),
    ...(call.parent ? { parent: call.parent } : {}),
    ...(call.againAtMs > 0 ? { againAtMs: call.againAtMs } : {}),
    ...(call.attempts.length > 0 ? { attempts: call.attempts } : {}),
    ...valueObject(call.result),
    ...(call.failure ? { failure: failureObject(call.failure) } : {}),
  };
}

/** A large one is not fetched for this: its size stands for it. */
function valueObject(result: CallInfo["result"]): Record<string, unknown> {
  if (!result) return {};
  return result.large ? { valueBytes: result.large.bytes } : { value: JSON.parse(textOf(result.json)) };
}

function failureObject(failure: NonNullable<CallInfo["failure"]>): Record<string, unknown> {
  const { kind, type, message, traceback } = failure;
  return { kind, type, message, traceback };
}

// ⑦ One call as control holds it in memory, from its acceptance to its outcome.

import type { CallFinished } from "../proto/gen/hob/v1/agents.ts";
import { Attempt, CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { Arguments, Failure, Version } from "../proto/gen/hob/v1/common.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import type { StoredCall } from "./engine/engine.ts";
import type { Exchange } from "./gateway/exchange.ts";
import type { Work } from "./maps/map.ts";
import type { Container } from "./nodes.ts";
import type { QueuedCall } from "./scheduler/decide.ts";
import type { Group } from "./scheduler/groups.ts";

export interface Call extends QueuedCall, StoredCall {
  readonly id: string;
  snapshot: string;
  version: Version | undefined;
  group: Group<Work> | undefined;
  container: Container | undefined;
  parent: Call | undefined;
  readonly children: Set<Call>;
  /** Name of the node whose function made this call and hears its outcome; "" when none does. */
  asker: string;
  dispatchedAtMs: number;
  /** Running before this control began; the node has not said yet whether it still is. */
  orphan: boolean;
  announced: boolean;
  /** The HTTP request that it answers. Such a call is recorded only when it fails: nobody could be given a late answer. */
  exchange: Exchange | undefined;
}

export const lanes = { again: 0, person: 1, child: 2, other: 3 } as const;
const personal = new Set(["key", "save", "cli", "http"]);
export const laneOf = (call: Call): number =>
  call.parent || (call.info.parent && !outlives(call))
    ? lanes.child
    : personal.has(call.info.origin)
      ? lanes.person
      : lanes.other;

/** A function does not wait for what it spawned: that outlives it. */
export const outlives = (call: Call): boolean => call.info.origin === "spawn";

export function newCall(request: StartCall, accepted: { number: number; app: string; atMs: number }, asker: string): Call {
  const info = CallInfo.fromPartial({
    id: request.id,
    number: accepted.number,
    app: accepted.app,
    function: request.function,
    version: request.version,
    state: "queued",
    arguments: request.arguments ?? {},
    queuedAtMs: accepted.atMs,
    parent: request.parent,
    origin: request.origin,
  });
  return toCall({ info, retries: 0, losses: 0 }, asker);
}

export function toCall(stored: StoredCall, asker: string): Call {
  return {
    ...stored,
    id: stored.info.id,
    snapshot: stored.info.snapshot,
    version: undefined,
    group: undefined,
    container: undefined,
    parent: undefined,
    children: new Set(),
    asker,
    dispatchedAtMs: 0,
    orphan: false,
    announced: false,
    exchange: undefined,
  };
}

/** Of arguments that lie in the message itself. */
export const argumentBytes = (given: Arguments | undefined): number =>
  (given?.positional.byteLength ?? 0) + (given?.keywords.byteLength ?? 0);

/** Of arguments and result that lie in the message itself. */
export const valueBytes = (call: CallInfo | undefined): number =>
  argumentBytes(call?.arguments) + (call?.result?.json.byteLength ?? 0);

/** The first of them with their arguments and results, so many bytes in all; those after them without. */
export function withinBytes(calls: readonly CallInfo[], mostBytes: number): CallInfo[] {
  let left = mostBytes;
  return calls.map((call) => {
    left -= valueBytes(call);
    return left >= 0 ? call : { ...call, arguments: undefined, result: undefined };
  });
}

/** What an attempt that has ended says of itself. */
export function noteRun(call: Call, { container, loadMs, runMs }: CallFinished, node: string): void {
  const { info, dispatchedAtMs } = call;
  info.steps = [
    { name: "queue", ms: Math.max(0, dispatchedAtMs - info.queuedAtMs) },
    { name: "load", ms: loadMs },
    { name: "run", ms: runMs },
  ];
  info.startedAtMs ||= dispatchedAtMs;
  info.container = container;
  info.node = node;
}

const attemptsKept = 10;
const longestMessage = 500;

/** Puts the attempt that has just ended into the call's history, and makes it one that waits for the next. */
export function endAttempt(call: Call, failure: Failure, nowMs: number, waitMs: number): void {
  const { info } = call;
  const line = `${failure.type ? `${failure.type}: ` : ""}${failure.message}`.split("\n", 1)[0]!;
  const attempt = Attempt.create({
    number: info.attempt,
    container: info.container,
    node: info.node,
    startedAtMs: info.startedAtMs || call.dispatchedAtMs,
    endedAtMs: nowMs,
    kind: failure.kind,
    message: line.length > longestMessage ? `${line.slice(0, longestMessage)}…` : line,
  });
  info.attempts = [...info.attempts, attempt].slice(-attemptsKept);
  info.againAtMs = waitMs > 0 ? nowMs + waitMs : 0;
  info.container = "";
  info.startedAtMs = 0;
  call.container = undefined;
  call.orphan = false;
}

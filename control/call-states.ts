// ⑦ The life of a call, and what follows an attempt. Pure.

import type { Failure, FunctionSpec } from "../proto/gen/hob/v1/common.ts";

export type CallState = "queued" | "running" | "succeeded" | "failed" | "cancelled";
export type CallEvent = "dispatch" | "again" | "succeed" | "fail" | "cancel";

/** Every move there is. `again`: the attempt ended, the call did not. */
const moves: Record<CallState, Partial<Record<CallEvent, CallState>>> = {
  queued: { dispatch: "running", succeed: "succeeded", fail: "failed", cancel: "cancelled" },
  running: { again: "queued", succeed: "succeeded", fail: "failed", cancel: "cancelled" },
  succeeded: {},
  failed: {},
  cancelled: {},
};

/** The state after the event; undefined when the event comes too late and changes nothing. */
export const afterEvent = (state: CallState, event: CallEvent): CallState | undefined => moves[state][event];

export const isFinished = (state: string): boolean => state === "succeeded" || state === "failed" || state === "cancelled";

/** Lost attempts are not the function's fault: they do not count as its retries, but a call does not go on taking nodes down. */
export const lossesAllowed = 3;

// The same arguments and the same code would give these again.
const final = new Set(["arguments", "encoding", "load", "cancelled"]);

export interface Spent {
  retries: number;
  losses: number;
}

/** The function's own. */
export type RetryPolicy = Pick<FunctionSpec, "retries" | "backoff">;

interface Next {
  event: CallEvent;
  spent: Spent;
  /** Before the next attempt. */
  waitMs: number;
}

/** What follows an attempt that ended with `failure`. */
export function afterFailure(failure: Failure, spent: Spent, policy: RetryPolicy): Next {
  if (failure.kind === "cancelled") return { event: "cancel", spent, waitMs: 0 };
  if (failure.kind === "infrastructure") {
    const losses = spent.losses + 1;
    return { event: losses > lossesAllowed ? "fail" : "again", spent: { ...spent, losses }, waitMs: 0 };
  }
  if (final.has(failure.kind) || spent.retries >= policy.retries) return { event: "fail", spent, waitMs: 0 };
  return { event: "again", spent: { ...spent, retries: spent.retries + 1 }, waitMs: backoffMs(policy.backoff, spent.retries) };
}

/** What the retry after `before` others waits. */
function backoffMs(backoff: FunctionSpec["backoff"], before: number): number {
  if (!backoff) return 0;
  return Math.min(backoff.maxDelayMs, backoff.delayMs * Math.max(1, backoff.factor) ** before);
}

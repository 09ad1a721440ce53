// ⑧ States as a mark and a word: never by colour alone.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { type CallState, runMs, stateOf } from "../model/calls.ts";
import { duration } from "../units.ts";
import type { Span, Style } from "./line.ts";

export const callMarks: Record<CallState, { mark: string; word: string; style: Style }> = {
  queued: { mark: "○", word: "queued", style: "dim" },
  running: { mark: "●", word: "running", style: "accent" },
  succeeded: { mark: "✓", word: "done", style: "good" },
  failed: { mark: "✗", word: "failed", style: "bad" },
  cancelled: { mark: "–", word: "cancelled", style: "dim" },
};

export function callMark(call: CallInfo): Span {
  const { mark, style } = callMarks[stateOf(call)];
  return { text: mark, style };
}

/** How long the call took, or what it is doing and for how long. */
export function callTime(call: CallInfo, nowMs: number): string {
  const state = stateOf(call);
  const ran = runMs(call);
  if (state === "succeeded") return ran === undefined ? "done" : duration(ran);
  if (state === "failed" || state === "cancelled")
    return ran === undefined ? callMarks[state].word : `${callMarks[state].word} after ${duration(ran)}`;
  const waitS = Math.ceil((call.againAtMs - nowMs) / 1000);
  if (state === "queued" && waitS > 0) return `again in ${waitS < 60 ? `${waitS} s` : duration(waitS * 1000)}`;
  const ms = nowMs - (call.startedAtMs || call.queuedAtMs); // 0 until the node has said that it began
  return ms < 1000 ? callMarks[state].word : `${callMarks[state].word} ${duration(Math.floor(ms / 1000) * 1000)}`;
}

// ⑧ When the clock calls a function next, in words.

import type { ScheduleInfo } from "../../proto/gen/hob/v1/schedules.ts";
import { duration } from "../units.ts";
import { type Span, span } from "./line.ts";

/** Without seconds where minutes say enough. */
const wait = (ms: number): string => (ms < 60_000 || ms >= 3_540_000 ? duration(ms) : `${Math.round(ms / 60_000)} min`);

/** "in 57 min", "‖ paused", "not deployed", "never"; seconds without their tenths. */
export function nextFiring({ deployment, paused, nextMs }: ScheduleInfo, nowMs: number): Span {
  if (deployment === 0) return span("not deployed", "dim");
  if (paused) return span("‖ paused", "warn");
  if (nextMs === 0) return span("never");
  const seconds = Math.max(0, Math.ceil((nextMs - nowMs) / 1000));
  return span(`in ${seconds < 60 ? `${seconds} s` : wait(seconds * 1000)}`);
}

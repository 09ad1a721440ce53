// ⑧ What the screen knows of a recorded session that it shows, and the keys that move in it.

import { type Step, step } from "./effects.ts";
import type { State } from "./state.ts";

export interface ReplayState {
  readonly startedAtMs: number; // Unix time of the recording's first moment
  readonly speed: number; // 2: twice as fast as it was
  readonly state: "playing" | "paused" | "over";
}

export type ReplayChange = "pause" | "step" | "faster" | "slower";

export function needsReplay({ replay }: State): string | undefined {
  if (!replay) return "this is no recorded session";
  return replay.state === "over" ? "the recording is at its end" : undefined;
}

export function changeReplay(change: ReplayChange): (state: State) => Step {
  return (state) => step(state, { kind: "replay", change });
}

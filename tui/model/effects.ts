// ⑧ What the model asks of the world; terminal/effects.ts carries it out.

import type { KeptInput } from "../../project/kept-input.ts";
import type { CallInput, Editor } from "./editor.ts";
import type { ReplayChange } from "./replay.ts";
import type { State } from "./state.ts";

export type Effect =
  | { kind: "call"; app: string; function: string; input: CallInput; from: "key" | "editor" }
  | { kind: "cancel"; call: string }
  | { kind: "pin"; app: string; function: string; input: CallInput; from: "key" | "editor" }
  | { kind: "unpin"; app: string; function: string }
  | { kind: "pause"; paused: boolean }
  | { kind: "copy"; text: string; what: string }
  | { kind: "shell"; app: string; function: string }
  | { kind: "keep"; functionKey: string; inputs: readonly string[] }
  | { kind: "keepInput"; input: KeptInput }
  | { kind: "inspect"; call: string }
  | { kind: "operations" }
  | { kind: "deploy"; app: string }
  | { kind: "browse"; url: string }
  | { kind: "edit"; file: string; line: number }
  | { kind: "page"; text: string; name: string }
  | { kind: "notify"; title: string; text: string }
  | { kind: "create"; root: string; language: "python" | "typescript" }
  | { kind: "tourOver" }
  | { kind: "suspend" }
  | { kind: "replay"; change: ReplayChange }
  | { kind: "quit" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export type Purpose = Editor["purpose"];

export function step(state: State, ...effects: Effect[]): Step {
  return { state, effects };
}

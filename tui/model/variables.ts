// ⑧ What the variables of a failed call's frames hold, asked of the process that keeps them.

import type { FrameLocals } from "../../proto/gen/hob/v1/calls.ts";
import { needsPool } from "./actions.ts";
import { type Step, step } from "./effects.ts";
import { type State, shownCall } from "./state.ts";

/** Of one call, the latest that was asked about. */
export type Variables =
  | { readonly call: string; readonly state: "asked" }
  /** `reason`: why there are none; "" where there are. */
  | { readonly call: string; readonly state: "told"; readonly frames: readonly FrameLocals[]; readonly reason: string };

export function needsFailure(state: State): string | undefined {
  const info = shownCall(state)?.info;
  if (!info?.failure) return "the run that is shown has not failed";
  return state.variables?.call === info.id ? undefined : needsPool(state);
}

export function toggleVariables(state: State): Step {
  const call = shownCall(state)?.info.id;
  if (call === undefined) return step(state);
  const { variables } = state;
  // What could not be had may be there by now: it is asked for again.
  if (variables?.call === call && !(variables.state === "told" && variables.reason !== ""))
    return step({ ...state, variables: undefined });
  return step({ ...state, variables: { call, state: "asked" } }, { kind: "inspect", call });
}

/** An answer that nobody waits for any more changes nothing. */
export function withVariables(state: State, answer: { call: string; frames: readonly FrameLocals[]; reason: string }): State {
  return state.variables?.call === answer.call ? { ...state, variables: { ...answer, state: "told" } } : state;
}

export function variablesOf({ variables }: Pick<State, "variables">, call: string): Variables | undefined {
  return variables?.call === call ? variables : undefined;
}

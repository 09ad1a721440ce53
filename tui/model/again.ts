// ⑧ What a run was given, once more: run again with it, or kept for later (`hob replay-input`).

import { inputOf, type KeptInput } from "../../project/kept-input.ts";
import { needsPool } from "./actions.ts";
import { type Step, step } from "./effects.ts";
import { keyOf, type State, shownCall } from "./state.ts";

function inputShown(state: State): KeptInput | undefined {
  const info = shownCall(state)?.info;
  if (!info || info.arguments?.large) return undefined;
  const { positional = Buffer.alloc(0), keywords = Buffer.alloc(0) } = info.arguments ?? {};
  return inputOf(info, { positional, keywords });
}

export function needsInput(state: State): string | undefined {
  const info = shownCall(state)?.info;
  if (!info) return "nothing has run yet";
  if (info.arguments?.large) return `its input is too long for the screen: hob replay-input '#${info.number}'`;
  return state.replay ? "this is a recorded session, nothing runs" : undefined;
}

export function needsInputAndPool(state: State): string | undefined {
  const refusal = needsInput(state) ?? needsPool(state);
  if (refusal !== undefined) return refusal;
  const info = shownCall(state)?.info;
  const there = state.project?.functions.some(({ spec }) => spec.app === info?.app && spec.name === info.function);
  return there ? undefined : `the project no longer has ${info?.function}`;
}

/** The function of the run that is shown, as it is now, with what that run was given. */
export function runShownAgain(state: State): Step {
  const input = inputShown(state);
  const view = state.project?.functions.find(({ spec }) => spec.app === input?.app && spec.name === input.function);
  if (!input || !view) return step(state);
  const { app, function: name, positional, keywords } = input;
  const next: State = { ...state, selected: keyOf(view.spec), inspected: undefined };
  return step(next, { kind: "call", app, function: name, input: { positional, keywords }, from: "key" });
}

export function keepShownInput(state: State): Step {
  const input = inputShown(state);
  return input ? step(state, { kind: "keepInput", input }) : step(state);
}

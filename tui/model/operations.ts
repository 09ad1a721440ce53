// ⑧ Deployments and schedules: asked for while they are looked at, and the key that deploys what runs here, which asks once before.

import type { Operations } from "../../project/events.ts";
import { needsLiveFunction, needsPool } from "./actions.ts";
import { type Step, step } from "./effects.ts";
import { type State, selectedFunction } from "./state.ts";

export interface OperationsKnown extends Operations {
  /** Why what is shown may be old; "" while it is not. */
  readonly problem: string;
  readonly askedAtMs: number;
}

const askEveryMs = 2_000;

export function openOperations(state: State): Step {
  if (state.view === "operations") return step({ ...state, view: "main" });
  const scroll = { ...state.scroll, operationsView: { follow: false, top: 0 } };
  const next: State = { ...state, view: "operations", scroll };
  return state.replay ? step(next) : step(next, { kind: "operations" });
}

/** While they are looked at, they are asked for again and again. */
export function operationsDue(state: State, nowMs: number): Step {
  const { operations, view, replay } = state;
  if (view !== "operations" || replay || nowMs - (operations?.askedAtMs ?? 0) < askEveryMs) return step(state);
  const asked = operations && { ...operations, askedAtMs: nowMs };
  return step({ ...state, operations: asked }, { kind: "operations" });
}

const schedulesEveryMs = 30_000;

/**
 * Where the project has schedules, its functions say when they fire next: asked when the pool's samples begin, once one has fired, and now and
 * then, since others deploy too. `poolMs` is the pool's clock, as the firings are.
 */
export function schedulesDue(state: State, poolMs: number): Step {
  const { link, operations, project, replay, schedulesAskedMs } = state;
  if (replay || link.state !== "live" || !project?.functions.some(({ spec }) => spec.schedule)) return step(state);
  const fired = operations?.schedules.some(({ nextMs }) => nextMs > schedulesAskedMs && nextMs < poolMs);
  if (!fired && poolMs - schedulesAskedMs < schedulesEveryMs) return step(state);
  return step({ ...state, schedulesAskedMs: poolMs }, { kind: "operations" });
}

export function withOperations(state: State, told: Operations | { problem: string }, nowMs: number): State {
  const known = state.operations ?? { apps: [], schedules: [] };
  const news = "problem" in told ? { ...known, problem: told.problem } : { ...told, problem: "" };
  return { ...state, operations: { ...news, askedAtMs: nowMs } };
}

function appShown(state: State): string | undefined {
  return selectedFunction(state)?.spec.app;
}

export function needsDeployable(state: State): string | undefined {
  const refusal = needsLiveFunction(state) ?? needsPool(state);
  if (refusal !== undefined) return refusal;
  return state.diagnostics.length > 0 ? "the project has a fault: mend it first" : undefined;
}

/** The first time it says what would be done; the second key in a row does it. */
export function deploy(state: State): Step {
  const app = appShown(state);
  if (app === undefined) return step(state);
  if (state.confirming !== app) return step({ ...state, confirming: app });
  return step({ ...state, confirming: undefined }, { kind: "deploy", app });
}

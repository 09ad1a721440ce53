// ⑤ A container's life: which states there are, and which moves lead from one to the next. Pure.

import { HobError } from "../../base/errors.ts";

export type ContainerState =
  | { name: "creating" }
  | { name: "created" } // of the reserve: runc has made its process, which waits for the word to go on
  | { name: "starting" }
  | { name: "warm" } // the runner answers; generic
  | { name: "specialised"; app: string } // that app's for ever
  | { name: "stopping"; reason: string; by: EndedBy }
  | { name: "gone"; reason: string; by: EndedBy };

/** Whether we ended it, or it died under its calls. */
export type EndedBy = "agent" | "itself";

export type Move =
  | { name: "created" }
  | { name: "start" }
  | { name: "ready" }
  | { name: "specialise"; app: string }
  | { name: "stop"; reason: string; by: EndedBy }
  | { name: "end" };

type Row = { [M in Move["name"]]?: (move: Extract<Move, { name: M }>, state: ContainerState) => ContainerState | undefined };

const stop: NonNullable<Row["stop"]> = ({ reason, by }) => ({ name: "stopping", reason, by });

/** One row a state; what is not in its row, or gives undefined, is illegal. The first reason to stop is the one that is kept. */
const moves: Record<ContainerState["name"], Row> = {
  creating: { created: () => ({ name: "created" }), stop },
  created: { start: () => ({ name: "starting" }), stop },
  starting: { ready: () => ({ name: "warm" }), stop },
  warm: { specialise: ({ app }) => ({ name: "specialised", app }), stop },
  specialised: {
    specialise: ({ app }, state) => (state.name === "specialised" && state.app === app ? state : undefined),
    stop,
  },
  stopping: {
    stop: (_move, state) => state,
    end: (_move, state) => (state.name === "stopping" ? { ...state, name: "gone" } : undefined),
  },
  gone: { stop: (_move, state) => state },
};

/** The state after `move`; throws a HobError of kind `precondition` when that move is not one of the state's. */
export function transition(container: string, state: ContainerState, move: Move): ContainerState {
  const rule = moves[state.name][move.name] as ((move: Move, state: ContainerState) => ContainerState | undefined) | undefined;
  const next = rule?.(move, state);
  if (next) return next;
  const wish = move.name === "specialise" ? `specialise it to ${move.app}` : move.name;
  const now = state.name === "specialised" ? `specialised to ${state.app}` : state.name;
  throw new HobError("precondition", `container ${container} is ${now}: it cannot ${wish}`);
}

// ⑧ The first minutes: a project for an empty folder, and a tour of five steps that go as they are done.

import { type Step, step } from "./effects.ts";
import type { State } from "./state.ts";

/** What to do, and how it is known to have been done. */
export const tour: readonly { readonly text: string; done(state: State): boolean }[] = [
  {
    text: "r runs the selected function",
    done: ({ calls }) => [...calls.byId.values()].some(({ info }) => info.origin === "key"),
  },
  {
    text: "change it in your editor and save: Last save shows what that cost",
    done: ({ receipts }) => receipts.some(({ state, nothing }) => state === "loaded" && nothing === undefined),
  },
  { text: "enter opens a run in full, esc comes back", done: ({ view }) => view === "run" },
  { text: "l shows what the function prints, / filters it", done: ({ view }) => view === "logs" },
  {
    text: ": finds every command by some of its letters, ? lists the keys",
    done: ({ palette, view }) => Boolean(palette) || view === "help",
  },
];

/** The tour one step on where that step is done; its end is for ever. */
export function advanceTour(state: State): Step {
  if (state.tour === 0 || !tour[state.tour - 1]?.done(state)) return step(state);
  return state.tour < tour.length ? step({ ...state, tour: state.tour + 1 }) : endTour(state);
}

export function endTour(state: State): Step {
  return step({ ...state, tour: 0 }, { kind: "tourOver" });
}

export function needsTour({ tour: at }: State): string | undefined {
  return at > 0 ? undefined : "the tour is over";
}

export function needsEmptyFolder({ project, replay }: State): string | undefined {
  if (replay) return "this is a recorded session";
  return project?.empty ? undefined : "this is for an empty folder";
}

export function createProject(language: "python" | "typescript"): (state: State) => Step {
  return (state) => (state.project ? step(state, { kind: "create", root: state.project.root, language }) : step(state));
}

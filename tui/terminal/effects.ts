// ⑧ Carries out what the model asked for, and tells the model how that went.

import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Workbench } from "../../project/events.ts";
import { createFirstProject } from "../../project/first-project.ts";
import { keepInput } from "../../project/kept-inputs.ts";
import type { Effect } from "../model/effects.ts";
import type { ReplayChange } from "../model/replay.ts";
import type { ModelEvent } from "../model/update.ts";
import { clean } from "../text.ts";
import { counted, size } from "../units.ts";
import { notification } from "./attention.ts";
import { edit, openInBrowser, page, stopUntilContinued } from "./programs.ts";
import { endTour } from "./tour.ts";

// Terminals refuse longer OSC 52 sequences: xterm's limit, which others copied, is about 100,000 bytes of base64.
const mostCopiedBytes = 74_000;

export interface World {
  workbench(): Workbench;
  writeTerminal(text: string): void;
  /** Gives the terminal away for as long as `work` takes. */
  lend(work: () => Promise<void>): void;
  /** Gives the terminal to a shell of that function. */
  shell(app: string, functionName: string): void;
  replay(change: ReplayChange): void;
  keepInputs(functionKey: string, inputs: readonly string[]): void;
  quit(): void;
  dispatch(event: ModelEvent): void;
  nowMs(): number;
}

type Handlers = { [K in Effect["kind"]]: (effect: Extract<Effect, { kind: K }>, world: World) => void };

const handlers: Handlers = {
  call: ({ app, function: name, input }, { workbench, dispatch }) => {
    workbench().call(app, name, input.positional, input.keywords, "key");
    dispatch({ kind: "accepted", app, function: name, input });
  },
  pin: ({ app, function: name, input }, { workbench, dispatch }) => {
    workbench().pin(app, name, input.positional, input.keywords);
    dispatch({ kind: "accepted", app, function: name, input });
  },
  unpin: ({ app, function: name }, { workbench }) => workbench().unpin(app, name),
  cancel: ({ call }, { workbench }) => workbench().cancel(call),
  pause: ({ paused }, { workbench }) => workbench().pause(paused),
  copy: ({ text, what }, { writeTerminal, dispatch, nowMs }) => {
    const bytes = Buffer.from(text);
    if (bytes.length > mostCopiedBytes) {
      throw new HobError("usage", `${what} has ${size(bytes.length)}, and terminals take at most ${size(mostCopiedBytes)}`);
    }
    writeTerminal(`\x1b]52;c;${bytes.toString("base64")}\x07`);
    dispatch({ kind: "copied", what: `${what} (${size(bytes.length)})`, nowMs: nowMs() });
  },
  browse: ({ url }) => openInBrowser(url, process.env),
  edit: ({ file, line }, { lend }) => lend(() => edit(file, line, process.env)),
  page: ({ text, name }, { lend }) => lend(() => page(text.split("\n").map(clean).join("\n"), name, process.env)),
  suspend: (_effect, { lend }) => lend(stopUntilContinued),
  shell: ({ app, function: name }, { shell }) => shell(app, name),
  keep: ({ functionKey, inputs }, world) => world.keepInputs(functionKey, inputs),
  notify: ({ title, text }, { writeTerminal }) => writeTerminal(notification(title, text, process.env)),
  keepInput: ({ input }, { dispatch, nowMs }) => {
    const name = keepInput(input);
    dispatch({ kind: "said", text: `kept: hob replay-input ${name}`, nowMs: nowMs() });
  },
  inspect({ call }, { workbench, dispatch }) {
    workbench()
      .inspect(call)
      .then(
        ({ frames, reason }) => dispatch({ kind: "inspected", call, frames, reason }),
        (error: unknown) => dispatch({ kind: "inspected", call, frames: [], reason: sentenceOf(error) }),
      );
  },
  operations({ kind: _ }, { workbench, dispatch, nowMs }) {
    workbench()
      .operations()
      .then(
        (told) => dispatch({ kind: "operations", told, nowMs: nowMs() }),
        (error: unknown) => dispatch({ kind: "operations", told: { problem: sentenceOf(error) }, nowMs: nowMs() }),
      );
  },
  deploy({ app }, world) {
    const { workbench, dispatch, nowMs } = world;
    dispatch({ kind: "said", text: `${app} is being deployed …`, nowMs: nowMs() });
    workbench()
      .deploy(app)
      .then(
        ({ deployment: { number, changes }, unchanged }) => {
          const what = unchanged ? "has these very versions already" : `is live, ${counted(changes.length, "change")}`;
          dispatch({ kind: "said", text: `${app}: deployment ${number} ${what}`, nowMs: nowMs() });
          handlers.operations({ kind: "operations" }, world); // what the clock calls has changed with it
        },
        (error: unknown) => dispatch({ kind: "refused", sentence: sentenceOf(error), nowMs: nowMs() }),
      );
  },
  create: ({ root, language }, { dispatch, nowMs }) => {
    const made = createFirstProject(root, language);
    dispatch({ kind: "said", text: `made ${made.join(" and ")}`, nowMs: nowMs() });
  },
  tourOver: () => endTour(),
  replay: ({ change }, world) => world.replay(change),
  quit: (_effect, world) => world.quit(),
};

/** What the workbench refuses comes back to the model as a sentence. */
export function perform(effect: Effect, world: World): void {
  // One handler for each kind, of that kind; TypeScript cannot follow the pairing through a union.
  const handler = handlers[effect.kind] as (effect: Effect, world: World) => void;
  try {
    handler(effect, world);
  } catch (error) {
    world.dispatch({ kind: "refused", sentence: sentenceOf(error), nowMs: world.nowMs() });
  }
}

// ⑧ What `hob dev` adds to a workbench's events: the pin of --pin, and the end of all when a pool cannot be had.

import type { HobError } from "../base/errors.ts";
import type { FunctionView, Workbench, WorkbenchEvent } from "../project/events.ts";
import { unknownName } from "./names.ts";

export interface Pin {
  name: string; // NAME or APP/NAME
  positional: unknown[];
  keywords: Record<string, unknown>;
}

/**
 * The workbench's own events. They end with a usage error when the project has functions and `pin` is none of them, and with
 * the rejection of `connected` (the first attempt to reach a control), which would otherwise be tried again for ever.
 */
export async function* devEvents(
  workbench: Workbench,
  pin: Pin | undefined,
  connected: Promise<unknown>,
): AsyncIterable<WorkbenchEvent> {
  const refused = new Promise<never>((_, reject) => void connected.catch(reject));
  refused.catch(() => {}); // it may come after the end
  let answered = false;
  connected.then(
    () => {
      answered = true;
    },
    () => {}, // `refused` tells
  );
  const events = workbench.events[Symbol.asyncIterator]();
  const pinning = pin && startPinning(workbench, pin);
  for (;;) {
    // A race keeps what it has given for as long as one who lost it is open: every event, were there one for each.
    const next = await (answered ? events.next() : Promise.race([events.next(), refused]));
    if (next.done) return;
    if (pinning?.take(next.value) !== "hold") yield next.value;
  }
}

type Pinning =
  | { state: "looking" }
  | { state: "missing"; error: HobError }
  | { state: "calling"; call: string }
  | { state: "called" };

/**
 * The function is pinned and called once. Until control has taken that call samples of the fleet are held back, so that nothing
 * is "ready" before.
 */
function startPinning(workbench: Workbench, pin: Pin): { take(event: WorkbenchEvent): "hold" | "show" } {
  const { positional, keywords } = pin;
  let pinning: Pinning = { state: "looking" };

  function look(functions: FunctionView[]): Pinning {
    const view = functions.find(({ spec }) => spec.name === pin.name || `${spec.app}/${spec.name}` === pin.name);
    if (view) {
      workbench.pin(view.spec.app, view.spec.name, positional, keywords);
      const call = workbench.call(view.spec.app, view.spec.name, positional, keywords, "cli");
      return { state: "calling", call };
    }
    if (functions.length === 0) return { state: "looking" };
    const names = functions.map(({ spec }) => spec.name);
    return { state: "missing", error: unknownName("function", pin.name, names) };
  }

  return {
    take(event) {
      if (pinning.state === "missing") {
        // What is wrong with the project's text follows its functions: the pinned one may be in a file that cannot be read yet.
        if (event.kind !== "diagnostics" || event.diagnostics.length === 0) throw pinning.error;
        pinning = { state: "looking" };
      }
      if (pinning.state === "looking" && event.kind === "project") pinning = look(event.functions);
      if (pinning.state === "calling" && event.kind === "call" && event.call.id === pinning.call) {
        pinning = { state: "called" };
      }
      return pinning.state !== "called" && event.kind === "fleet" ? "hold" : "show";
    },
  };
}

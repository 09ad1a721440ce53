// ⑧ What `hob dev` adds to a workbench's events: the pin of --pin, and the end of all when a pool cannot be had.

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
  const events = workbench.events[Symbol.asyncIterator]();
  let wanted = pin;
  for (;;) {
    const next = await Promise.race([events.next(), refused]);
    if (next.done) return;
    const event = next.value;
    if (wanted && event.kind === "project" && event.functions.length > 0) {
      const { app, name } = functionNamed(event.functions, wanted.name).spec;
      workbench.pin(app, name, wanted.positional, wanted.keywords);
      wanted = undefined;
    }
    yield event;
  }
}

function functionNamed(functions: FunctionView[], name: string): FunctionView {
  const found = functions.find(({ spec }) => spec.name === name || `${spec.app}/${spec.name}` === name);
  if (found) return found;
  throw unknownName(
    "function",
    name,
    functions.map(({ spec }) => spec.name),
  );
}

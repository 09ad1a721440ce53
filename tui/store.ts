// ⑧ Holds the state, takes events in bursts, and says when to paint: at once for what a person did or waits for, calmly for the rest.

import type { WorkbenchEvent } from "../project/events.ts";
import { isFinished } from "./model/calls.ts";
import type { Effect } from "./model/effects.ts";
import { type State, type Surface, showsTime, type Viewport } from "./model/state.ts";
import { coalesce, type ModelEvent, type PersonEvent, update } from "./model/update.ts";

const tickMs = 1_000;
const mostPending = 20_000; // events; a longer burst is taken in before its time

/** How long the screen may lag behind an event. A receipt, or a call that a person or a save started, is shown at once. */
function patienceMs(event: WorkbenchEvent, { outputMs, chartsMs }: State["config"]["rates"]): number {
  switch (event.kind) {
    case "logs":
    case "image":
    case "progress":
      return outputMs;
    case "fleet":
      return chartsMs;
    case "call":
      return event.call.parent === "" && event.call.origin !== "map" && isFinished(event.call) ? 0 : outputMs;
    default:
      return 0;
  }
}

const persons: ReadonlySet<string> = new Set<PersonEvent["kind"]>([
  "key",
  "paste",
  "resize",
  "accepted",
  "refused",
  "copied",
  "said",
  "inspected",
  "operations",
  "inputs",
  "config",
]);

function isPersons(event: ModelEvent): event is PersonEvent {
  return persons.has(event.kind);
}

export interface Store extends Disposable {
  readonly state: State;
  /** From the workbench: taken in with what else comes meanwhile. */
  offer(event: WorkbenchEvent): void;
  /** From a recorded session: what a person did there changes the state, and has no effects. */
  replay(event: WorkbenchEvent | PersonEvent): void;
  /** From the person at the keyboard or the terminal: taken in at once. */
  dispatch(event: ModelEvent): void;
  /** Paints now, though the state may be the same: the terminal or the look has changed. */
  repaint(): void;
}

export interface StoreOptions {
  initial: State;
  /** Draws, and says which part of what scrolls it has shown. */
  paint(state: State): Partial<Record<Surface, Viewport>>;
  perform(effect: Effect): void;
  /** Told of each event that enters from outside, before it is taken in. */
  record?(event: WorkbenchEvent | PersonEvent): void;
  nowMs(): number;
}

export function createStore({ initial, paint, perform, record, nowMs }: StoreOptions): Store {
  let state = initial;
  let painted: State | undefined;
  let pending: WorkbenchEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let dueMs = Number.POSITIVE_INFINITY;
  let soon: NodeJS.Immediate | undefined;
  let ticker: NodeJS.Timeout | undefined;
  let closed = false;

  function apply(event: ModelEvent): void {
    const next = update(state, event);
    state = next.state;
    for (const effect of next.effects) perform(effect);
  }

  function flush(): void {
    clearTimeout(timer);
    clearImmediate(soon);
    timer = undefined;
    soon = undefined;
    dueMs = Number.POSITIVE_INFINITY;
    if (closed) return;
    const events = coalesce(pending);
    pending = [];
    for (const event of events) apply(event);
    if (state === painted) return;
    state = update(state, { kind: "drawn", viewports: paint(state) }).state;
    painted = state;
    if (showsTime(state)) ticker ??= setTimeout(tick, tickMs);
  }

  function tick(): void {
    ticker = undefined;
    if (closed) return;
    apply({ kind: "tick", nowMs: nowMs() });
    repaint(); // durations have changed, whatever else has not
  }

  function repaint(): void {
    painted = undefined;
    flush();
  }

  function schedule(delayMs: number): void {
    if (closed) return;
    if (delayMs === 0) {
      soon ??= setImmediate(flush);
      return;
    }
    const due = nowMs() + delayMs;
    if (due >= dueMs) return;
    clearTimeout(timer);
    dueMs = due;
    timer = setTimeout(flush, delayMs);
  }

  function offer(event: WorkbenchEvent): void {
    pending.push(event);
    schedule(pending.length > mostPending ? 0 : patienceMs(event, state.config.rates));
  }

  return {
    get state() {
      return state;
    },
    offer(event) {
      record?.(event);
      offer(event);
    },
    replay(event) {
      if (!isPersons(event)) return offer(event);
      // A key moves what is on the screen: what came before it has to be there.
      if (pending.length > 0) flush();
      // What a person did then was done to a live screen, and its size is that of this terminal.
      const { replay } = state;
      if (event.kind !== "resize") state = { ...update({ ...state, replay: undefined }, event).state, replay };
      schedule(0);
    },
    dispatch(event) {
      if (isPersons(event)) record?.(event);
      apply(event);
      schedule(0);
    },
    repaint,
    [Symbol.dispose]() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(ticker);
      clearImmediate(soon);
    },
  };
}

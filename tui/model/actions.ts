// ⑧ What the keys do: each action from a state to the next one, and why an action is refused. keys.ts says which key is which.

import type { FunctionView } from "../../project/events.ts";
import { isFinished, stateOf } from "./calls.ts";
import { type CallInput, inputText, openEditor } from "./editor.ts";
import { type Purpose, type Step, step } from "./effects.ts";
import { spans } from "./fleet.ts";
import { listedRuns, rowOf } from "./runs.ts";
import {
  keyOf,
  listedFunctions,
  type Pane,
  panes,
  parsedJson,
  type State,
  type Surface,
  selectedFunction,
  shownCall,
  surfaceOf,
  type ViewName,
} from "./state.ts";

/** Why an action is not possible now, as the end of a sentence; undefined when it is. */
export type Refusal = string | undefined;

function needsFunction(state: State): Refusal {
  return selectedFunction(state) ? undefined : "no function is selected";
}

function needsLife({ replay }: State): Refusal {
  return replay ? "this is a recorded session, nothing runs" : undefined;
}

/** To pin is possible while the pool is away. */
export function needsLiveFunction(state: State): Refusal {
  return needsLife(state) ?? needsFunction(state);
}

export function needsPool(state: State): Refusal {
  return (
    needsLiveFunction(state) ?? (state.link.state === "live" ? undefined : `the pool is not connected (${state.link.state})`)
  );
}

export function needsRunningCall(state: State): Refusal {
  const call = shownCall(state);
  if (call && !isFinished(call.info)) return needsLife(state);
  return "no running call is selected";
}

export function needsSomethingToOpen(state: State): Refusal {
  if (state.view !== "main") return "this view is open";
  if (state.focus === "fleet") return state.fleet.latest ? undefined : "the pool has sent no sample yet";
  return shownCall(state) ? undefined : "nothing has run yet";
}

export function needsOutcome(state: State): Refusal {
  return copyable(state) ? undefined : "there is no result to copy yet";
}

// Movement

function scrollBy(state: State, surface: Surface, lines: number): State {
  const seen = state.viewports[surface] ?? { total: 0, height: 0, top: 0 };
  const last = Math.max(0, seen.total - seen.height);
  const now = state.scroll[surface];
  const from = now.follow ? last : Math.min(now.top, last);
  const top = Math.min(last, Math.max(0, from + lines));
  // Only output grows at its end; the other surfaces stay where they were put.
  const follow = (surface === "run" || surface === "logsView") && top >= last;
  return { ...state, scroll: { ...state.scroll, [surface]: { follow, top } } };
}

function selectBy(state: State, lines: number): State {
  if (state.focus === "functions") {
    const listed = listedFunctions(state);
    const chosen = selectedFunction(state);
    const at = chosen ? listed.indexOf(chosen) : 0;
    const next = listed[Math.min(listed.length - 1, Math.max(0, at + lines))];
    return next ? { ...state, selected: keyOf(next.spec), inspected: undefined, scroll: followRun(state) } : state;
  }
  const rows = listedRuns(state);
  const at = Math.max(0, rowOf(rows, state.inspected));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + lines))];
  // At the top the selection is on the newest call, whichever that is.
  const inspected = next === undefined || next === rows[0] ? undefined : next.record.info.id;
  return { ...state, inspected, scroll: followRun(state) };
}

function followRun(state: State): State["scroll"] {
  return { ...state.scroll, run: { follow: true, top: 0 } };
}

export function move(lines: number): (state: State) => Step {
  return (state) => {
    const surface = surfaceOf(state);
    return step(surface ? scrollBy(state, surface, lines) : selectBy(state, lines));
  };
}

export function movePages(pages: number): (state: State) => Step {
  return (state) => {
    const surface = surfaceOf(state);
    const height = (surface && state.viewports[surface]?.height) || 10;
    return move(pages * Math.max(1, height - 1))(state);
  };
}

export function focusPane(pane: Pane): (state: State) => Step {
  return (state) => step({ ...state, view: "main", focus: pane });
}

export function focusNext(by: 1 | -1): (state: State) => Step {
  return (state) => {
    const next = panes[(panes.indexOf(state.focus) + by + panes.length) % panes.length] ?? "functions";
    return step({ ...state, view: "main", focus: next });
  };
}

// Views

export function open(state: State): Step {
  const view: ViewName = state.focus === "fleet" ? "fleet" : "run";
  const scroll = { ...state.scroll, runView: { follow: false, top: 0 }, fleetView: { follow: false, top: 0 } };
  return step({ ...state, view, scroll });
}

export function openHelp(state: State): Step {
  if (state.view === "help") return back(state);
  return step({ ...state, view: "help", scroll: { ...state.scroll, helpView: { follow: false, top: 0 } } });
}

export function openImages(state: State): Step {
  if (state.view === "images") return back(state);
  return step({ ...state, view: "images", scroll: { ...state.scroll, imagesView: { follow: false, top: 0 } } });
}

/** Leaves what was entered last: a view, then a filter, then the choice of a call. */
export function back(state: State): Step {
  if (state.view === "logs" && state.filters.logs !== "") return step({ ...state, filters: { ...state.filters, logs: "" } });
  if (state.view === "compare") return step({ ...state, view: "main", marked: [] });
  if (state.view !== "main") return step({ ...state, view: "main" });
  if (state.filters[state.focus] !== "") return step({ ...state, filters: { ...state.filters, [state.focus]: "" } });
  return step({ ...state, inspected: undefined });
}

// Calls

function lastInput(state: State, view: FunctionView): CallInput | undefined {
  const typed = state.inputs.get(keyOf(view.spec))?.[0];
  if (typed !== undefined) {
    const value = JSON.parse(typed) as unknown[] | Record<string, unknown>;
    return Array.isArray(value) ? { positional: value, keywords: {} } : { positional: [], keywords: value };
  }
  const { spec } = view;
  for (const { info } of [...state.calls.byId.values()].reverse()) {
    if (info.app !== spec.app || info.function !== spec.name || !info.arguments) continue;
    const positional = parsedJson(info.arguments.positional);
    const keywords = parsedJson(info.arguments.keywords);
    return {
      positional: Array.isArray(positional) ? positional : [],
      keywords: typeof keywords === "object" && keywords !== null ? (keywords as Record<string, unknown>) : {},
    };
  }
  const needed = spec.parameters.some(({ hasDefault, kind }) => !hasDefault && kind !== "variadic" && kind !== "keywords");
  return needed ? undefined : { positional: [], keywords: {} };
}

function edit(state: State, view: FunctionView, purpose: Purpose): Step {
  const known = lastInput(state, view);
  const editor = openEditor(keyOf(view.spec), purpose, known ? inputText(known) : "[]");
  return step({ ...state, view: "main", selected: keyOf(view.spec), inspected: undefined, editor });
}

export function runAgain(state: State): Step {
  const view = selectedFunction(state);
  if (!view) return step(state);
  const input = lastInput(state, view);
  if (!input) return edit(state, view, "run");
  const { app, name } = view.spec;
  const next = { ...state, selected: keyOf(view.spec), inspected: undefined };
  return step(next, { kind: "call", app, function: name, input, from: "key" });
}

export function runWith(state: State): Step {
  const view = selectedFunction(state);
  return view ? edit(state, view, "run") : step(state);
}

export function togglePin(state: State): Step {
  const view = selectedFunction(state);
  if (!view) return step(state);
  const { app, name } = view.spec;
  if (view.pinned) return step(state, { kind: "unpin", app, function: name });
  const input = lastInput(state, view);
  return input ? step(state, { kind: "pin", app, function: name, input, from: "key" }) : edit(state, view, "pin");
}

export function cancel(state: State): Step {
  const call = shownCall(state);
  return call ? step(state, { kind: "cancel", call: call.info.id }) : step(state);
}

export function togglePause(state: State): Step {
  if (state.replay) return step(state, { kind: "replay", change: "pause" });
  return step(state, { kind: "pause", paused: !state.paused });
}

export function shell(state: State): Step {
  const view = selectedFunction(state);
  return view ? step(state, { kind: "shell", app: view.spec.app, function: view.spec.name }) : step(state);
}

/** The first ctrl-c cancels what is in the foreground; the one after it quits. */
export function interrupt(state: State): Step {
  if (state.interrupted) return step(state, { kind: "quit" });
  const call = shownCall(state);
  const next = { ...state, interrupted: true };
  return call && !isFinished(call.info) ? step(next, { kind: "cancel", call: call.info.id }) : step(next);
}

export function quit(state: State): Step {
  return step(state, { kind: "quit" });
}

// What is shown, and taken along

export function toggleFollow(state: State): Step {
  const surface = state.view === "logs" ? "logsView" : "run";
  const stay = { follow: false, top: state.viewports[surface]?.top ?? 0 };
  return step({
    ...state,
    scroll: { ...state.scroll, [surface]: state.scroll[surface].follow ? stay : { follow: true, top: 0 } },
  });
}

export function nextSpan(state: State): Step {
  return step({ ...state, spanMinutes: spans[(spans.indexOf(state.spanMinutes) + 1) % spans.length] ?? 5 });
}

export function openFleet(state: State): Step {
  return state.view === "fleet" ? back(state) : open({ ...state, focus: "fleet" });
}

export function toggleDetails(state: State): Step {
  return step({ ...state, details: !state.details });
}

export function toggleWrap(state: State): Step {
  return step({ ...state, wrap: !state.wrap });
}

export function openPalette(state: State): Step {
  return step({ ...state, palette: { text: "", selected: 0 } });
}

export function startFilter(state: State): Step {
  return step({ ...state, view: state.view === "logs" ? "logs" : "main", filtering: true });
}

function copyable(state: State): { text: string; what: string } | undefined {
  const call = shownCall(state);
  if (!call || !isFinished(call.info)) return undefined;
  const { failure, result, number } = call.info;
  if (failure) return { text: failure.traceback || failure.message, what: `the traceback of #${number}` };
  if (stateOf(call.info) !== "succeeded" || !result) return undefined;
  return { text: result.json.toString("utf8"), what: `the result of #${number}` };
}

export function copy(state: State): Step {
  const found = copyable(state);
  return found ? step(state, { kind: "copy", ...found }) : step(state);
}

// ⑧ What the person's own programs are asked for: the line of an error in the editor, a result or output in the pager.

import { type Step, step } from "./effects.ts";
import { type State, selectedFunction, shownCall } from "./state.ts";

interface FileLine {
  readonly file: string; // relative to the project
  readonly line: number;
}

/** The fault in the text, else where the shown call failed, else where the selected function stands. */
function placeToEdit(state: State): FileLine | undefined {
  const [diagnostic] = state.diagnostics;
  if (diagnostic) return { file: diagnostic.file, line: Math.max(1, diagnostic.line) };
  const frame = shownCall(state)?.info.failure?.frames.findLast(({ own }) => own);
  if (frame) return { file: frame.file, line: frame.line };
  const spec = selectedFunction(state)?.spec;
  return spec && { file: spec.module, line: Math.max(1, spec.line) };
}

export function needsPlace(state: State): string | undefined {
  if (state.replay) return "this is a recorded session, its files are elsewhere";
  return placeToEdit(state) && state.project ? undefined : "there is no line to go to";
}

export function editPlace(state: State): Step {
  const place = placeToEdit(state);
  return place && state.project
    ? step(state, { kind: "edit", file: `${state.project.root}/${place.file}`, line: place.line })
    : step(state);
}

export function needsUrl(state: State): string | undefined {
  if (state.replay) return "this is a recorded session, nothing answers there";
  return selectedFunction(state)?.url === undefined ? "the function is no endpoint: @app.endpoint() makes it one" : undefined;
}

/** The function's address goes to the clipboard too: the browser may be on another machine than hob. */
export function browse(state: State): Step {
  const url = selectedFunction(state)?.url;
  return url === undefined ? step(state) : step(state, { kind: "copy", text: url, what: url }, { kind: "browse", url });
}

/** The logs as they are shown, in their view; elsewhere the shown call's output, then its result or traceback. */
function textToPage(state: State): { text: string; name: string } | undefined {
  if (state.view === "logs") {
    const text = state.logs.all.chunks.flatMap((chunk) => chunk.map((entry) => entry.text)).join("\n");
    return text === "" ? undefined : { text, name: "logs.txt" };
  }
  const call = shownCall(state)?.info;
  if (!call) return undefined;
  const output = state.logs.byCall.get(call.id)?.chunks.flatMap((chunk) => chunk.map(({ text }) => text)) ?? [];
  const outcome = call.failure ? call.failure.traceback || call.failure.message : (call.result?.json.toString("utf8") ?? "");
  const text = [...output, outcome].filter((part) => part !== "").join("\n");
  return text === "" ? undefined : { text, name: `run-${call.number}.txt` };
}

export function needsText(state: State): string | undefined {
  return textToPage(state) ? undefined : "there is no output and no result yet";
}

export function pageText(state: State): Step {
  const found = textToPage(state);
  return found ? step(state, { kind: "page", ...found }) : step(state);
}

export function suspend(state: State): Step {
  return step(state, { kind: "suspend" });
}

// ⑧ Where a key goes: to the input being edited, to a filter being typed, or to the table of keys.

import { bindingOf } from "../keys.ts";
import { editPalette } from "./commands.ts";
import { complete } from "./completion.ts";
import { browse, type Editor, editLine, insert, parseInput } from "./editor.ts";
import { type Step, step } from "./effects.ts";
import { deploy } from "./operations.ts";
import { filteredOf, keyOf, type State, selectedFunction } from "./state.ts";

/** Keys are named "a", "R", "enter", "ctrl-c", "shift-tab", "alt-b"; "space" is the space bar. */
export function pressKey(state: State, key: string, nowMs: number): Step {
  const [, afterEsc] = /^alt-(.+)$/.exec(key) ?? [];
  if (afterEsc !== undefined && !hasMeaning(state, key)) {
    const esc = pressKey(state, "esc", nowMs);
    const next = pressKey(esc.state, afterEsc, nowMs);
    return step(next.state, ...esc.effects, ...next.effects);
  }
  if (key !== "ctrl-c" && state.interrupted) state = { ...state, interrupted: false };
  const confirmed = state.confirming;
  if (confirmed !== undefined) state = { ...state, confirming: undefined };
  if (state.palette) return editPalette(state, key, nowMs);
  if (state.editor) return editInput(state, state.editor, key);
  if (state.filtering) return editFilter(state, key);
  const binding = bindingOf(state, key);
  if (!binding) return step(state);
  const refusal = binding.refusal?.(state);
  if (refusal === undefined) {
    const confirming = binding.act === deploy ? confirmed : undefined;
    return binding.act(key === "ctrl-c" ? state : { ...state, notice: undefined, confirming });
  }
  const text = `${key} ${binding.name}: ${refusal}`;
  return step({ ...state, notice: { level: "warning", text, timeMs: nowMs, shownAtMs: nowMs } });
}

/** Else a key with alt is taken for esc and that key, which nothing tells from it when they have been read together. */
function hasMeaning(state: State, key: string): boolean {
  if (state.palette) return false;
  if (state.editor) return editLine(state.editor, key) !== undefined;
  return !state.filtering && bindingOf(state, key) !== undefined;
}

/** Text that arrives as one piece, keys in between included in it. */
export function paste(state: State, text: string): Step {
  if (state.palette) return step({ ...state, palette: { text: state.palette.text + text.replace(/\s+/g, " "), selected: 0 } });
  if (state.editor) return step({ ...state, editor: insert(state.editor, text) });
  if (state.filtering) return typeFilter(state, state.filters[filteredOf(state)] + text.replace(/\s+/g, " "));
  return step(state);
}

const typed = (key: string): string | undefined => {
  if (key === "space") return " ";
  return [...key].length === 1 ? key : undefined;
};

function editInput(state: State, editor: Editor, key: string): Step {
  if (key === "esc" || key === "ctrl-c") return step({ ...state, editor: undefined });
  if (key === "enter") return submit(state, editor);
  if (key === "up" || key === "down") {
    const history = state.inputs.get(editor.functionKey) ?? [];
    return step({ ...state, editor: browse(editor, history, key === "up" ? 1 : -1) });
  }
  if (key === "tab") {
    const spec = state.project?.functions.find((view) => keyOf(view.spec) === editor.functionKey)?.spec;
    return step(spec ? { ...state, editor: complete(editor, spec) } : state);
  }
  const character = typed(key);
  const next = character === undefined ? editLine(editor, key) : insert(editor, character);
  return step(next ? { ...state, editor: next } : state);
}

/** The editor stays open until the workbench has taken the input: update.ts closes it then, or shows why not. */
function submit(state: State, editor: Editor): Step {
  const parsed = parseInput(editor.text);
  if (!parsed.ok) return step({ ...state, editor: { ...editor, problem: parsed.problem } });
  const view = state.project?.functions.find(({ spec }) => keyOf(spec) === editor.functionKey);
  if (!view) {
    const problem = `not sent: the project no longer has ${editor.functionKey}`;
    return step({ ...state, editor: { ...editor, problem } });
  }
  const { app, name } = view.spec;
  return step(state, {
    kind: editor.purpose === "run" ? "call" : "pin",
    app,
    function: name,
    input: parsed.input,
    from: "editor",
  });
}

/** Kept when the filter goes: what was found stays selected. */
function selectedKey(state: State): string | undefined {
  const view = selectedFunction(state);
  return view ? keyOf(view.spec) : state.selected;
}

function typeFilter(state: State, text: string): Step {
  return step({ ...state, filters: { ...state.filters, [filteredOf(state)]: text } });
}

function editFilter(state: State, key: string): Step {
  const text = state.filters[filteredOf(state)];
  if (key === "enter") return step({ ...state, filtering: false, selected: selectedKey(state) });
  if (key === "esc" || key === "ctrl-c") return typeFilter({ ...state, filtering: false }, "");
  if (key === "backspace") return typeFilter(state, [...text].slice(0, -1).join(""));
  if (key === "ctrl-u") return typeFilter(state, "");
  const character = typed(key);
  return character === undefined ? step(state) : typeFilter(state, text + character);
}

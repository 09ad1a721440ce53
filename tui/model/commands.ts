// ⑧ The command palette: every command and every function, found by some of their letters.

import { type KeyBinding, keysNow } from "../keys.ts";
import { type Step, step } from "./effects.ts";
import { fuzzyMatch } from "./fuzzy.ts";
import { keyOf, type State } from "./state.ts";

export interface PaletteItem {
  readonly name: string;
  readonly description: string;
  readonly key: string; // "" where none does the same
  readonly at: readonly number[]; // letters of the name that were found
  readonly refusal: string | undefined;
  readonly act: (state: State) => Step;
}

// Moving by a palette is no help.
const left: ReadonlySet<KeyBinding["group"]> = new Set(["move"]);

function everything(state: State): Omit<PaletteItem, "at">[] {
  const functions = (state.project?.functions ?? []).map(({ spec }) => ({
    name: spec.name,
    description: `select this function${spec.doc === "" ? "" : `: ${spec.doc}`}`,
    key: "",
    refusal: undefined,
    act: (now: State) =>
      step({
        ...now,
        view: "main" as const,
        focus: "functions" as const,
        selected: keyOf(spec),
        inspected: undefined,
        filters: { ...now.filters, functions: "" },
      }),
  }));
  const commands = keysNow(state)
    .filter(({ group, name }) => !left.has(group) && name !== "commands")
    .map(({ name, description, keys, act, refusal }) => ({
      name,
      description,
      key: keys[0] ?? "",
      refusal: refusal?.(state),
      act,
    }));
  return [...commands, ...functions];
}

/** What the text finds, best first; everything in its order while there is none. */
export function paletteItems(state: State): readonly PaletteItem[] {
  const text = state.palette?.text ?? "";
  const found = everything(state).flatMap((item) => {
    const byName = fuzzyMatch(text, item.name);
    if (byName) return [{ item, at: byName.at, score: byName.score + 10 }];
    const byDescription = text.length >= 2 ? fuzzyMatch(text, item.description) : undefined;
    // Letters strewn over a sentence find anything.
    return byDescription && byDescription.score > text.length * 4 ? [{ item, at: [], score: byDescription.score - 20 }] : [];
  });
  if (text !== "") found.sort((a, b) => b.score - a.score);
  return found.map(({ item, at }) => ({ ...item, at }));
}

export function editPalette(state: State, key: string, nowMs: number): Step {
  const { palette } = state;
  if (!palette) return step(state);
  const items = paletteItems(state);
  const shown = Math.min(palette.selected, items.length - 1);
  const select = (selected: number): Step =>
    step({ ...state, palette: { ...palette, selected: Math.max(0, Math.min(items.length - 1, selected)) } });
  const type = (text: string): Step => step({ ...state, palette: { text, selected: 0 } });
  const closed: State = { ...state, palette: undefined };
  switch (key) {
    case "esc":
    case "ctrl-c":
      return step(closed);
    case "enter": {
      const item = items[shown];
      if (!item) return step(state);
      if (item.refusal === undefined) return item.act(closed);
      return step({
        ...closed,
        notice: { level: "warning", text: `${item.name}: ${item.refusal}`, timeMs: nowMs, shownAtMs: nowMs },
      });
    }
    case "down":
    case "tab":
    case "ctrl-n":
      return select(shown + 1);
    case "up":
    case "shift-tab":
    case "ctrl-p":
      return select(shown - 1);
    case "backspace":
      return palette.text === "" ? step(closed) : type([...palette.text].slice(0, -1).join(""));
    case "ctrl-u":
      return type("");
    case "space":
      return type(`${palette.text} `);
    default:
      return [...key].length === 1 ? type(palette.text + key) : step(state);
  }
}

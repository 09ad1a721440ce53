// ⑧ The bottom line: a notice while there is one, else the keys that work here.

import { keyTable } from "../../keys.ts";
import type { State } from "../../model/state.ts";
import { fitting, type Line, line, type Span, span, spread } from "../line.ts";

const levels = { info: span("✓ ", "good"), warning: span("! ", "warn"), error: span("✗ ", "bad") } as const;

/** The hints of the footer; what is not possible now is dimmed. */
function hints(state: State): Span[][] {
  const wanted = (name: string): boolean =>
    name === "open" || name === "back" ? (name === "back") === (state.view !== "main") : name !== "quit";
  return keyTable
    .filter(({ footer, name }) => footer && wanted(name))
    .map(({ keys, name, refusal }) => {
      const possible = refusal?.(state) === undefined;
      return [span(`${keys[0]}`, possible ? "accentStrong" : "dim"), span(` ${name}   `, possible ? "plain" : "dim")];
    });
}

export function footerLine(state: State, width: number): Line {
  if (state.interrupted) return line(" ctrl-c again quits hob", "warn");
  if (state.filtering) {
    return [
      span(" / ", "accentStrong"),
      span(state.filters[state.focus]),
      { text: " ", style: "inverse" },
      span("   enter keep · esc show all", "dim"),
    ];
  }
  if (state.editor)
    return [span(" enter", "accentStrong"), span(` ${state.editor.purpose}   `), span("esc", "accentStrong"), span(" leave")];
  const quit: Line = [span("q", "accentStrong"), span(" quit ")];
  if (state.notice) {
    return spread([span(" "), levels[state.notice.level], span(state.notice.text)], quit, width);
  }
  const all = hints(state);
  const variants = [...all.keys()].reverse().map((index) => [span(" "), ...all.slice(0, index + 1).flat()]);
  return spread(fitting(variants, width - 8), quit, width);
}

// ⑧ The bottom line: a notice while there is one, else the keys that work here.

import { keysNow } from "../../keys.ts";
import { tour } from "../../model/first.ts";
import { filteredOf, type State, type ViewName } from "../../model/state.ts";
import { fitting, type Line, line, type Span, span, spread } from "../line.ts";

const levels = { info: span("✓ ", "good"), warning: span("! ", "warn"), error: span("✗ ", "bad") } as const;

/** What is most wanted where, by the names of the keys' actions. */
const wanted: Record<ViewName, readonly string[]> = {
  main: ["run", "run with…", "pin", "cancel", "open", "logs", "filter", "commands", "help"],
  run: ["back", "run again", "keep input", "details", "compare", "follow", "copy", "cancel", "logs", "help"],
  logs: ["back", "filter", "level", "next match", "matches", "all logs", "follow", "help"],
  fleet: ["back", "span", "images", "help"],
  images: ["back", "fleet", "help"],
  operations: ["back", "deploy", "help"],
  compare: ["back", "compare", "help"],
  help: ["back"],
};

/** The hints of the footer; what is not possible now is dimmed. */
function hints(state: State): Span[][] {
  const table = keysNow(state);
  return wanted[state.view]
    .flatMap((name) => table.find((binding) => binding.name === name) ?? [])
    .map(({ keys, name, refusal }) => {
      const possible = refusal?.(state) === undefined;
      return [span(`${keys[0]}`, possible ? "accentStrong" : "dim"), span(` ${name}   `, possible ? "plain" : "dim")];
    });
}

export function footerLine(state: State, width: number): Line {
  if (state.interrupted) return line(" ctrl-c again quits hob", "warn");
  if (state.confirming !== undefined) {
    const key = keysNow(state).find(({ name }) => name === "deploy")?.keys[0] ?? "";
    return [
      span(` ${key}`, "accentStrong"),
      span(` again deploys ${state.confirming}: what runs here becomes what its callers get`, "warn"),
      span("   any other key does not", "dim"),
    ];
  }
  if (state.filtering) {
    return [
      span(" / ", "accentStrong"),
      span(state.filters[filteredOf(state)]),
      { text: " ", style: "inverse" },
      span(`   enter keep · esc show all${state.view === "logs" ? " · expression !not @container" : ""}`, "dim"),
    ];
  }
  if (state.palette)
    return [
      span(" enter", "accentStrong"),
      span(" do it   "),
      span("↑ ↓", "accentStrong"),
      span(" choose   "),
      span("esc", "accentStrong"),
      span(" leave"),
    ];
  if (state.editor)
    return [
      span(" enter", "accentStrong"),
      span(` ${state.editor.purpose}   `),
      span("tab", "accentStrong"),
      span(" complete   "),
      span("esc", "accentStrong"),
      span(" leave"),
    ];
  const quit: Line = [span("q", "accentStrong"), span(" quit ")];
  if (state.notice) {
    return spread([span(" "), levels[state.notice.level], span(state.notice.text.split("\n", 1)[0] ?? "")], quit, width);
  }
  const told = tour[state.tour - 1];
  if (told && state.view === "main" && state.project && state.project.functions.length > 0) {
    const end = keysNow(state).find(({ name }) => name === "end tour")?.keys[0] ?? "";
    const step = [span(` tour ${state.tour} of ${tour.length}  `, "accentStrong"), span(told.text)];
    const ends = (words: string): Line => [...step, span(`   ${end}`, "accentStrong"), span(` ${words}`)];
    return spread(fitting([ends("ends the tour"), ends("ends it"), step], width - 8), quit, width);
  }
  const all = hints(state);
  // Where room is short the hint that leads to all others is the last to go.
  const help = all.findIndex((spans) => spans[0]?.text === "?");
  const [last = [], rest] = help < 0 ? [[], all] : [all[help], all.toSpliced(help, 1)];
  const variants = Array.from({ length: rest.length + 1 }, (_, gone) => [
    span(" "),
    ...rest.slice(0, rest.length - gone).flat(),
    ...last,
  ]);
  return spread(fitting(variants, width - 8), quit, width);
}

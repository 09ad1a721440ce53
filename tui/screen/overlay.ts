// ⑧ The command palette over whatever is on the screen.

import { paletteItems } from "../model/commands.ts";
import type { State } from "../model/state.ts";
import { clean, cut, pad } from "../text.ts";
import { cutLine, type Line, type Span, span, spread, widthOf } from "./line.ts";
import { listTop } from "./section.ts";

const widest = 112;
const leastBeside = 24; // columns: with fewer beside it, what is below looks like scattered letters
const mostItems = 14;
const nameColumns = 16;
const reservedColumns = 12; // the mark before the name, the key, and gaps

/** The cells of a line from `from` on. */
function after(spans: Line, from: number): Line {
  let left = from;
  return spans.flatMap((part): Span[] => {
    const skip = Math.min(left, part.text.length);
    left -= skip;
    return skip === part.text.length ? [] : [{ text: part.text.slice(skip), style: part.style }];
  });
}

function before(spans: Line, width: number): Line {
  const own = widthOf(spans);
  if (own <= width) return [...spans, span(" ".repeat(width - own))];
  let left = width;
  return spans.flatMap((part): Span[] => {
    const take = Math.min(left, part.text.length);
    left -= take;
    return take === 0 ? [] : [{ text: part.text.slice(0, take), style: part.style }];
  });
}

/** A name with the letters that were found in it. */
function nameSpans(name: string, at: readonly number[], possible: boolean): Line {
  const shown = pad(clean(name), nameColumns);
  return [...shown].map((letter, index) => ({
    text: letter,
    style: at.includes(index) && possible ? ("accentStrong" as const) : possible ? ("strong" as const) : ("dim" as const),
  }));
}

export function withPalette(lines: readonly Line[], state: State): readonly Line[] {
  const { palette, columns, rows } = state;
  if (!palette) return lines;
  const items = paletteItems(state);
  const width = columns - widest < leastBeside ? columns : widest;
  const inner = width - 2;
  const height = Math.min(mostItems, rows - 8);
  const selected = Math.min(palette.selected, items.length - 1);
  const top = listTop(selected, items.length, height);
  const row = (content: Line): Line => {
    const shown = cutLine(content, inner);
    return [span("│", "accent"), ...shown, span(" ".repeat(inner - widthOf(shown))), span("│", "accent")];
  };
  const listed = items.slice(top, top + height).map(({ name, description, key, at, refusal }, index): Line => {
    const possible = refusal === undefined;
    const left: Line = [
      span(top + index === selected ? " ▸ " : "   ", "accentStrong"),
      ...nameSpans(name, at, possible),
      span(" "),
      span(cut(possible ? description : refusal, inner - nameColumns - reservedColumns), "dim"),
    ];
    return row(spread(left, [span(key, "accent"), span(" ")], inner));
  });
  while (listed.length < height) listed.push(row(listed.length === 0 ? [span("   nothing is called so", "dim")] : []));
  const title = ` Commands  ${items.length} `;
  const box: Line[] = [
    [span("╭", "accent"), span(title, "accentStrong"), span(`${"─".repeat(inner - title.length)}╮`, "accent")],
    row([span(" : ", "accentStrong"), span(palette.text), { text: " ", style: "inverse" }]),
    row([]),
    ...listed,
    [span(`╰${"─".repeat(inner)}╯`, "accent")],
  ];
  const x = Math.floor((columns - width) / 2);
  const y = 3;
  return lines.map((spans, index) => {
    const over = box[index - y];
    return over ? [...before(spans, x), ...over, ...after(before(spans, columns), x + width)] : spans;
  });
}

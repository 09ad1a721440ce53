// ⑧ The help: every key with what it does, from the table of keys, and what the marks mean.

import { type KeyBinding, keyTable } from "../../keys.ts";
import { pad } from "../../text.ts";
import { beside, type Line, line, span, widthOf } from "../line.ts";
import { callMarks } from "../marks.ts";
import { blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";

const groups: Record<KeyBinding["group"], string> = {
  call: "Call",
  show: "Show",
  move: "Move",
  replay: "In a recorded session",
  hob: "hob",
};

const glyphs: Readonly<Record<string, string>> = { down: "↓", up: "↑" };

function keyLine({ keys, description }: KeyBinding): Line {
  const shown = keys.map((key) => glyphs[key] ?? key).join(" ");
  return [span(`   ${pad(shown, 16)}`, "accentStrong"), span(` ${description}`)];
}

function groupLines(group: KeyBinding["group"]): Line[] {
  return [line(` ${groups[group]}`, "strong"), ...keyTable.filter((binding) => binding.group === group).map(keyLine), []];
}

const legend: Line[] = [
  line(" Marks", "strong"),
  [span("   "), ...Object.values(callMarks).flatMap(({ mark, word, style }) => [span(mark, style), span(` ${word}   `)])],
  [
    span("   "),
    span("◆", "accent"),
    span(" pinned: runs on every save that changes it   "),
    span("!", "warn"),
    span(" a line of stderr"),
  ],
];

export function drawHelpView({ state, width, height }: DrawContext): Drawn {
  const left = [...groupLines("call"), ...groupLines("show")];
  const right = [...groupLines("move"), ...(state.replay ? groupLines("replay") : []), ...groupLines("hob")];
  const half = Math.max(...left.map(widthOf)) + 4;
  const sideBySide = half + Math.max(...right.map(widthOf)) <= width;
  const rows = sideBySide
    ? Array.from({ length: Math.max(left.length, right.length) }, (_, row) => beside(left[row] ?? [], half, right[row] ?? []))
    : [...left, ...right];
  const build = line(` build ${state.build} · pool ${state.pool} · ${state.project?.root ?? "no project read yet"}`, "dim");
  return { title: line("Help"), ...windowOf([blockOf([...rows, ...legend, [], build])], state.scroll.helpView, height) };
}

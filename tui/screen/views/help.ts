// ⑧ The help: every key with what it does, from the table of keys, and what the marks mean.

import { type KeyBinding, keysNow } from "../../keys.ts";
import { pad } from "../../text.ts";
import { beside, type Line, line, span, wrapped } from "../line.ts";
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

const twoColumnsFrom = 100;
const fewestKeyColumns = 8; // most groups are then in line

const keysShown = ({ keys }: KeyBinding): string => keys.map((key) => glyphs[key] ?? key).join(" ");

function keyLines(binding: KeyBinding, keyColumns: number, width: number): Line[] {
  return wrapped(binding.description, width - keyColumns - 4).map((spans, row) => [
    span(`   ${pad(row === 0 ? keysShown(binding) : "", keyColumns)}`, "accentStrong"),
    ...spans,
  ]);
}

function groupLines(table: readonly KeyBinding[], group: KeyBinding["group"], width: number): Line[] {
  const bindings = table.filter((binding) => binding.group === group);
  const keyColumns = Math.max(fewestKeyColumns, ...bindings.map((binding) => keysShown(binding).length + 2));
  return [line(` ${groups[group]}`, "strong"), ...bindings.flatMap((binding) => keyLines(binding, keyColumns, width)), []];
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
  const table = keysNow(state);
  const two = width >= twoColumnsFrom;
  const half = two ? Math.floor(width / 2) : width;
  const of = (...names: KeyBinding["group"][]): Line[] => names.flatMap((name) => groupLines(table, name, half));
  const left = of("show");
  const right = of("call", "hob", "move", ...(state.replay ? (["replay"] as const) : []));
  const rows = two
    ? Array.from({ length: Math.max(left.length, right.length) }, (_, row) => beside(left[row] ?? [], half, right[row] ?? []))
    : [...right, ...left];
  const build = line(` build ${state.build} · pool ${state.pool} · ${state.project?.root ?? "no project read yet"}`, "dim");
  return { title: line("Help"), ...windowOf([blockOf([...rows, ...legend, [], build])], state.scroll.helpView, height) };
}

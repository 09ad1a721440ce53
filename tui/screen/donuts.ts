// ⑧ Shares of a whole as blessed-contrib's donuts, side by side: how full nodes and GPUs are, how much of images others have too. Exact numbers stand in the lines beside.

import type { Line } from "./line.ts";
import type { Widgets } from "./section.ts";

const rows = 12;
const columns = 28;
const leastColumns = 24;

export interface Share {
  label: string;
  part: number;
  whole: number;
}

/** As many as have room, the first first; none before the widgets are loaded. */
export function donutLines(shares: readonly Share[], widgets: Widgets | undefined, width: number): readonly Line[] {
  const fitting = shares.slice(0, Math.floor(width / leastColumns)).map(({ label, part, whole }) => ({
    label,
    percent: whole > 0 ? Math.min(100, Math.round((part / whole) * 100)) : 0,
  }));
  if (!widgets || fitting.length === 0) return [];
  const lines = widgets.donuts(fitting, Math.min(width, fitting.length * columns), rows);
  return lines.slice(0, lines.findLastIndex((spans) => spans.some(({ text }) => text.trim() !== "")) + 1); // the widget leaves room below its labels
}

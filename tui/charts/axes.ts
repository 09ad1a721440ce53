// ⑧ Axes around a chart: the greatest value and zero at the left, with units; how long ago below.

import { type Line, line, span } from "../screen/line.ts";
import { pad } from "../text.ts";

/** The next of 1, 2, 5, 10, 20 … that is not less: a scale that does not change with every value. */
export function niceMax(value: number, least: number): number {
  const wanted = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= wanted * (1 - 1e-9)) ?? 10;
  return step * power;
}

export function greatest(...series: readonly Float64Array[]): number {
  let max = 0;
  for (const values of series) for (const value of values) if (value > max) max = value;
  return max;
}

export interface Axes {
  readonly top: string; // the label of the greatest value, with its unit
  readonly minutes: number;
  readonly width: number; // of everything
  readonly gutter: number; // columns left of the chart, the axis included
}

const ago = (minutes: number): string => (minutes < 1 ? `−${Math.round(minutes * 60)} s` : `−${minutes} min`);

/** The chart's rows with their axis, and below them the times. */
export function withAxes(rows: readonly Line[], { top, minutes, width, gutter }: Axes): Line[] {
  const last = rows.length - 1;
  const labelled = rows.map((row, index) => {
    const label = index === 0 ? top : index === last ? "0" : "";
    return [span(`${pad(label, gutter - 2, "right")} ${label === "" ? "│" : "┤"}`, "dim"), ...row];
  });
  const room = width - gutter;
  const middle = ago(minutes / 2);
  const before = ago(minutes);
  const half = Math.floor(room / 2);
  const text =
    room < 28 ? before + pad("now", room - before.length, "right") : `${pad(before, half)}${pad(middle, room - half - 3)}now`;
  return [...labelled, line(" ".repeat(gutter) + text, "dim")];
}

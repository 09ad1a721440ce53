// ⑧ What a part of the screen is: a function from the state and its size to a title and lines.

import type { State, Viewport } from "../model/state.ts";
import type { Line } from "./line.ts";
import { type Block, heightOf, rowsOf } from "./output.ts";

export interface DrawContext {
  readonly state: State;
  readonly nowMs: number;
  readonly width: number;
  readonly height: number;
  /** Widgets that are loaded when they are first needed; absent until then. */
  readonly widgets: Widgets | undefined;
}

/** The parts of blessed-contrib that the screen shows (charts/contrib.ts). */
export interface Widgets {
  donuts(data: readonly { label: string; percent: number }[], width: number, height: number): readonly Line[];
}

export interface Drawn {
  readonly title: Line;
  readonly lines: readonly Line[];
  /** For what scrolls: which part of it is shown. */
  readonly viewport?: Viewport;
}

export type DrawSection = (context: DrawContext) => Drawn;

/** The part of `blocks` that a scroll position shows. */
export function windowOf(
  blocks: readonly Block[],
  scroll: { follow: boolean; top: number },
  height: number,
): { lines: Line[]; viewport: Viewport } {
  const total = heightOf(blocks);
  const last = Math.max(0, total - height);
  const top = scroll.follow ? last : Math.min(scroll.top, last);
  return { lines: rowsOf(blocks, top, top + height), viewport: { total, height, top } };
}

/** The first index of a list that is shown so that `selected` stays in the middle where it can. */
export function listTop(selected: number, total: number, height: number): number {
  return Math.max(0, Math.min(selected - Math.floor(height / 2), total - height));
}

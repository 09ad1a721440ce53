// ⑧ Where the panes lie: a pure function of the terminal's size and of what is open. Rectangles are in cells, origin at the top left.

import type { Pane } from "./model/state.ts";

const smallestColumns = 80;
const smallestRows = 24;
const twoColumnsFrom = 100;

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What a section of a frame holds: a pane, the last save, or the view that fills the screen. */
export type SectionName = Pane | "save" | "view";

/** The inside of one part of a frame, without borders. Its title is on the border above it, at y - 1. */
export interface Section {
  readonly name: SectionName;
  readonly inner: Rectangle;
}

/** Sections one above the other in one border; neighbours share the border between them. */
export interface Frame {
  readonly outer: Rectangle;
  readonly sections: readonly Section[];
}

export type Layout = { kind: "tooSmall" } | { kind: "frames"; header: Rectangle; footer: Rectangle; frames: readonly Frame[] };

export interface LayoutInput {
  columns: number;
  rows: number;
  /** A full view instead of the panes. */
  full: boolean;
  /** How many functions there are to list. */
  functions: number;
}

export function layout({ columns, rows, full, functions }: LayoutInput): Layout {
  if (columns < smallestColumns || rows < smallestRows) return { kind: "tooSmall" };
  const header = { x: 0, y: 0, width: columns, height: 1 };
  const footer = { x: 0, y: rows - 1, width: columns, height: 1 };
  const body = { x: 0, y: 1, width: columns, height: rows - 2 };
  const frames = full
    ? [frame(body, [["view", body.height - 2]])]
    : columns < twoColumnsFrom
      ? [frame(body, stacked(body.height, functions))]
      : beside(body);
  return { kind: "frames", header, footer, frames };
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Every pane below the other: what a person reads most gets the rows that are left. */
function stacked(height: number, functions: number): [SectionName, number][] {
  const content = height - 6;
  const save = 3;
  const fleet = content >= 24 ? 5 : 2;
  const list = clamp(functions, 3, Math.max(3, Math.floor(content / 5)));
  const runs = clamp(Math.floor(content / 6), 2, 12);
  return [
    ["functions", list],
    ["save", save],
    ["run", content - save - fleet - list - runs],
    ["runs", runs],
    ["fleet", fleet],
  ];
}

/** Functions, the last save and Runs on the left; the run and the fleet on the right. Runs and Fleet share their upper edge. */
function beside(body: Rectangle): Frame[] {
  const leftWidth = clamp(Math.round(body.width * 0.46), 50, 84);
  const save = body.height >= 30 ? 6 : 4; // a fault in the text and the receipt of another file, both
  const run = Math.floor(body.height * 0.6);
  const lower = body.height - run - 3;
  const left = { ...body, width: leftWidth };
  const right = { ...body, x: leftWidth, width: body.width - leftWidth };
  return [
    frame(left, [
      ["functions", run - save - 1],
      ["save", save],
      ["runs", lower],
    ]),
    frame(right, [
      ["run", run],
      ["fleet", lower],
    ]),
  ];
}

function frame(outer: Rectangle, parts: readonly [SectionName, number][]): Frame {
  let y = outer.y + 1;
  const sections = parts.map(([name, height]) => {
    const inner = { x: outer.x + 1, y, width: outer.width - 2, height };
    y += height + 1;
    return { name, inner };
  });
  return { outer, sections };
}

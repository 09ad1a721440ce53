// ⑧ Log lines as rows of the screen. Where a line is a row, only the rows that are seen are worked out; else a chunk's once for each look.

import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import { isGap } from "../../proto/lost-output.ts";
import type { CallLog } from "../model/logs.ts";
import { clean } from "../text.ts";
import { count, size, timeOfDayMs } from "../units.ts";
import type { Line, Style } from "./line.ts";

export interface OutputLook {
  readonly width: number;
  readonly wrap: boolean;
  readonly filter: string;
}

/** A stretch of rows that can be asked for in part. */
export interface Block {
  readonly height: number;
  rows(from: number, to: number): readonly Line[];
}

export function blockOf(lines: readonly Line[]): Block {
  return { height: lines.length, rows: (from, to) => lines.slice(from, to) };
}

/** The rows `from` to `to` of blocks one above the other. */
export function rowsOf(blocks: readonly Block[], from: number, to: number): Line[] {
  const rows: Line[] = [];
  let start = 0;
  for (const block of blocks) {
    const end = start + block.height;
    if (end > from && start < to) rows.push(...block.rows(Math.max(0, from - start), Math.min(block.height, to - start)));
    start = end;
  }
  return rows;
}

export function heightOf(blocks: readonly Block[]): number {
  return blocks.reduce((sum, block) => sum + block.height, 0);
}

const timeColumns = 14; // "14:03:22.101 " and the mark of the stream
const longestCells = 4_096; // of one line that is not wrapped
const mostRowsOfOneLine = 50;

// stderr and the system's own lines are marked by a character, not by colour alone.
const streams: Readonly<Record<string, { mark: string; style: Style }>> = {
  stdout: { mark: " ", style: "plain" },
  stderr: { mark: "!", style: "warn" },
  system: { mark: "·", style: "dim" },
};

interface Laid {
  readonly look: OutputLook;
  readonly rows: readonly Line[];
}

const laid = new WeakMap<readonly LogLine[], Laid>();

function same(a: OutputLook, b: OutputLook): boolean {
  return a.width === b.width && a.wrap === b.wrap && a.filter === b.filter;
}

/** A line is a row of its own: nothing is wrapped, filtered or missing. */
function isPlain(chunk: readonly LogLine[], { wrap, filter }: OutputLook): boolean {
  return !wrap && filter === "" && chunk.every(({ dropped }) => dropped === 0);
}

function chunkBlock(chunk: readonly LogLine[], look: OutputLook): Block {
  if (!isPlain(chunk, look)) return blockOf(chunkRows(chunk, look));
  return { height: chunk.length, rows: (from, to) => chunk.slice(from, to).flatMap((entry) => lineRows(entry, look)) };
}

function chunkRows(chunk: readonly LogLine[], look: OutputLook): readonly Line[] {
  const known = laid.get(chunk);
  if (known && same(known.look, look)) return known.rows;
  const filter = look.filter.toLowerCase();
  const rows = chunk
    .filter(({ text }) => filter === "" || text.toLowerCase().includes(filter))
    .flatMap((entry) => lineRows(entry, look));
  laid.set(chunk, { look, rows });
  return rows;
}

function lineRows(entry: LogLine, { width, wrap }: OutputLook): Line[] {
  const { mark, style } = streams[entry.stream] ?? { mark: " ", style: "plain" as const };
  const time = { text: `${timeOfDayMs(entry.timeMs)} `, style: "dim" as const };
  const rows: Line[] = [];
  if (entry.dropped > 0) rows.push([time, { text: `… ${size(entry.dropped)} dropped`, style: "dim" }]);
  if (isGap(entry)) return rows;
  const room = Math.max(8, width - timeColumns);
  if (!wrap) return [...rows, [time, { text: mark + clean(entry.text.slice(0, longestCells)), style }]];
  const text = clean(entry.text.slice(0, mostRowsOfOneLine * room * 2));
  rows.push([time, { text: mark + text.slice(0, room), style }]);
  for (let at = room; at < text.length; at += room) {
    if (rows.length === mostRowsOfOneLine) {
      rows.push([{ text: `${" ".repeat(timeColumns)}… ${count(entry.text.length - at)} more characters`, style: "dim" }]);
      break;
    }
    rows.push([{ text: " ".repeat(timeColumns) + text.slice(at, at + room), style }]);
  }
  return rows;
}

/** The output of a call: first what was dropped, then a block for each chunk. */
export function outputBlocks(log: CallLog, look: OutputLook): Block[] {
  const blocks = log.chunks.map((chunk) => chunkBlock(chunk, look));
  if (log.dropped === 0) return blocks;
  return [blockOf([[{ text: `… ${count(log.dropped)} earlier lines are no longer kept here`, style: "dim" }]]), ...blocks];
}

// ⑧ How a map goes, as one line: a bar where it is drawn again and again, plain words where lines are kept. Pure.

import { grouped } from "../base/grouped.ts";
import type { MapInfo } from "../proto/gen/hob/v1/maps.ts";
import { formatMs } from "./format/duration.ts";

const barCells = 24;
const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

export interface MapProgress {
  done: number;
  failed: number;
  /** Undefined while inputs still come. */
  total: number | undefined;
  rate: number; // a second
  leftMs: number | undefined;
}

/** `total`, where the client knows it before control does. */
export function progressOf({ succeeded, failed, inputs, closed, rate }: MapInfo, total?: number): MapProgress {
  const done = succeeded + failed;
  const all = closed ? inputs : total;
  const leftMs = all !== undefined && rate > 0 ? ((all - done) / rate) * 1000 : undefined;
  return { done, failed, total: all, rate, leftMs };
}

function words({ done, failed, total, rate, leftMs }: MapProgress): string {
  const parts = [
    total === undefined ? `${grouped(done)} done` : `${grouped(done)}/${grouped(total)}`,
    `${rate >= 9.95 ? grouped(rate) : rate.toFixed(1)}/s`,
  ];
  if (leftMs !== undefined && total !== done) parts.push(`${formatMs(leftMs)} left`);
  if (failed > 0) parts.push(`${grouped(failed)} failed`);
  return parts.join("  ");
}

/** "██████████▌             12,345/100,000  8,421/s  10.4 s left  3 failed", cut to `columns`. */
export function barLine(progress: MapProgress, columns: number): string {
  const { done, total } = progress;
  const share = total === undefined ? undefined : total === 0 ? 1 : Math.min(1, done / total);
  const text = words(progress);
  if (share === undefined || text.length + barCells + 3 > columns) return text.slice(0, Math.max(0, columns - 1));
  const cells = Math.floor(share * barCells * 8);
  const bar = `${"█".repeat(cells >> 3)}${eighths[cells & 7]}`.padEnd(barCells);
  return `${bar}  ${text}`;
}

/** "hob: map #3: 12,345/100,000  8,421/s  10.4 s left" */
export const plainLine = (number: number, progress: MapProgress): string => `hob: map #${number}: ${words(progress)}`;

// ⑧ Durations for people, in one unit; and durations as people type them.

import { HobError } from "../../base/errors.ts";

/** 0.42 ms, 8.1 ms, 532 ms, 4.21 s, 3 min 20 s, 5 h 12 min, 2 d 4 h. */
export function formatMs(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return "–";
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  if (ms < 99.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_500) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of "90s", "10m", "2h", "1d"; undefined for what is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)$/.exec(text.trim());
  return match ? Number(match[1]) * (unitsMs[match[2] ?? "s"] ?? 1000) : undefined;
}

/**
 * The moment that `text` names, in Unix milliseconds: "90s", "10m", "2h", "1d" before `nowMs`, or a date and time that
 * Date.parse reads. Throws a HobError of kind `usage` for anything else.
 */
export function parseSince(text: string, nowMs: number): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return nowMs - ago;
  const absolute = Date.parse(text);
  if (!Number.isNaN(absolute)) return absolute;
  throw new HobError("usage", `--since "${text}" is no time`, { remedy: 'write for example 10m, 2h, 1d or "2026-01-31 14:00"' });
}

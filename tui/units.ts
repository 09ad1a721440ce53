// ⑧ Numbers as people read them: each with its unit.

import { grouped } from "../base/grouped.ts";

/** "0.6 ms", "12.4 ms", "310 ms", "3.4 s", "12 s", "2 min 5 s", "1 h 3 min", "9 days". */
export function duration(ms: number): string {
  if (ms < 99.95) return `${Math.max(0, ms).toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_500) return `${(ms / 1000).toFixed(ms < 9_950 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${count(Math.floor(minutes / 1440))} days`;
}

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

function byteScale(bytes: number): number {
  let scale = 0;
  while (bytes >= 999.5 && scale < byteUnits.length - 1) {
    bytes /= 1024;
    scale += 1;
  }
  return scale;
}

function scaled(bytes: number, scale: number): string {
  const value = bytes / 1024 ** scale;
  return scale === 0 || value >= 9.95 ? value.toFixed(0) : value.toFixed(1);
}

/** "512 B", "1.2 KiB", "24 GiB". */
export function size(bytes: number): string {
  const scale = byteScale(bytes);
  return `${scaled(bytes, scale)} ${byteUnits[scale]}`;
}

/** "3.1/24 GiB": both in the unit of the whole. */
export function sizeOf(bytes: number, whole: number): string {
  const scale = byteScale(whole);
  return `${scaled(bytes, scale)}/${scaled(whole, scale)} ${byteUnits[scale]}`;
}

/** "17,400". */
export const count = grouped;

/** "1 node", "2 nodes". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** "14:03:22", local time. */
export function timeOfDay(unixMs: number): string {
  const date = new Date(unixMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** "14:03:22.101", local time. */
export function timeOfDayMs(unixMs: number): string {
  return `${timeOfDay(unixMs)}.${String(Math.floor(unixMs) % 1000).padStart(3, "0")}`;
}

/** The first hex digits of a digest, as many as a person can compare. */
export function short(digest: string, digits = 6): string {
  return digest.slice(0, digits);
}

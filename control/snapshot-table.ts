// ④ A snapshot's file table and its canonical text, whose sha256 names the snapshot. Pure.

import { type Digest, isDigest, sha256 } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import type { FileEntry } from "../proto/gen/hob/v1/common.ts";

export interface SnapshotTable {
  digest: Digest;
  /** Sorted by path, bytewise. */
  entries: FileEntry[];
  /** The canonical line of each entry, in the same order. */
  lines: string[];
}

/** UTF-8's byte order, for JavaScript's UTF-16 strings: surrogates sort after everything else below them. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

const rank = (unit: number): number => (unit < 0xd800 ? unit : unit >= 0xe000 ? unit - 0x800 : unit + 0x2000);

function checkedLine(entry: FileEntry): string {
  const { path, digest, size, mode } = entry;
  const parts = path.split("/");
  if (!path || path.includes("\n") || path.includes("\0") || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new HobError("usage", `"${path}" is not a path inside a project`);
  }
  if (!isDigest(digest)) throw new HobError("usage", `file ${path}: "${digest}" is not a sha256 digest`);
  return `${(mode & 0o7777).toString(8)} ${digest} ${size} ${path}\n`;
}

const textOf = (lines: string[]): string => lines.join("");

export const tableText = (table: SnapshotTable): string => textOf(table.lines);

function position(entries: FileEntry[], path: string): { index: number; found: boolean } {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = comparePaths(entries[middle]!.path, path);
    if (order === 0) return { index: middle, found: true };
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return { index: low, found: false };
}

function wholeTable(files: FileEntry[]): SnapshotTable {
  const entries = files.toSorted((a, b) => comparePaths(a.path, b.path));
  for (let i = 1; i < entries.length; i++) {
    if (entries[i]!.path === entries[i - 1]!.path) throw new HobError("usage", `file ${entries[i]!.path} is named twice`);
  }
  const lines = entries.map(checkedLine);
  return { digest: sha256(textOf(lines)), entries, lines };
}

/** The table after a delta. O(changed · log files) besides copying and hashing; a new table, `base` is left as it is. */
export function applyDelta(base: SnapshotTable | undefined, changed: FileEntry[], removed: string[]): SnapshotTable {
  if (!base) return wholeTable(changed);
  const entries = base.entries.slice();
  const lines = base.lines.slice();
  for (const path of removed) {
    const { index, found } = position(entries, path);
    if (!found) throw new HobError("usage", `file ${path} is removed, but the base snapshot has no such file`);
    entries.splice(index, 1);
    lines.splice(index, 1);
  }
  for (const entry of changed) {
    const { index, found } = position(entries, entry.path);
    entries.splice(index, found ? 1 : 0, entry);
    lines.splice(index, found ? 1 : 0, checkedLine(entry));
  }
  return { digest: sha256(textOf(lines)), entries, lines };
}

/** What turns `base` into `target`; one pass over both. */
export function deltaBetween(base: SnapshotTable, target: SnapshotTable): { changed: FileEntry[]; removed: string[] } {
  const changed: FileEntry[] = [];
  const removed: string[] = [];
  let i = 0;
  let j = 0;
  while (i < base.entries.length || j < target.entries.length) {
    const before = base.entries[i];
    const after = target.entries[j];
    const order = !before ? 1 : !after ? -1 : comparePaths(before.path, after.path);
    if (order < 0) {
      removed.push(before!.path);
      i++;
    } else if (order > 0) {
      changed.push(after!);
      j++;
    } else {
      if (base.lines[i] !== target.lines[j]) changed.push(after!);
      i++;
      j++;
    }
  }
  return { changed, removed };
}

export function parseTable(text: string): SnapshotTable {
  const entries: FileEntry[] = [];
  for (const line of text.split("\n")) {
    if (!line) continue;
    const match = /^([0-7]+) ([0-9a-f]{64}) (\d+) (.+)$/s.exec(line);
    if (!match) throw new HobError("corrupt", `reading a snapshot's table: "${line.slice(0, 80)}" is not a line of one`);
    const [, mode, digest, size, path] = match;
    entries.push({ path: path!, digest: digest!, size: Number(size), mode: Number.parseInt(mode!, 8) });
  }
  return wholeTable(entries);
}

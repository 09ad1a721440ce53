// Compares two folders of this machine: every name, attribute and byte. What differs is said in sentences.

import { closeSync, openSync, readSync } from "node:fs";
import { bytesOfText } from "../../base/byte-text.ts";
import { type ScannedEntry, scanFolder } from "../../fusefs/image/folder.ts";

const PIECE_BYTES = 1 << 20;

/** Where the contents begin to differ, or -1. */
function firstDifference(one: Buffer, other: Buffer): number {
  const descriptors = [openSync(one, "r"), openSync(other, "r")] as const;
  const pieces = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)] as const;
  try {
    for (let offset = 0; ; offset += PIECE_BYTES) {
      const [count, otherCount] = [0, 1].map((side) =>
        readSync(descriptors[side as 0 | 1], pieces[side as 0 | 1], 0, PIECE_BYTES, offset),
      );
      if (count !== otherCount || !pieces[0].subarray(0, count).equals(pieces[1].subarray(0, count))) return offset;
      if (!count) return -1;
    }
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

/** Names of one inode have one key, whatever its number: the first of their paths. */
function withoutNumbers(root: string): Map<string, ScannedEntry> {
  const entries = [...scanFolder(root)].sort((a, b) => (a.path < b.path ? -1 : 1));
  const firsts = new Map<string, string>();
  const names = new Map<string, number>();
  for (const entry of entries) {
    const key = entry.kind === "directory" ? undefined : entry.hardLink;
    if (key === undefined) continue;
    if (!firsts.has(key)) firsts.set(key, entry.path);
    names.set(key, (names.get(key) ?? 0) + 1);
  }
  return new Map(
    entries.map((entry) => {
      if (entry.kind === "directory" || entry.hardLink === undefined) return [entry.path, entry];
      const { hardLink, ...rest } = entry;
      const shared = (names.get(hardLink) as number) > 1; // a name outside the folder is nobody's concern
      return [entry.path, shared ? { ...rest, hardLink: firsts.get(hardLink) as string } : rest];
    }),
  );
}

function text(value: unknown): string {
  if (!(value instanceof Map)) return JSON.stringify(value) ?? "nothing";
  const pairs = [...(value as Map<string, Buffer>)].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(pairs.map(([name, data]) => `${name}=${data.toString("hex")}`));
}

export interface Comparison {
  /** Paths that are not looked at, with all that lies below. */
  without?: readonly string[];
  /** Attributes of entries ("mtimeNanoseconds") that may differ. */
  ignore?: readonly string[];
}

/** One line for each difference; none when the trees are the same. */
export function treeDifferences(one: string, other: string, { without = [], ignore = [] }: Comparison = {}): string[] {
  const isLeftOut = (path: string): boolean => without.some((left) => path === left || path.startsWith(`${left}/`));
  const [entries, others] = [withoutNumbers(one), withoutNumbers(other)];
  const lines: string[] = [];
  for (const path of [...new Set([...entries.keys(), ...others.keys()])].sort()) {
    if (isLeftOut(path)) continue;
    const name = JSON.stringify(path);
    const [entry, its] = [
      entries.get(path) as Record<string, unknown> | undefined,
      others.get(path) as Record<string, unknown> | undefined,
    ];
    if (!entry || !its) {
      lines.push(`${name} is only in ${entry ? one : other}`);
      continue;
    }
    const fields = new Set([...Object.keys(entry), ...Object.keys(its)].filter((field) => !ignore.includes(field)));
    for (const field of fields) {
      const [value, another] = [text(entry[field]), text(its[field])];
      if (value !== another) lines.push(`${name}: its ${field} is ${value} and ${another}`);
    }
    if (entry["kind"] !== "file" || its["kind"] !== "file") continue;
    const at = firstDifference(bytesOfText(`${one}/${path}`), bytesOfText(`${other}/${path}`));
    if (at >= 0) lines.push(`${name}: its content differs within the MiB from ${at} on`);
  }
  return lines;
}

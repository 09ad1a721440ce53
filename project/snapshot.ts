// ① A project's files at one moment: canonical text, digest, and what differs between two snapshots. Pure.

import { sha256 } from "../base/content-folder.ts";
import type { FileEntry } from "../proto/gen/hob/v1/common.ts";

export interface Snapshot {
  readonly digest: string;
  /** By path, in the canonical order. */
  readonly files: ReadonlyMap<string, FileEntry>;
}

export interface SnapshotDifference {
  changed: FileEntry[];
  removed: string[];
}

/** Bytewise order of the paths' UTF-8, which for ASCII is the order of the strings. */
export function comparePaths(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    return a < 0x80 || b < 0x80 ? a - b : Buffer.compare(Buffer.from(left), Buffer.from(right));
  }
  return left.length - right.length;
}

/** The lines "MODE DIGEST SIZE PATH\n", mode in octal, sorted by path (proto/hob/v1/common.proto, SnapshotDelta). */
export function canonicalText(files: ReadonlyMap<string, FileEntry>): string {
  let text = "";
  for (const file of files.values()) text += `${file.mode.toString(8)} ${file.digest} ${file.size} ${file.path}\n`;
  return text;
}

/** The snapshot of these files, in any order. */
export function snapshotOf(entries: Iterable<FileEntry>): Snapshot {
  const sorted = [...entries].sort((left, right) => comparePaths(left.path, right.path));
  const files = new Map(sorted.map((file) => [file.path, file]));
  return { files, digest: sha256(canonicalText(files)) };
}

const source = /\.(pyi?|tsx?|mts|cts)$/;
const dataDigests = new WeakMap<Snapshot, string>();

/**
 * Digest of all files but Python and TypeScript sources: what a function may depend on that opens files by names nobody can foresee. Sources
 * count by what is reached of them; a program that reads sources as data without starting anything names them, or is run again by hand.
 */
export function dataDigest(snapshot: Snapshot): string {
  let digest = dataDigests.get(snapshot);
  if (digest === undefined) {
    digest = sha256(canonicalText(new Map([...snapshot.files].filter(([path]) => !source.test(path)))));
    dataDigests.set(snapshot, digest);
  }
  return digest;
}

/** `base` with some files changed, added or removed. */
export function applyDifference(base: Snapshot, { changed, removed }: SnapshotDifference): Snapshot {
  const files = new Map(base.files);
  let added = false;
  for (const path of removed) files.delete(path);
  for (const file of changed) {
    added ||= !files.has(file.path);
    files.set(file.path, file); // a path that is there keeps its place
  }
  return added ? snapshotOf(files.values()) : { files, digest: sha256(canonicalText(files)) };
}

/** What leads from `base` to `next`; without a base, all of `next`. */
export function differenceBetween(base: Snapshot | undefined, next: Snapshot): SnapshotDifference {
  if (!base) return { changed: [...next.files.values()], removed: [] };
  if (base.digest === next.digest) return { changed: [], removed: [] };
  const changed: FileEntry[] = [];
  for (const file of next.files.values()) {
    const before = base.files.get(file.path);
    if (!before || (before !== file && (before.digest !== file.digest || before.mode !== file.mode))) changed.push(file);
  }
  return { changed, removed: [...base.files.keys()].filter((path) => !next.files.has(path)) };
}

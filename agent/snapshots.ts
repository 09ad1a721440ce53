// ⑥ What a load must carry: the file lists of snapshots, and what a runner still lacks of them. Pure, but for asking for a list's text.

import { HobError } from "../base/errors.ts";
import type { FileEntry, SnapshotDelta } from "../proto/gen/hob/v1/common.ts";

export type FileList = ReadonlyMap<string, FileEntry>;

/** The list that `delta` makes of `base`. */
function applyDelta(base: FileList, delta: Pick<SnapshotDelta, "changed" | "removed">): FileList {
  const files = new Map(base);
  for (const path of delta.removed) files.delete(path);
  for (const entry of delta.changed) files.set(entry.path, entry);
  return files;
}

/** Reads the canonical text of a snapshot: lines "MODE DIGEST SIZE PATH", mode in octal; a path may hold spaces. */
export function parseSnapshot(text: string): FileList {
  const files = new Map<string, FileEntry>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const match = /^([0-7]+) ([0-9a-f]{64}) (\d+) (.+)$/s.exec(line);
    if (!match)
      throw new HobError("corrupt", `a snapshot has the line "${line.slice(0, 80)}", which is not MODE DIGEST SIZE PATH`);
    const [, mode = "", digest = "", size = "", path = ""] = match;
    files.set(path, { path, digest, size: Number(size), mode: Number.parseInt(mode, 8) });
  }
  return files;
}

export interface SnapshotDifference {
  base: string;
  changed: FileEntry[];
  removed: string[];
}

/** How to describe a snapshot to somebody who knows the snapshots `known`: the delta where they know its base, else the whole list. */
export function differenceFor(known: (snapshot: string) => boolean, delta: SnapshotDelta, files: FileList): SnapshotDifference {
  if (known(delta.digest)) return { base: delta.digest, changed: [], removed: [] };
  if (delta.base !== "" && known(delta.base)) return { base: delta.base, changed: delta.changed, removed: delta.removed };
  return { base: "", changed: [...files.values()], removed: [] };
}

export interface Told {
  digest: string;
  files: FileList;
}

/** Runners keep the contents of what they serve and of the sixteen snapshots before; we count on the last few only. */
export const toldKept = 4;

/**
 * Digests whose contents go with a load: for Python what changed (of a whole list: the sources that no snapshot told before has), for
 * TypeScript the bundles. `coded`: the versions and the patches.
 */
export function neededBlobs(
  language: string,
  difference: SnapshotDifference,
  coded: readonly { bundle: string }[],
  told: readonly Told[],
): string[] {
  if (language !== "python") return [...new Set(coded.map(({ bundle }) => bundle))].filter((digest) => digest !== "");
  const has = new Set<string>();
  if (difference.base === "") for (const { files } of told) for (const { digest } of files.values()) has.add(digest);
  const sources = difference.changed.filter(({ path, digest }) => path.endsWith(".py") && !has.has(digest));
  return [...new Set(sources.map(({ digest }) => digest))];
}

const listsKept = 64;

export interface SnapshotLists {
  /** The whole list for `delta`; asks for the canonical text where the base is not known here. */
  resolve(delta: SnapshotDelta): Promise<FileList>;
  /** Digests of all contents of the lists that are remembered, and of the lists themselves. */
  contents(): Iterable<string>;
}

export function createSnapshotLists(text: (digest: string) => Promise<string>): SnapshotLists {
  const lists = new Map<string, FileList>(); // oldest first

  function remember(digest: string, files: FileList): FileList {
    lists.delete(digest);
    lists.set(digest, files);
    const oldest = lists.keys().next();
    if (lists.size > listsKept && !oldest.done) lists.delete(oldest.value);
    return files;
  }

  return {
    *contents() {
      for (const [digest, files] of lists) {
        yield digest;
        for (const file of files.values()) yield file.digest;
      }
    },
    async resolve(delta) {
      const known = lists.get(delta.digest);
      if (known) return remember(delta.digest, known);
      const base = delta.base === "" ? new Map<string, FileEntry>() : lists.get(delta.base);
      if (base && delta.base) remember(delta.base, base); // what others build on stays
      return remember(delta.digest, base ? applyDelta(base, delta) : parseSnapshot(await text(delta.digest)));
    },
  };
}

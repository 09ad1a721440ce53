// ⑤ Remembers which digest each captured file of this machine had, so that a second capture reads none that has not changed.

import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, systemError } from "../../base/errors.ts";

interface Known {
  digest: string;
  bytes: number;
}

/** Same size, time and inode: same content. Packages replace files by renaming, which changes the inode. */
export const fileKey = (file: { size: number; mtimeNs: bigint; inode: bigint }): string =>
  `${file.size} ${file.mtimeNs} ${file.inode}`;

export interface HostIndex {
  find(path: string, key: string): Known | undefined;
  set(path: string, key: string, known: Known): void;
  /** Writes what was found or set since it was opened; nothing when that is what the file holds. */
  save(): Promise<void>;
}

type Row = [key: string, digest: string, bytes: number];

function load(file: string): Record<string, Row> {
  try {
    const content = JSON.parse(readFileSync(file, "utf8")) as { version?: number; files?: Record<string, Row> };
    return content.version === 1 && content.files ? content.files : {};
  } catch (error) {
    // No index, or one that a dying process left: everything is hashed again.
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return {};
    throw systemError(`reading ${file}`, error);
  }
}

export function openHostIndex(storeRoot: string): HostIndex {
  const file = join(storeRoot, "host-index.json");
  const before = load(file);
  const after: Record<string, Row> = {};
  let changed = false;
  return {
    find(path, key) {
      const row = before[path];
      if (!row || row[0] !== key) return undefined;
      after[path] = row;
      return { digest: row[1], bytes: row[2] };
    },
    set(path, key, { digest, bytes }) {
      after[path] = [key, digest, bytes];
      changed = true;
    },
    async save() {
      if (!changed && Object.keys(before).length === Object.keys(after).length) return;
      const temporary = `${file}.${process.pid}`;
      await writeFile(temporary, JSON.stringify({ version: 1, files: after }), { mode: 0o600 });
      await rename(temporary, file);
    },
  };
}

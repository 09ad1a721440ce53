// ⑤ Project snapshots as trees: a snapshot is a base and what differs from it, and becomes a manifest like any image's.

import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HobError } from "../base/errors.ts";
import type { FileEntry } from "../proto/gen/hob/v1/common.ts";
import { encodeManifest, TIMELESS_SECONDS } from "./image/encode.ts";
import {
  digestOf,
  entriesOf,
  entryInode,
  entryName,
  type Manifest,
  modeOf,
  sizeOf,
  typeOf,
  viewManifest,
} from "./image/manifest.ts";
import { fileType } from "./wire/constants.ts";

type Files = ReadonlyMap<string, FileEntry>;

/** Everything belongs to root and can be read by all; nothing can be written. */
function manifestOf(files: Files): Buffer {
  const times = { uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  return encodeManifest(
    [...files.values()].map(({ path, digest, size, mode }) => {
      return { kind: "file" as const, path, digest, size: Number(size), mode: (mode & 0o555) | 0o444, ...times };
    }),
  );
}

/** The files that a manifest shows: what `manifestOf` was given, as far as it matters for another manifest. */
function filesOf(manifest: Manifest): Files {
  const files = new Map<string, FileEntry>();
  const walk = (directory: number, prefix: string): void => {
    const { first, count } = entriesOf(manifest, directory);
    for (let entry = first; entry < first + count; entry++) {
      const inode = entryInode(manifest, entry);
      const path = prefix + entryName(manifest, entry);
      if (typeOf(manifest, inode) === fileType.directory) walk(inode, `${path}/`);
      else
        files.set(path, {
          path,
          digest: digestOf(manifest, inode),
          size: sizeOf(manifest, inode),
          mode: modeOf(manifest, inode) & 0o777,
        });
    }
  };
  walk(0, "");
  return files;
}

function applyDelta(base: Files, changed: readonly FileEntry[], removed: readonly string[]): Files {
  const files = new Map(base);
  for (const path of removed) files.delete(path);
  for (const entry of changed) files.set(entry.path, entry);
  return files;
}

/** A manifest where several threads can see it. */
function share(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(shared).set(bytes);
  return shared;
}

// Bases that no container shows any more, kept for the next delta.
const KEPT_UNUSED = 32;
const SUFFIX = ".manifest";

export interface Snapshots {
  /** The manifest of a snapshot, for one more user. HobError `precondition` when `base` was never here, or long ago. */
  acquire(snapshot: string, base: string, changed: readonly FileEntry[], removed: readonly string[]): SharedArrayBuffer;
  release(snapshot: string): void;
}

/** Each manifest is a file in `folder` too, as SNAPSHOT.manifest: what a daemon before us has left there is known here, and used by nobody yet. */
export function createSnapshots(folder: string): Snapshots {
  const known = new Map<string, { manifest: SharedArrayBuffer; users: number }>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(SUFFIX))) {
    known.set(file.slice(0, -SUFFIX.length), { manifest: share(readFileSync(join(folder, file))), users: 0 });
  }
  const fileOf = (name: string): string => join(folder, `${name}${SUFFIX}`);
  // A save's base is the save before it: its files are at hand. Those of any other are read back from its manifest.
  let newest: { name: string; files: Files } = { name: "", files: new Map() };

  function filesOfBase(name: string, base: string): Files {
    if (base === "") return new Map();
    const snapshot = known.get(base);
    if (!snapshot) {
      const remedy = "send it whole";
      throw new HobError("precondition", `showing snapshot ${name.slice(0, 12)}: its base ${base.slice(0, 12)} is not here`, {
        remedy,
      });
    }
    return base === newest.name ? newest.files : filesOf(viewManifest(snapshot.manifest, 0, snapshot.manifest.byteLength));
  }

  function forgetUnused(): void {
    const unused = [...known].filter(([, { users }]) => users === 0); // oldest first
    for (const [name] of unused.slice(0, Math.max(0, unused.length - KEPT_UNUSED))) {
      known.delete(name);
      rmSync(fileOf(name), { force: true });
    }
  }

  return {
    acquire(name, base, changed, removed) {
      let snapshot = known.get(name);
      if (!snapshot) {
        const files = applyDelta(filesOfBase(name, base), changed, removed);
        const bytes = manifestOf(files);
        // Whole or not there: a daemon that is killed here has told nobody of it.
        writeFileSync(`${fileOf(name)}.new`, bytes, { mode: 0o600 });
        renameSync(`${fileOf(name)}.new`, fileOf(name));
        snapshot = { manifest: share(bytes), users: 0 };
        known.set(name, snapshot);
        newest = { name, files };
      }
      snapshot.users++;
      return snapshot.manifest;
    },
    release(name) {
      const snapshot = known.get(name);
      if (!snapshot) return;
      snapshot.users--;
      if (snapshot.users > 0) return;
      known.delete(name); // to the end: the newest of the unused
      known.set(name, snapshot);
      forgetUnused();
    },
  };
}

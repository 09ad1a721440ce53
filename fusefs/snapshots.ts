// ⑤ Project snapshots as trees: a snapshot is a base and what differs from it, and becomes a manifest like any image's.

import { HobError } from "../base/errors.ts";
import type { FileEntry } from "../proto/gen/hob/v1/common.ts";
import { encodeManifest, TIMELESS_SECONDS } from "./image/encode.ts";

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

function applyDelta(base: Files, changed: readonly FileEntry[], removed: readonly string[]): Files {
  const files = new Map(base);
  for (const path of removed) files.delete(path);
  for (const entry of changed) files.set(entry.path, entry);
  return files;
}

/** A manifest where several threads can see it. */
export function share(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(shared).set(bytes);
  return shared;
}

interface Snapshot {
  files: Files;
  manifest: SharedArrayBuffer;
  users: number;
}

// Bases that no container shows any more, kept for the next delta.
const KEPT_UNUSED = 32;

export interface Snapshots {
  /** The manifest of a snapshot, for one more user. HobError `precondition` when `base` was never here, or long ago. */
  acquire(snapshot: string, base: string, changed: readonly FileEntry[], removed: readonly string[]): SharedArrayBuffer;
  release(snapshot: string): void;
}

export function createSnapshots(): Snapshots {
  const known = new Map<string, Snapshot>();

  function forgetUnused(): void {
    const unused = [...known].filter(([, { users }]) => users === 0); // oldest first
    for (const [name] of unused.slice(0, Math.max(0, unused.length - KEPT_UNUSED))) known.delete(name);
  }

  return {
    acquire(name, base, changed, removed) {
      let snapshot = known.get(name);
      if (!snapshot) {
        const from = base === "" ? new Map() : known.get(base)?.files;
        if (!from) {
          const remedy = "send it whole";
          throw new HobError("precondition", `showing snapshot ${name.slice(0, 12)}: its base ${base.slice(0, 12)} is not here`, {
            remedy,
          });
        }
        const files = applyDelta(from, changed, removed);
        snapshot = { files, manifest: share(manifestOf(files)), users: 0 };
        known.set(name, snapshot);
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

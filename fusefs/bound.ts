// ⑤ Manifests as mounts show them: each bound with a table of its inodes' backing files, which outlives the daemon in a file, and a log of reads.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { closeBackings } from "./blobs.ts";
import { header } from "./image/manifest.ts";
import { lazyShared } from "./lazy-shared.ts";
import { newReadLog } from "./read-log.ts";
import type { SharedBinding } from "./worker-messages.ts";

/** A manifest, and what was read of it (read-log.ts). */
export interface Shown {
  manifest: SharedArrayBuffer;
  reads: SharedArrayBuffer;
}

/** The tables of one mount, by binding. */
export type Tables = Map<number, Int32Array>;

export interface Bound {
  bind(of: { id: number; tables: Tables }, high: number, manifest: SharedArrayBuffer): SharedBinding;
  /** The same with a log of what is read of it; a daemon that takes over begins anew. */
  bindLogged(
    of: { id: number; tables: Tables },
    high: number,
    manifest: SharedArrayBuffer,
  ): { binding: SharedBinding; shown: Shown };
  /** Gives the backing files of one binding back to the kernel, after the workers have let go of it. */
  unbind(of: { id: number; tables: Tables; fds: readonly number[] }, high: number): void;
  /** The mount is no more. */
  forget(of: { id: number; tables: Tables }): void;
}

const inodeCount = (manifest: SharedArrayBuffer): number => new DataView(manifest).getUint32(header.inodeCount, true);

/** `run`: the folder for the tables' files. */
export function createBound(run: string): Bound {
  const fileOf = (mount: number, high: number): string => join(run, `${mount}-${high}.backing`);

  const bind: Bound["bind"] = ({ id, tables }, high, manifest) => {
    const backing = lazyShared(inodeCount(manifest) * 4);
    const file = fileOf(id, high);
    // A daemon before us has left it: the kernel still has the backing files of handles that are open.
    if (existsSync(file)) readFileSync(file).copy(Buffer.from(backing));
    tables.set(high, new Int32Array(backing));
    return { high, manifest, backing, backingFile: file, reads: undefined };
  };

  return {
    bind,
    bindLogged(of, high, manifest) {
      const reads = newReadLog();
      return { binding: { ...bind(of, high, manifest), reads }, shown: { manifest, reads } };
    },
    unbind({ id, tables, fds }, high) {
      closeBackings(fds[0] as number, tables.get(high) as Int32Array);
      tables.delete(high);
      rmSync(fileOf(id, high), { force: true });
    },
    forget({ id, tables }) {
      for (const high of tables.keys()) rmSync(fileOf(id, high), { force: true });
    },
  };
}

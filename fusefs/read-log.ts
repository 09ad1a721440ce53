// ⑤ Which files of a mount were opened, or which chunks of them read, in order: the worker writes, the main thread reads, nobody is asked.

import { pieceBytesOf } from "../base/partial-blob.ts";
import { digestOf, type Manifest } from "./image/manifest.ts";
import { lazyShared } from "./lazy-shared.ts";

/** A content that somebody wanted, or a chunk of it. */
export interface SeenRead {
  digest: string;
  chunk?: number;
}

/** A first start reads hundreds of files; of more than these the order does not matter any more. */
const CAPACITY = 8192;
/** Int32: how many, then pairs of inode and (0 for an open, else the chunk + 1). */
export const newReadLog = (): SharedArrayBuffer => lazyShared((1 + 2 * CAPACITY) * 4);

export interface ReadLog {
  opened(inode: number): void;
  /** `size`: of the file, which tells its chunks. */
  readChunks(inode: number, size: number, offset: number, bytes: number): void;
}

export function createReadLog(shared: SharedArrayBuffer): ReadLog {
  const words = new Int32Array(shared);
  const known = new Set<number>();

  function add(inode: number, what: number): void {
    const key = inode * 0x1_0000_0000 + what;
    if (known.has(key) || known.size === CAPACITY) return;
    known.add(key);
    const at = Atomics.add(words, 0, 1);
    if (at >= CAPACITY) return;
    words[1 + 2 * at] = inode + 1;
    words[2 + 2 * at] = what;
  }

  return {
    opened: (inode) => add(inode, 0),
    readChunks(inode, size, offset, bytes) {
      const chunkBytes = pieceBytesOf(size);
      const last = Math.floor((offset + bytes - 1) / chunkBytes);
      for (let chunk = Math.floor(offset / chunkBytes); chunk <= last; chunk++) add(inode, chunk + 1);
    },
  };
}

/** An open counts as a read of the whole, but for files with chunks, of which those count that were read: unless the kernel reads by itself. */
export function seenReads(shared: SharedArrayBuffer, manifest: Manifest): SeenRead[] {
  const words = new Int32Array(shared);
  const count = Math.min(Atomics.load(words, 0), CAPACITY);
  const reads = new Map<string, SeenRead>(); // workers may say the same
  const byChunks = new Set<number>();
  for (let at = 0; at < count; at++) if ((words[2 + 2 * at] as number) > 0) byChunks.add((words[1 + 2 * at] as number) - 1);
  for (let at = 0; at < count; at++) {
    const inode = (words[1 + 2 * at] as number) - 1;
    const chunk = (words[2 + 2 * at] as number) - 1;
    if (inode < 0 || (chunk < 0 && byChunks.has(inode))) continue;
    const digest = digestOf(manifest, inode);
    reads.set(`${digest}:${chunk}`, chunk < 0 ? { digest } : { digest, chunk });
  }
  return [...reads.values()];
}

// ⑤ How a worker gets at the content of a file: a backing file that the kernel reads by itself, or descriptors that we read from.

import { constants, fstatSync } from "node:fs";
import type { BackingTable } from "./backing-table.ts";
import { createPartialFiles } from "./partial-files.ts";
import { close, ioctl, lastErrno, open, pread } from "./syscalls.ts";
import { errno, fuseIoctl } from "./wire/constants.ts";
import { backingMap } from "./wire/structs.ts";

/**
 * States of an inode in the shared `backing` table (Int32 for each inode of a binding). A positive number is its backing id, which
 * stays for the binding's life: reopening an inode with another id while an old handle is open gives EIO.
 */
const UNOPENED = 0;
const READ_THROUGH = -1; // the kernel refused a backing file for it: we answer its READs
const CLOSED = -2; // the binding is gone
// One handle reads through us until the blob is whole, two, … While there is one, the kernel refuses a backing file for the inode.
const ONE_READER = -10;

/** A backing id (> 0), 0 for "we answer its READs", or a negative errno; -ENOENT when the store lacks the blob, or handles read what there is of it. */
type Backing = number;

export interface BlobFiles {
  backing(fd: number, table: BackingTable, inode: number, digest: string, sizeBytes: number): Backing;
  /** One more handle that reads what has arrived; false when the inode has a backing file meanwhile, or is gone. */
  addReader(table: BackingTable, inode: number): boolean;
  removeReader(table: BackingTable, inode: number): void;
  /** 0 when the blob is here and has that size, else a negative errno. */
  check(digest: string, sizeBytes: number): number;
  /** Of the chunks that a range lies in, those that are not here, after `read` has said so. */
  missing(digest: string, sizeBytes: number, offset: number, bytes: number): number[];
  /** Bytes read into `target`, or a negative errno. */
  read(digest: string, sizeBytes: number, target: Buffer, bytes: number, offset: number): number;
}

// Descriptors kept for READs: enough for the libraries that one interpreter maps at once.
const KEPT_DESCRIPTORS = 256;

export function createBlobFiles(store: string): BlobFiles {
  const map = Buffer.alloc(backingMap.sizeof);
  const id = Buffer.alloc(4);
  const kept = new Map<string, number>();
  const partial = createPartialFiles(store);

  /** A descriptor, or a negative errno. A blob of another size than the manifest says is damaged: EIO. */
  function openBlob(digest: string, sizeBytes: number): number {
    const fd = open(`${store}/${digest.slice(0, 2)}/${digest}`, constants.O_RDONLY | 0o2000000); // O_CLOEXEC
    if (fd < 0) return -lastErrno();
    if (fstatSync(fd).size === sizeBytes) return fd;
    close(fd);
    return -errno.EIO;
  }

  function keptDescriptor(digest: string, sizeBytes: number): number {
    const known = kept.get(digest);
    if (known !== undefined) {
      kept.delete(digest); // to the end: least recently used first
      kept.set(digest, known);
      return known;
    }
    const fd = openBlob(digest, sizeBytes);
    if (fd < 0) return fd;
    kept.set(digest, fd);
    if (kept.size > KEPT_DESCRIPTORS) {
      const [oldest, oldestFd] = kept.entries().next().value as [string, number];
      kept.delete(oldest);
      close(oldestFd);
    }
    return fd;
  }

  return {
    backing(fuseFd, table, inode, digest, sizeBytes) {
      const known = table.get(inode);
      if (known > 0) return known;
      if (known === READ_THROUGH) return 0;
      if (known === CLOSED) return -errno.ESTALE;
      if (known <= ONE_READER) return -errno.ENOENT;
      const fd = openBlob(digest, sizeBytes);
      if (fd < 0) return fd;
      map.writeInt32LE(fd, backingMap.fd);
      const opened = ioctl(fuseFd, fuseIoctl.backingOpen, map);
      close(fd); // the kernel holds the file now
      // Two workers may open one inode at once: the first to enter its id has won.
      const before = table.swap(inode, UNOPENED, opened > 0 ? opened : READ_THROUGH);
      if (before === UNOPENED) return Math.max(opened, 0);
      if (opened > 0) {
        id.writeInt32LE(opened, 0);
        ioctl(fuseFd, fuseIoctl.backingClose, id);
      }
      if (before === CLOSED) return -errno.ESTALE;
      if (before <= ONE_READER) return -errno.ENOENT;
      return Math.max(before, 0);
    },
    addReader(table, inode) {
      for (;;) {
        const known = table.get(inode);
        if (known === READ_THROUGH) return true; // and stays so
        if (known > 0 || known === CLOSED) return false;
        const next = known === UNOPENED ? ONE_READER : known - 1;
        if (table.swap(inode, known, next) === known) return true;
      }
    },
    removeReader(table, inode) {
      for (;;) {
        const known = table.get(inode);
        if (known > ONE_READER) return;
        const next = known === ONE_READER ? UNOPENED : known + 1;
        if (table.swap(inode, known, next) === known) return;
      }
    },
    missing: partial.missing,
    check(digest, sizeBytes) {
      const fd = keptDescriptor(digest, sizeBytes);
      return Math.min(fd, 0);
    },
    read(digest, sizeBytes, target, bytes, offset) {
      const fd = keptDescriptor(digest, sizeBytes);
      if (fd === -errno.ENOENT) return partial.read(digest, sizeBytes, target, bytes, offset);
      if (fd < 0) return fd;
      const count = pread(fd, target, bytes, offset);
      return count < 0 ? -lastErrno() : count;
    },
  };
}

/** Gives all backing files of a binding back to the kernel; open handles keep theirs. Later opens of the binding get ESTALE. */
export function closeBackings(fuseFd: number, table: Int32Array): void {
  const id = Buffer.alloc(4);
  for (let inode = 0; inode < table.length; inode++) {
    const before = Atomics.exchange(table, inode, CLOSED);
    if (before <= 0) continue;
    id.writeInt32LE(before, 0);
    ioctl(fuseFd, fuseIoctl.backingClose, id);
  }
}

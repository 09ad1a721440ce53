// ⑤ What a worker knows of each inode's backing file, shared by the workers and written to a file for a daemon that comes after.

import { constants } from "node:fs";
import { close, open, pwrite } from "./syscalls.ts";

/** Int32 for each inode of a binding; blobs.ts says what the numbers mean. */
export interface BackingTable {
  get(inode: number): number;
  /** Enters `next` where `expected` stands; gives what stood there. What was entered is in the file before this returns. */
  swap(inode: number, expected: number, next: number): number;
  close(): void;
}

const WRITE = constants.O_WRONLY | constants.O_CREAT | 0o2000000; // O_CLOEXEC

/** `states`: Int32, shared. The file comes up with the first entry; one that cannot be written costs only what it was for. */
export function openBackingTable(states: SharedArrayBuffer, file: string): BackingTable {
  const table = new Int32Array(states);
  const value = Buffer.alloc(4);
  let fd = -1;

  function write(inode: number): void {
    if (fd < 0) fd = open(file, WRITE, 0o600);
    let written: number;
    do {
      written = Atomics.load(table, inode);
      value.writeInt32LE(written);
      pwrite(fd, value, inode * 4);
    } while (Atomics.load(table, inode) !== written); // another worker was faster
  }

  return {
    get: (inode) => Atomics.load(table, inode),
    swap(inode, expected, next) {
      const before = Atomics.compareExchange(table, inode, expected, next);
      if (before === expected) write(inode);
      return before;
    },
    close() {
      if (fd >= 0) close(fd);
      fd = -1;
    },
  };
}

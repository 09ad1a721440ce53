// ⑤ The FUSE protocol as one table: what the kernel may ask, how long a request is at least, who answers it, how long the answer is.

import { errno } from "./constants.ts";
import { attr, attrOut, entryOut, getxattrIn, interruptIn, openIn, openOut, readIn, releaseIn, statfsOut } from "./structs.ts";

/** The requests that a file system of ours answers itself; one function each in serve.ts. */
export type HandlerName =
  | "lookup"
  | "getattr"
  | "readlink"
  | "open"
  | "read"
  | "statfs"
  | "release"
  | "opendir"
  | "readdir"
  | "readdirplus"
  | "getxattr"
  | "listxattr"
  | "interrupt";

/** `silent`: the kernel expects no answer. A number: answered with that errno, always. */
type Answer = HandlerName | "silent" | number;

export interface OpcodeRow {
  readonly opcode: number;
  readonly name: string;
  /** Least bytes after the header. */
  readonly bodyBytes: number;
  /** Payload of a good answer: its exact size, or "upTo" what was asked for. */
  readonly reply: number | "upTo";
  readonly answer: Answer;
}

const NAME = 2; // one character and a NUL
const { ENOSYS, EROFS, ENOTTY } = errno;

// biome-ignore format: one row an opcode
export const opcodeTable: readonly OpcodeRow[] = [
  { opcode: 1,  name: "LOOKUP",       bodyBytes: NAME, reply: entryOut.sizeof + attr.sizeof, answer: "lookup" },
  { opcode: 2,  name: "FORGET",       bodyBytes: 8,  reply: 0, answer: "silent" }, // the server keeps nothing per lookup
  { opcode: 3,  name: "GETATTR",      bodyBytes: 16, reply: attrOut.sizeof + attr.sizeof, answer: "getattr" },
  { opcode: 4,  name: "SETATTR",      bodyBytes: 88, reply: 0, answer: EROFS },
  { opcode: 5,  name: "READLINK",     bodyBytes: 0,  reply: "upTo", answer: "readlink" },
  { opcode: 6,  name: "SYMLINK",      bodyBytes: NAME, reply: 0, answer: EROFS },
  { opcode: 8,  name: "MKNOD",        bodyBytes: 16, reply: 0, answer: EROFS },
  { opcode: 9,  name: "MKDIR",        bodyBytes: 8,  reply: 0, answer: EROFS },
  { opcode: 10, name: "UNLINK",       bodyBytes: NAME, reply: 0, answer: EROFS },
  { opcode: 11, name: "RMDIR",        bodyBytes: NAME, reply: 0, answer: EROFS },
  { opcode: 12, name: "RENAME",       bodyBytes: 8,  reply: 0, answer: EROFS },
  { opcode: 13, name: "LINK",         bodyBytes: 8,  reply: 0, answer: EROFS },
  { opcode: 14, name: "OPEN",         bodyBytes: openIn.sizeof, reply: openOut.sizeof, answer: "open" },
  { opcode: 15, name: "READ",         bodyBytes: readIn.sizeof, reply: "upTo", answer: "read" },
  { opcode: 16, name: "WRITE",        bodyBytes: 40, reply: 0, answer: EROFS },
  { opcode: 17, name: "STATFS",       bodyBytes: 0,  reply: statfsOut.sizeof, answer: "statfs" },
  { opcode: 18, name: "RELEASE",      bodyBytes: releaseIn.sizeof, reply: 0, answer: "release" },
  { opcode: 20, name: "FSYNC",        bodyBytes: 16, reply: 0, answer: ENOSYS }, // ENOSYS once: the kernel asks no more
  { opcode: 21, name: "SETXATTR",     bodyBytes: 8,  reply: 0, answer: ENOSYS },
  { opcode: 22, name: "GETXATTR",     bodyBytes: getxattrIn.sizeof + NAME, reply: "upTo", answer: "getxattr" },
  { opcode: 23, name: "LISTXATTR",    bodyBytes: getxattrIn.sizeof, reply: "upTo", answer: "listxattr" },
  { opcode: 24, name: "REMOVEXATTR",  bodyBytes: NAME, reply: 0, answer: ENOSYS },
  { opcode: 25, name: "FLUSH",        bodyBytes: 24, reply: 0, answer: ENOSYS },
  { opcode: 26, name: "INIT",         bodyBytes: 16, reply: 0, answer: ENOSYS }, // answered in session.ts, before a worker sees the mount
  { opcode: 27, name: "OPENDIR",      bodyBytes: openIn.sizeof, reply: openOut.sizeof, answer: "opendir" },
  { opcode: 28, name: "READDIR",      bodyBytes: readIn.sizeof, reply: "upTo", answer: "readdir" },
  { opcode: 29, name: "RELEASEDIR",   bodyBytes: 24, reply: 0, answer: "release" },
  { opcode: 30, name: "FSYNCDIR",     bodyBytes: 16, reply: 0, answer: ENOSYS },
  { opcode: 31, name: "GETLK",        bodyBytes: 48, reply: 0, answer: ENOSYS },
  { opcode: 32, name: "SETLK",        bodyBytes: 48, reply: 0, answer: ENOSYS },
  { opcode: 33, name: "SETLKW",       bodyBytes: 48, reply: 0, answer: ENOSYS },
  { opcode: 34, name: "ACCESS",       bodyBytes: 8,  reply: 0, answer: ENOSYS }, // the kernel checks modes itself (default_permissions)
  { opcode: 35, name: "CREATE",       bodyBytes: 16, reply: 0, answer: EROFS },
  { opcode: 36, name: "INTERRUPT",    bodyBytes: interruptIn.sizeof, reply: 0, answer: "interrupt" },
  { opcode: 37, name: "BMAP",         bodyBytes: 16, reply: 0, answer: ENOSYS },
  { opcode: 38, name: "DESTROY",      bodyBytes: 0,  reply: 0, answer: "silent" },
  { opcode: 39, name: "IOCTL",        bodyBytes: 32, reply: 0, answer: ENOTTY }, // Python asks every file whether it is a terminal
  { opcode: 40, name: "POLL",         bodyBytes: 24, reply: 0, answer: ENOSYS },
  { opcode: 41, name: "NOTIFY_REPLY", bodyBytes: 0,  reply: 0, answer: "silent" },
  { opcode: 42, name: "BATCH_FORGET", bodyBytes: 8,  reply: 0, answer: "silent" },
  { opcode: 43, name: "FALLOCATE",    bodyBytes: 32, reply: 0, answer: EROFS },
  { opcode: 44, name: "READDIRPLUS",  bodyBytes: readIn.sizeof, reply: "upTo", answer: "readdirplus" },
  { opcode: 45, name: "RENAME2",      bodyBytes: 16, reply: 0, answer: EROFS },
  { opcode: 46, name: "LSEEK",        bodyBytes: 24, reply: 0, answer: ENOSYS },
  { opcode: 47, name: "COPY_FILE_RANGE", bodyBytes: 56, reply: 0, answer: ENOSYS },
  { opcode: 50, name: "SYNCFS",       bodyBytes: 8,  reply: 0, answer: ENOSYS },
  { opcode: 51, name: "TMPFILE",      bodyBytes: 16, reply: 0, answer: EROFS },
  { opcode: 52, name: "STATX",        bodyBytes: 24, reply: 0, answer: ENOSYS },
];

export const OPCODE_LIMIT = 64;

/** The rows by opcode; a number given twice, or past the limit, throws at start. */
export const opcodeRows: readonly (OpcodeRow | undefined)[] = (() => {
  const rows: (OpcodeRow | undefined)[] = new Array(OPCODE_LIMIT).fill(undefined);
  for (const row of opcodeTable) {
    if (row.opcode >= OPCODE_LIMIT || rows[row.opcode])
      throw new Error(`FUSE table: opcode ${row.opcode} of ${row.name} is taken or too large`);
    rows[row.opcode] = row;
  }
  return rows;
})();

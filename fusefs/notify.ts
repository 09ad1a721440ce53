// ⑤ What a FUSE daemon tells the kernel without being asked: in the place of an error, with unique 0.

import { lastErrno, write } from "./syscalls.ts";
import { NOTIFY_INVAL_ENTRY, NOTIFY_RESEND } from "./wire/constants.ts";
import { notifyInvalEntryOut, outHeader } from "./wire/structs.ts";

function notify(fd: number, code: number, payload: Buffer): number {
  const message = Buffer.concat([Buffer.alloc(outHeader.sizeof), payload]);
  message.writeUInt32LE(message.length, outHeader.len);
  message.writeInt32LE(code, outHeader.error);
  return write(fd, message, message.length) < 0 ? lastErrno() : 0;
}

/** The kernel forgets that name and all below it. `parent`: lower half of a node id, tree-roots.ts. ENOENT: it never asked for it. */
export function forgetName(fd: number, parent: number, child: string): number {
  const name = Buffer.from(`${child}\0`, "utf8");
  const head = Buffer.alloc(notifyInvalEntryOut.sizeof);
  head.writeUInt32LE(parent, notifyInvalEntryOut.parent);
  head.writeUInt32LE(name.length - 1, notifyInvalEntryOut.namelen);
  return notify(fd, NOTIFY_INVAL_ENTRY, Buffer.concat([head, name]));
}

/** For a daemon that has taken over a connection, before it reads from it: what was read and not answered comes again. 0, or an errno. */
export const resendRequests = (fd: number): number => notify(fd, NOTIFY_RESEND, Buffer.alloc(0));

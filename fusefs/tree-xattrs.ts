// ⑤ Extended attributes of an image, as the kernel asks for them.

import type { Manifest } from "./image/manifest.ts";
import { findXattr, xattrName, xattrsOf } from "./image/tables.ts";
import { errno } from "./wire/constants.ts";
import type { Reply } from "./wire/reply.ts";

/**
 * What an image itself calls trusted.overlay.NAME is shown as trusted.overlay.overlay.NAME: the overlay of a container, which lies on top,
 * would follow it (a redirect, an opaque directory) as its own. It gives names with this prefix on without it (Linux 6.7, "nesting overlayfs mounts").
 */
const OVERLAY = Buffer.from("trusted.overlay.");
const ESCAPED = Buffer.from("trusted.overlay.overlay.");

const beginsWith = (name: Buffer, from: number, to: number, prefix: Buffer): boolean =>
  to - from > prefix.length && name.compare(prefix, 0, prefix.length, from, from + prefix.length) === 0;

/** Payload with the data, or with its size when nothing is asked for but that; or a negative errno. */
function reply(into: Reply, data: Buffer, maxBytes: number): number {
  if (maxBytes === 0) {
    into.payload.writeUInt32LE(data.length, 0);
    into.payload.writeUInt32LE(0, 4);
    return 8; // struct fuse_getxattr_out
  }
  return data.length > maxBytes ? -errno.ERANGE : data.copy(into.payload);
}

/** The attribute called name[from..to). */
export function replyXattr(
  into: Reply,
  manifest: Manifest,
  inode: number,
  { name, from, to, maxBytes }: { name: Buffer; from: number; to: number; maxBytes: number },
): number {
  let value: Buffer | undefined;
  if (beginsWith(name, from, to, ESCAPED)) {
    const own = Buffer.concat([OVERLAY, name.subarray(from + ESCAPED.length, to)]);
    value = findXattr(manifest, inode, own, 0, own.length);
  } else if (!beginsWith(name, from, to, OVERLAY)) value = findXattr(manifest, inode, name, from, to);
  return value ? reply(into, value, maxBytes) : -errno.ENODATA;
}

/** All names, each with a NUL behind it. */
export function replyXattrNames(into: Reply, manifest: Manifest, inode: number, maxBytes: number): number {
  const pieces: Buffer[] = [];
  for (let { first, end } = xattrsOf(manifest, inode); first < end; first++) {
    const name = xattrName(manifest, first);
    const isOverlays = beginsWith(name, 0, name.length, OVERLAY);
    pieces.push(...(isOverlays ? [ESCAPED, name.subarray(OVERLAY.length)] : [name]), Buffer.alloc(1));
  }
  return reply(into, Buffer.concat(pieces), maxBytes);
}

// ⑤ Answers requests about a mount: an immutable tree (an image), the snapshots of many containers, or the folder of blobs. No state but what it shows.

import { isDigest } from "../base/content-folder.ts";
import type { BackingTable } from "./backing-table.ts";
import { findBlob, isBlobFolder, prefixFolder } from "./blob-folder.ts";
import type { BlobFiles } from "./blobs.ts";
import { digestOf, entryInode, findEntry, type Manifest, sizeOf, targetOf, typeOf, UNCHUNKED_BYTES } from "./image/manifest.ts";
import { chunksOf } from "./image/tables.ts";
import type { ReadLog } from "./read-log.ts";
import { ROOT_NODE, type Roots } from "./tree-roots.ts";
import { replyXattr, replyXattrNames } from "./tree-xattrs.ts";
import { errno, FOREVER_SECONDS, fileType, openFlag } from "./wire/constants.ts";
import type { HandlerName } from "./wire/opcodes.ts";
import * as replies from "./wire/reply.ts";
import { getxattrIn, inHeader, readIn, releaseIn } from "./wire/structs.ts";
import type { Need } from "./worker-messages.ts";

/** A manifest shown under the node ids whose upper half is `high`. */
export interface Binding {
  readonly high: number;
  readonly manifest: Manifest;
  readonly backing: BackingTable;
  readonly reads: ReadLog | undefined;
}

export interface ServedMount {
  readonly id: number;
  readonly fd: number;
  readonly passthrough: boolean;
  /** Only the snapshots mount has roots; bindings[0] is then empty. In an image's mount bindings[0] is the image. */
  readonly roots: Roots | undefined;
  /** The folder of blobs; its bindings are images, from 1 on. */
  readonly isBlobFolder: boolean;
  readonly bindings: (Binding | undefined)[];
}

/** One request, decoded as far as all have in common. `bytes` counts the header. One object, used again for every request. */
export interface Request {
  readonly buffer: Buffer;
  bytes: number;
  readonly node: replies.NodeId;
  /** It was deferred before, and what it needed should be here now: do not defer it again. */
  retried: boolean;
  /** Set by a handler that returns DEFERRED. */
  need: Need | undefined;
}

/** Handlers return the payload's bytes, a negative errno, or one of these. */
export const DEFERRED = -1_000_001;
export const NO_REPLY = -1_000_002;

export interface ServingContext {
  readonly reply: replies.Reply;
  readonly blobs: BlobFiles;
  countPassthrough(): void;
  interrupt(mount: ServedMount, unique: number): void;
  /** Makes what the main thread has already said take effect, before what changes is looked up or listed. */
  catchUp(): void;
}

export type Handler = (mount: ServedMount, request: Request) => number;

const BODY = inHeader.sizeof;
const READ_THROUGH = openFlag.keepCache | openFlag.noFlush;
/** The handle of those that count as readers of a blob that is not whole; all others are 0. */
const COUNTED = 1;

export function createHandlers(context: ServingContext): Record<HandlerName, Handler> {
  const { reply, blobs } = context;

  /** The manifest that a request is about; undefined at the upper levels of the snapshots mount and for what is gone. */
  function bindingOf(mount: ServedMount, node: replies.NodeId): Binding | undefined {
    // Another worker may have shown the kernel what this one has not heard of yet.
    if (!mount.bindings[node.high] && (mount.roots || mount.isBlobFolder)) context.catchUp();
    const binding = mount.bindings[node.high];
    return binding && node.low >= 1 && node.low <= binding.manifest.inodeCount ? binding : undefined;
  }

  const hasXattrs = (mount: ServedMount): boolean => (mount.bindings[0]?.manifest.xattrs.length ?? 0) > 0;

  const isRootLevel = (mount: ServedMount, node: replies.NodeId): boolean => mount.roots !== undefined && node.high === 0;
  const isAboveBlobs = (mount: ServedMount, node: replies.NodeId): boolean => mount.isBlobFolder && node.high === 0;

  function lookup(mount: ServedMount, request: Request): number {
    const { buffer, node } = request;
    const end = request.bytes - 1; // the name ends with a NUL
    if (isAboveBlobs(mount, node)) return lookupBlob(mount, node, buffer.toString("latin1", BODY, end));
    if (isRootLevel(mount, node)) return lookupRoot(mount, mount.roots as Roots, request, buffer.toString("utf8", BODY, end));
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    const directory = node.low - 1;
    if (typeOf(binding.manifest, directory) !== fileType.directory) return -errno.ENOTDIR;
    const entry = findEntry(binding.manifest, directory, buffer, BODY, end);
    if (entry < 0) return replies.replyNoEntry(reply);
    return replies.replyEntry(reply, binding.manifest, binding.high, entryInode(binding.manifest, entry));
  }

  function lookupRoot(mount: ServedMount, roots: Roots, request: Request, name: string): number {
    context.catchUp();
    const { low } = request.node;
    if (low === 1) {
      const container = roots.container(name);
      // Believed for 0 seconds: a container may go.
      return container ? replies.replyPlainDirectoryEntry(reply, { high: 0, low: container }, 0) : -errno.ENOENT;
    }
    const container = roots.containerName(low);
    if (container === undefined) return -errno.ESTALE;
    const high = roots.snapshot(container, name);
    const binding = mount.bindings[high];
    if (high !== 0 && binding) return replies.replyEntry(reply, binding.manifest, high, 0);
    if (request.retried || !isDigest(name)) return -errno.ENOENT; // who looks for .git above the project does not wait
    request.need = { kind: "snapshot", container, snapshot: name };
    return DEFERRED;
  }

  function lookupBlob(mount: ServedMount, node: replies.NodeId, name: string): number {
    if (node.low === ROOT_NODE) {
      const low = prefixFolder(name);
      return low === 0 ? -errno.ENOENT : replies.replyPlainDirectoryEntry(reply, { high: 0, low }, FOREVER_SECONDS);
    }
    if (!isDigest(name) || prefixFolder(name.slice(0, 2)) !== node.low) return -errno.ENOENT;
    let blob = findBlob(mount.bindings, name);
    if (!blob) {
      context.catchUp();
      blob = findBlob(mount.bindings, name);
    }
    // Not believed for ever: an image that has it may come.
    return blob ? replies.replyEntry(reply, blob.binding.manifest, blob.binding.high, blob.inode) : -errno.ENOENT;
  }

  function getattr(mount: ServedMount, { node }: Request): number {
    if (isAboveBlobs(mount, node)) return isBlobFolder(node.low) ? replies.replyPlainDirectoryAttr(reply, node) : -errno.ESTALE;
    if (isRootLevel(mount, node)) {
      context.catchUp();
      const known = node.low === 1 || mount.roots?.containerName(node.low) !== undefined;
      return known ? replies.replyPlainDirectoryAttr(reply, node) : -errno.ESTALE;
    }
    const binding = bindingOf(mount, node);
    return binding ? replies.replyAttr(reply, binding.manifest, binding.high, node.low - 1) : -errno.ESTALE;
  }

  function readlink(mount: ServedMount, { node }: Request): number {
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    if (typeOf(binding.manifest, node.low - 1) !== fileType.symlink) return -errno.EINVAL;
    return targetOf(binding.manifest, node.low - 1).copy(reply.payload);
  }

  function missing(request: Request, digest: string): number {
    if (request.retried) return -errno.EIO;
    request.need = { kind: "blob", digest };
    return DEFERRED;
  }

  function open(mount: ServedMount, request: Request): number {
    const { node } = request;
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    const inode = node.low - 1;
    if (typeOf(binding.manifest, inode) !== fileType.regular) return -errno.EINVAL;
    const size = sizeOf(binding.manifest, inode);
    if (size === 0) return replies.replyOpen(reply, READ_THROUGH, 0); // nothing to read: needs no blob
    binding.reads?.opened(inode);
    const digest = digestOf(binding.manifest, inode);
    const backing = mount.passthrough ? blobs.backing(mount.fd, binding.backing, inode, digest, size) : blobs.check(digest, size);
    if (backing === -errno.ENOENT) {
      return chunksOf(binding.manifest, inode) ? openPartial(mount, binding, inode) : missing(request, digest);
    }
    if (backing < 0) return backing;
    if (backing === 0) return replies.replyOpen(reply, READ_THROUGH, 0);
    context.countPassthrough();
    return replies.replyOpen(reply, openFlag.passthrough | openFlag.noFlush, backing);
  }

  /** Its reads wait for what they need, no longer. Who opens it when it is whole, and these handles are closed, bypasses us. */
  function openPartial(mount: ServedMount, binding: Binding, inode: number): number {
    if (!mount.passthrough) return replies.replyOpen(reply, READ_THROUGH, 0);
    return blobs.addReader(binding.backing, inode) ? replies.replyOpen(reply, READ_THROUGH, 0, COUNTED) : -errno.ESTALE;
  }

  function release(mount: ServedMount, { node, buffer }: Request): number {
    if (buffer.readUInt32LE(BODY + releaseIn.fh) !== COUNTED) return 0;
    const binding = bindingOf(mount, node);
    if (binding) blobs.removeReader(binding.backing, node.low - 1);
    return 0;
  }

  function read(mount: ServedMount, request: Request): number {
    const { node, buffer } = request;
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    const inode = node.low - 1;
    if (typeOf(binding.manifest, inode) !== fileType.regular) return -errno.EINVAL;
    const size = sizeOf(binding.manifest, inode);
    const offset = buffer.readUInt32LE(BODY + readIn.offset) + buffer.readUInt32LE(BODY + readIn.offset + 4) * 0x1_0000_0000;
    const bytes = Math.min(buffer.readUInt32LE(BODY + readIn.size), reply.payload.length, size - offset);
    if (bytes <= 0) return 0;
    const digest = digestOf(binding.manifest, inode);
    if (size > UNCHUNKED_BYTES) binding.reads?.readChunks(inode, size, offset, bytes);
    const count = blobs.read(digest, size, reply.payload, bytes, offset);
    if (count !== -errno.ENOENT) return count;
    const chunked = chunksOf(binding.manifest, inode);
    if (!chunked || request.retried) return missing(request, digest);
    const chunks = blobs.missing(digest, size, offset, bytes);
    request.need = {
      kind: "chunks",
      digest,
      chunks: chunks.map((index) => ({ index, digest: chunked.chunks[index] as string, blobBytes: size })),
    };
    return DEFERRED;
  }

  function opendir(mount: ServedMount, { node }: Request): number {
    if (!mount.roots) return -errno.ENOSYS; // once: the kernel then opens and caches directories by itself
    return replies.replyOpen(reply, node.high === 0 ? 0 : openFlag.keepCache | openFlag.cacheDir, 0);
  }

  function list(mount: ServedMount, { node, buffer }: Request, plus: boolean): number {
    const offset = buffer.readUInt32LE(BODY + readIn.offset);
    const listing = { offset, maxBytes: buffer.readUInt32LE(BODY + readIn.size), plus };
    if (isAboveBlobs(mount, node)) return replies.replyPlainListing(reply, [], node, listing); // nobody lists it
    if (isRootLevel(mount, node)) {
      context.catchUp();
      const roots = mount.roots as Roots;
      if (node.low === 1) return replies.replyPlainListing(reply, roots.containerNames(), node, listing);
      const container = roots.containerName(node.low);
      return container === undefined
        ? -errno.ESTALE
        : replies.replyPlainListing(reply, roots.snapshotNames(container), node, listing);
    }
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    if (typeOf(binding.manifest, node.low - 1) !== fileType.directory) return -errno.ENOTDIR;
    return replies.replyListing(reply, binding.manifest, node, listing);
  }

  function getxattr(mount: ServedMount, { node, buffer, bytes }: Request): number {
    if (!hasXattrs(mount)) return -errno.ENOSYS; // once: the kernel then knows that there are none
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    const maxBytes = Math.min(buffer.readUInt32LE(BODY + getxattrIn.size), reply.payload.length);
    const name = { name: buffer, from: BODY + getxattrIn.sizeof, to: bytes - 1, maxBytes };
    return replyXattr(reply, binding.manifest, node.low - 1, name);
  }

  function listxattr(mount: ServedMount, { node, buffer }: Request): number {
    if (!hasXattrs(mount)) return -errno.ENOSYS;
    const binding = bindingOf(mount, node);
    if (!binding) return -errno.ESTALE;
    const maxBytes = Math.min(buffer.readUInt32LE(BODY + getxattrIn.size), reply.payload.length);
    return replyXattrNames(reply, binding.manifest, node.low - 1, maxBytes);
  }

  return {
    lookup,
    getattr,
    getxattr,
    listxattr,
    readlink,
    open,
    read,
    statfs: (mount) => replies.replyStatfs(reply, mount.bindings[0]?.manifest.inodeCount ?? 0),
    release,
    opendir,
    readdir: (mount, request) => list(mount, request, false),
    readdirplus: (mount, request) => list(mount, request, true),
    interrupt(mount, { buffer }) {
      context.interrupt(mount, buffer.readUInt32LE(BODY) + (buffer.readUInt32LE(BODY + 4) & 0x7fff_ffff) * 0x1_0000_0000);
      return NO_REPLY;
    },
  };
}

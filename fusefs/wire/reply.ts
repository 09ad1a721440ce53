// ⑤ Writes answers into the one reply buffer of a worker. Payloads begin behind the header; offsets here count from the payload.

import type { Manifest } from "../image/manifest.ts";
import { entryWord, inodeWord } from "../image/manifest.ts";
import { FOREVER_SECONDS, fileType } from "./constants.ts";
import { attr, attrOut, dirent, entryOut, openOut, outHeader, statfsOut } from "./structs.ts";

const HEADER = outHeader.sizeof;
const ENTRY_BYTES = entryOut.sizeof + attr.sizeof;

export interface Reply {
  readonly buffer: Buffer;
  readonly view: DataView;
  /** The buffer behind the header. */
  readonly payload: Buffer;
}

export function createReply(payloadBytes: number): Reply {
  const buffer = Buffer.from(new ArrayBuffer(HEADER + payloadBytes));
  return { buffer, view: new DataView(buffer.buffer), payload: buffer.subarray(HEADER) };
}

/** A node as the kernel knows it: 32 bits that name the binding, 32 that are the inode's index plus 1. */
export interface NodeId {
  high: number;
  low: number;
}

function writeAttr(view: DataView, at: number, manifest: Manifest, high: number, inode: number): void {
  const base = inode * inodeWord.sizeof;
  const { inodes } = manifest;
  const sizeLow = inodes[base + inodeWord.sizeLow] as number;
  const sizeHigh = inodes[base + inodeWord.sizeHigh] as number;
  const blocks = Math.ceil((sizeHigh * 0x1_0000_0000 + sizeLow) / 512);
  view.setUint32(at + attr.ino, inode + 1, true);
  view.setUint32(at + attr.ino + 4, high, true);
  view.setUint32(at + attr.size, sizeLow, true);
  view.setUint32(at + attr.size + 4, sizeHigh, true);
  view.setUint32(at + attr.blocks, blocks >>> 0, true);
  view.setUint32(at + attr.blocks + 4, Math.floor(blocks / 0x1_0000_0000), true);
  for (const field of times) {
    view.setUint32(at + field, inodes[base + inodeWord.mtimeLow] as number, true);
    view.setUint32(at + field + 4, inodes[base + inodeWord.mtimeHigh] as number, true);
  }
  for (const field of nanoseconds) view.setUint32(at + field, inodes[base + inodeWord.mtimeNanoseconds] as number, true);
  view.setUint32(at + attr.mode, inodes[base + inodeWord.mode] as number, true);
  view.setUint32(at + attr.nlink, inodes[base + inodeWord.linkCount] as number, true);
  view.setUint32(at + attr.uid, inodes[base + inodeWord.uid] as number, true);
  view.setUint32(at + attr.gid, inodes[base + inodeWord.gid] as number, true);
  view.setUint32(at + attr.rdev, deviceNumber(manifest, base), true);
  view.setUint32(at + attr.blksize, 4096, true);
  view.setUint32(at + attr.flags, 0, true);
}

/** new_encode_dev, include/linux/kdev_t.h; 0 for what is no device. */
function deviceNumber({ inodes }: Manifest, base: number): number {
  const type = (inodes[base + inodeWord.mode] as number) & fileType.mask;
  if (type !== fileType.block && type !== fileType.character) return 0;
  const [major, minor] = [inodes[base + inodeWord.first] as number, inodes[base + inodeWord.count] as number];
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

const times = [attr.atime, attr.mtime, attr.ctime] as const;
const nanoseconds = [attr.atimensec, attr.mtimensec, attr.ctimensec] as const;

/** A directory of which only the existence is known: the levels above snapshots. */
function writePlainDirectoryAttr(view: DataView, at: number, node: NodeId): void {
  for (let i = 0; i < attr.sizeof; i += 4) view.setUint32(at + i, 0, true);
  view.setUint32(at + attr.ino, node.low, true);
  view.setUint32(at + attr.ino + 4, node.high, true);
  view.setUint32(at + attr.mode, fileType.directory | 0o755, true);
  view.setUint32(at + attr.nlink, 2, true);
  view.setUint32(at + attr.blksize, 4096, true);
}

function writeEntryHead(view: DataView, at: number, node: NodeId, entrySeconds: number): void {
  view.setUint32(at + entryOut.nodeid, node.low, true);
  view.setUint32(at + entryOut.nodeid + 4, node.high, true);
  for (let i = entryOut.generation; i < entryOut.sizeof; i += 4) view.setUint32(at + i, 0, true);
  view.setUint32(at + entryOut.entryValid, entrySeconds, true);
  view.setUint32(at + entryOut.attrValid, FOREVER_SECONDS, true);
}

const scratch: NodeId = { high: 0, low: 0 };

function writeTreeEntry(view: DataView, at: number, manifest: Manifest, high: number, inode: number): void {
  scratch.high = high;
  scratch.low = inode + 1;
  writeEntryHead(view, at, scratch, FOREVER_SECONDS);
  writeAttr(view, at + entryOut.sizeof, manifest, high, inode);
}

/** fuse_entry_out for an inode of a tree, believed for ever. Each of these functions returns the payload's bytes. */
export function replyEntry(reply: Reply, manifest: Manifest, high: number, inode: number): number {
  writeTreeEntry(reply.view, HEADER, manifest, high, inode);
  return ENTRY_BYTES;
}

/** "There is no such name, and there never will be": saves the kernel from asking again. */
export function replyNoEntry(reply: Reply): number {
  reply.buffer.fill(0, HEADER, HEADER + ENTRY_BYTES);
  reply.view.setUint32(HEADER + entryOut.entryValid, FOREVER_SECONDS, true);
  return ENTRY_BYTES;
}

export function replyPlainDirectoryEntry(reply: Reply, node: NodeId, entrySeconds: number): number {
  writeEntryHead(reply.view, HEADER, node, entrySeconds);
  writePlainDirectoryAttr(reply.view, HEADER + entryOut.sizeof, node);
  return ENTRY_BYTES;
}

function writeAttrHead(view: DataView): number {
  for (let i = 0; i < attrOut.sizeof; i += 4) view.setUint32(HEADER + i, 0, true);
  view.setUint32(HEADER + attrOut.attrValid, FOREVER_SECONDS, true);
  return attrOut.sizeof + attr.sizeof;
}

export function replyAttr(reply: Reply, manifest: Manifest, high: number, inode: number): number {
  writeAttr(reply.view, HEADER + attrOut.sizeof, manifest, high, inode);
  return writeAttrHead(reply.view);
}

export function replyPlainDirectoryAttr(reply: Reply, node: NodeId): number {
  writePlainDirectoryAttr(reply.view, HEADER + attrOut.sizeof, node);
  return writeAttrHead(reply.view);
}

export function replyOpen(reply: Reply, flags: number, backingId: number, handle = 0): number {
  reply.view.setUint32(HEADER + openOut.fh, handle, true);
  reply.view.setUint32(HEADER + openOut.fh + 4, 0, true);
  reply.view.setUint32(HEADER + openOut.openFlags, flags, true);
  reply.view.setUint32(HEADER + openOut.backingId, backingId, true);
  return openOut.sizeof;
}

export function replyStatfs(reply: Reply, files: number): number {
  reply.buffer.fill(0, HEADER, HEADER + statfsOut.sizeof);
  reply.view.setUint32(HEADER + statfsOut.files, files, true);
  reply.view.setUint32(HEADER + statfsOut.bsize, 4096, true);
  reply.view.setUint32(HEADER + statfsOut.frsize, 4096, true);
  reply.view.setUint32(HEADER + statfsOut.namelen, 255, true);
  return statfsOut.sizeof;
}

const DIRECTORY_TYPE = fileType.directory >>> 12;

/** Where a listing continues and how much it may hold. `offset` counts ".", "..", then entries. */
export interface ListingRequest {
  offset: number;
  maxBytes: number;
  /** READDIRPLUS: each name comes with its entry and attributes. */
  plus: boolean;
}

/** Appends names to a listing until the kernel's buffer is full. */
function createListing(reply: Reply, { plus, maxBytes }: ListingRequest) {
  let at = HEADER;
  const end = HEADER + Math.min(maxBytes, reply.payload.length);
  return {
    /** Where to write the fuse_entry_out of the next name, or -1 when it does not fit. */
    room: (nameBytes: number): number => (at + (plus ? ENTRY_BYTES : 0) + dirent.sizeof + ((nameBytes + 7) & ~7) > end ? -1 : at),
    append(name: Buffer, from: number, to: number, node: NodeId, next: number, type: number): void {
      const { view, buffer } = reply;
      if (plus) at += ENTRY_BYTES;
      view.setUint32(at + dirent.ino, node.low, true);
      view.setUint32(at + dirent.ino + 4, node.high, true);
      view.setUint32(at + dirent.off, next, true);
      view.setUint32(at + dirent.off + 4, 0, true);
      view.setUint32(at + dirent.namelen, to - from, true);
      view.setUint32(at + dirent.type, type, true);
      at += dirent.sizeof;
      name.copy(buffer, at, from, to);
      const padded = at + ((to - from + 7) & ~7);
      buffer.fill(0, at + to - from, padded);
      at = padded;
    },
    bytes: () => at - HEADER,
  };
}

const dots = Buffer.from("..", "latin1");

/** "." and ".."; the kernel wants no attributes with them (node id 0). False when the buffer is full. */
function listDots(
  listing: ReturnType<typeof createListing>,
  reply: Reply,
  node: NodeId,
  { offset, plus }: ListingRequest,
): boolean {
  for (let dot = offset; dot < 2; dot++) {
    const at = listing.room(dot + 1);
    if (at < 0) return false;
    if (plus) reply.buffer.fill(0, at, at + ENTRY_BYTES);
    listing.append(dots, 0, dot + 1, node, dot + 1, DIRECTORY_TYPE);
  }
  return true;
}

/** A directory of a tree. */
export function replyListing(reply: Reply, manifest: Manifest, node: NodeId, request: ListingRequest): number {
  const listing = createListing(reply, request);
  if (!listDots(listing, reply, node, request)) return listing.bytes();
  const base = (node.low - 1) * inodeWord.sizeof;
  const first = manifest.inodes[base + inodeWord.first] as number;
  const count = manifest.inodes[base + inodeWord.count] as number;
  const child: NodeId = { high: node.high, low: 0 };
  for (let index = Math.max(0, request.offset - 2); index < count; index++) {
    const entry = (first + index) * entryWord.sizeof;
    const inode = manifest.entries[entry + entryWord.inode] as number;
    const from = manifest.entries[entry + entryWord.nameOffset] as number;
    const to = from + (manifest.entries[entry + entryWord.nameBytes] as number);
    const at = listing.room(to - from);
    if (at < 0) break;
    if (request.plus) writeTreeEntry(reply.view, at, manifest, node.high, inode);
    child.low = inode + 1;
    listing.append(manifest.names, from, to, child, index + 3, (manifest.inodes[inode * inodeWord.sizeof] as number) >>> 12);
  }
  return listing.bytes();
}

/** A directory that holds only directories, listed by name: the levels above snapshots. */
export function replyPlainListing(reply: Reply, names: readonly string[], node: NodeId, request: ListingRequest): number {
  const listing = createListing(reply, request);
  if (!listDots(listing, reply, node, request)) return listing.bytes();
  for (let index = Math.max(0, request.offset - 2); index < names.length; index++) {
    const name = Buffer.from(names[index] as string, "utf8");
    const at = listing.room(name.length);
    if (at < 0) break;
    if (request.plus) reply.buffer.fill(0, at, at + ENTRY_BYTES);
    listing.append(name, 0, name.length, { high: 0, low: index + 0x1000_0000 }, index + 3, DIRECTORY_TYPE);
  }
  return listing.bytes();
}

// ⑤ The manifest of an image or a snapshot: a tree of files as one flat buffer, used in place. docs/image-format.md describes it.

import { textOfBytes } from "../../base/byte-text.ts";
import { fileType } from "../wire/constants.ts";

export const MAGIC = Buffer.from("hobimage", "latin1");
export const VERSION = 1;

/** Each is set only in a manifest that has such a thing. A reader refuses a manifest with a bit that it does not know. */
export const feature = {
  /** Devices, fifos or sockets. */
  special: 1,
  xattrs: 2,
  config: 8,
  // 4 was chunks of 4 MiB, of contents over 8 MiB.
  chunks: 16,
} as const;
export const KNOWN_FEATURES = 27;

/** Byte offsets in the header. All numbers of the format are little-endian. */
export const header = {
  magic: 0,
  version: 8, // u16
  headerBytes: 10, // u16
  features: 12,
  inodeCount: 16,
  entryCount: 20,
  digestCount: 24,
  namesBytes: 28,
  inodesOffset: 32,
  entriesOffset: 36,
  digestsOffset: 40,
  namesOffset: 44,
  totalBytes: 48,
  // Zero without the feature:
  xattrsOffset: 52,
  xattrCount: 56,
  chunkedOffset: 60,
  chunkedCount: 64,
  chunksOffset: 68,
  chunkCount: 72,
  configOffset: 76,
  configBytes: 80,
  reserved: 84, // zero up to the header's end: room for sections to come
  sizeof: 96,
} as const;

/** 32-bit words of an inode record. Inode 0 is the root; FUSE's node id is the index plus 1. */
export const inodeWord = {
  mode: 0, // type and permissions in the lower 16 bits, zero above
  linkCount: 1,
  uid: 2,
  gid: 3,
  mtimeNanoseconds: 4,
  parent: 5, // directories; 0 otherwise
  mtimeLow: 6, // i64 seconds
  mtimeHigh: 7,
  sizeLow: 8, // u64: bytes of a file or of a symlink's target; 0 for directories
  sizeHigh: 9,
  /** file: index of its digest; directory: index of its first entry; symlink: offset of its target in the names; device: major. */
  first: 10,
  /** directory: number of entries; device: minor; 0 otherwise. */
  count: 11,
  sizeof: 12,
} as const;

/** 32-bit words of a directory entry; a directory's entries are sorted by name, bytewise. */
export const entryWord = { inode: 0, nameOffset: 1, nameBytes: 2, sizeof: 3 } as const;

/** 32-bit words of an extended attribute; sorted by inode, then name. Names and values lie in the names. */
export const xattrWord = { inode: 0, nameOffset: 1, nameBytes: 2, valueOffset: 3, valueBytes: 4, sizeof: 5 } as const;

/** The most bytes of an attribute's value: XATTR_SIZE_MAX, include/uapi/linux/limits.h. */
export const XATTR_VALUE_BYTES = 65_536;

/** 32-bit words of a content that has chunks; sorted by digest (an index). Its chunks are in order; the size says how many. */
export const chunkedWord = { digest: 0, firstChunk: 1, sizeLow: 2, sizeHigh: 3, sizeof: 4 } as const;

export const DIGEST_BYTES = 32;

/** The sections in the order in which they lie, without a gap: where the header has them. Those of a feature are there only with it. */
export const sections = {
  inodes: { offset: header.inodesOffset, count: header.inodeCount, recordBytes: inodeWord.sizeof * 4, feature: 0 },
  entries: { offset: header.entriesOffset, count: header.entryCount, recordBytes: entryWord.sizeof * 4, feature: 0 },
  digests: { offset: header.digestsOffset, count: header.digestCount, recordBytes: DIGEST_BYTES, feature: 0 },
  xattrs: {
    offset: header.xattrsOffset,
    count: header.xattrCount,
    recordBytes: xattrWord.sizeof * 4,
    feature: feature.xattrs,
  },
  chunked: {
    offset: header.chunkedOffset,
    count: header.chunkedCount,
    recordBytes: chunkedWord.sizeof * 4,
    feature: feature.chunks,
  },
  chunks: { offset: header.chunksOffset, count: header.chunkCount, recordBytes: DIGEST_BYTES, feature: feature.chunks },
  names: { offset: header.namesOffset, count: header.namesBytes, recordBytes: 1, feature: 0 },
  config: { offset: header.configOffset, count: header.configBytes, recordBytes: 1, feature: feature.config },
} as const;
export type SectionName = keyof typeof sections;

/** Only contents of more bytes than these have chunks: pieces as base/partial-blob.ts keeps them. */
export const UNCHUNKED_BYTES = 2 << 20;

/** A validated manifest. The arrays are views of one buffer, which several threads may share. */
export interface Manifest {
  readonly bytes: Buffer;
  readonly inodeCount: number;
  readonly inodes: Uint32Array;
  readonly entries: Uint32Array;
  readonly digests: Buffer;
  readonly xattrs: Uint32Array;
  readonly chunked: Uint32Array;
  readonly chunks: Buffer;
  readonly names: Buffer;
  readonly config: Buffer;
}

/** Makes the views; `decodeManifest` has checked the header, here or in another thread. */
export function viewManifest(buffer: ArrayBufferLike, byteOffset: number, byteLength: number): Manifest {
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  const section = (name: SectionName): Buffer => {
    const { offset, count, recordBytes } = sections[name];
    const from = bytes.readUInt32LE(offset);
    return bytes.subarray(from, from + bytes.readUInt32LE(count) * recordBytes);
  };
  const words = (name: SectionName): Uint32Array => {
    const { byteOffset: from, byteLength: length } = section(name);
    return new Uint32Array(buffer, from, length / 4);
  };
  return {
    bytes,
    inodeCount: bytes.readUInt32LE(header.inodeCount),
    inodes: words("inodes"),
    entries: words("entries"),
    digests: section("digests"),
    xattrs: words("xattrs"),
    chunked: words("chunked"),
    chunks: section("chunks"),
    names: section("names"),
    config: section("config"),
  };
}

const word = (manifest: Manifest, inode: number, field: number): number =>
  manifest.inodes[inode * inodeWord.sizeof + field] as number;

export const modeOf = (manifest: Manifest, inode: number): number => word(manifest, inode, inodeWord.mode);
export const typeOf = (manifest: Manifest, inode: number): number => word(manifest, inode, inodeWord.mode) & fileType.mask;

/** Bytes; exact up to 2^53, which the decoder enforces. */
export const sizeOf = (manifest: Manifest, inode: number): number =>
  word(manifest, inode, inodeWord.sizeHigh) * 0x1_0000_0000 + word(manifest, inode, inodeWord.sizeLow);

/** First entry and number of entries of a directory. */
export const entriesOf = (manifest: Manifest, directory: number): { first: number; count: number } => ({
  first: word(manifest, directory, inodeWord.first),
  count: word(manifest, directory, inodeWord.count),
});

export function entryName(manifest: Manifest, entry: number): string {
  const at = entry * entryWord.sizeof;
  const offset = manifest.entries[at + entryWord.nameOffset] as number;
  return textOfBytes(manifest.names.subarray(offset, offset + (manifest.entries[at + entryWord.nameBytes] as number)));
}

export const entryInode = (manifest: Manifest, entry: number): number =>
  manifest.entries[entry * entryWord.sizeof + entryWord.inode] as number;

/** The sha256 of a file's content, in hex. */
export function digestOf(manifest: Manifest, file: number): string {
  const offset = word(manifest, file, inodeWord.first) * DIGEST_BYTES;
  return manifest.digests.toString("hex", offset, offset + DIGEST_BYTES);
}

/** A symlink's target, as bytes of the manifest. */
export function targetOf(manifest: Manifest, symlink: number): Buffer {
  const offset = word(manifest, symlink, inodeWord.first);
  return manifest.names.subarray(offset, offset + word(manifest, symlink, inodeWord.sizeLow));
}

/** Of a block or character device. */
export const deviceOf = (manifest: Manifest, inode: number): { major: number; minor: number } => ({
  major: word(manifest, inode, inodeWord.first),
  minor: word(manifest, inode, inodeWord.count),
});

/** The entry of that name (name[from..to)), or -1: a binary search, no allocation. */
export function findEntry(manifest: Manifest, directory: number, name: Buffer, from: number, to: number): number {
  let low = word(manifest, directory, inodeWord.first);
  let high = low + word(manifest, directory, inodeWord.count) - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareName(manifest, middle, name, from, to);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function compareName(manifest: Manifest, entry: number, name: Buffer, from: number, to: number): number {
  const { names } = manifest;
  const at = entry * entryWord.sizeof;
  const offset = manifest.entries[at + entryWord.nameOffset] as number;
  const bytes = manifest.entries[at + entryWord.nameBytes] as number;
  const common = Math.min(bytes, to - from);
  for (let i = 0; i < common; i++) {
    const difference = (names[offset + i] as number) - (name[from + i] as number);
    if (difference !== 0) return difference;
  }
  return bytes - (to - from);
}

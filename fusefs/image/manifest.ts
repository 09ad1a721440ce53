// ⑤ The manifest of an image or a snapshot: a tree of files as one flat buffer, used in place. docs/image-format.md describes it.

import { fileType } from "../wire/constants.ts";

export const MAGIC = Buffer.from("hobimage", "latin1");
export const VERSION = 1;
/** Feature bits that this reader understands; a manifest with any other is refused. None is defined yet. */
export const KNOWN_FEATURES = 0;

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
  reserved: 52, // zero up to the header's end: room for sections to come
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
  /** file: index of its digest; directory: index of its first entry; symlink: offset of its target in the names. */
  first: 10,
  /** directory: number of entries; 0 otherwise. */
  count: 11,
  sizeof: 12,
} as const;

/** 32-bit words of a directory entry; a directory's entries are sorted by name, bytewise. */
export const entryWord = { inode: 0, nameOffset: 1, nameBytes: 2, sizeof: 3 } as const;

export const DIGEST_BYTES = 32;

/** A validated manifest. The arrays are views of one buffer, which several threads may share. */
export interface Manifest {
  readonly bytes: Buffer;
  readonly inodeCount: number;
  readonly inodes: Uint32Array;
  readonly entries: Uint32Array;
  readonly digests: Buffer;
  readonly names: Buffer;
}

/** Makes the views; `decodeManifest` has checked the header, here or in another thread. */
export function viewManifest(buffer: ArrayBufferLike, byteOffset: number, byteLength: number): Manifest {
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  const words = (offset: number, count: number) => new Uint32Array(buffer, byteOffset + bytes.readUInt32LE(offset), count);
  const inodeCount = bytes.readUInt32LE(header.inodeCount);
  const digestsOffset = bytes.readUInt32LE(header.digestsOffset);
  const namesOffset = bytes.readUInt32LE(header.namesOffset);
  return {
    bytes,
    inodeCount,
    inodes: words(header.inodesOffset, inodeCount * inodeWord.sizeof),
    entries: words(header.entriesOffset, bytes.readUInt32LE(header.entryCount) * entryWord.sizeof),
    digests: bytes.subarray(digestsOffset, digestsOffset + bytes.readUInt32LE(header.digestCount) * DIGEST_BYTES),
    names: bytes.subarray(namesOffset, namesOffset + bytes.readUInt32LE(header.namesBytes)),
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
  return manifest.names.toString("utf8", offset, offset + (manifest.entries[at + entryWord.nameBytes] as number));
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

// ⑤ What only some inodes of a manifest have: extended attributes and chunks. Sorted tables, searched by halving.

import { pieceBytesOf } from "../../base/partial-blob.ts";
import { chunkedWord, DIGEST_BYTES, inodeWord, type Manifest, xattrWord } from "./manifest.ts";

/** The first record of a sorted table that `isBefore` does not hold for. */
function firstNotBefore(count: number, isBefore: (record: number) => boolean): number {
  let low = 0;
  for (let high = count; low < high; ) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const xattrField = (manifest: Manifest, record: number, field: number): number =>
  manifest.xattrs[record * xattrWord.sizeof + field] as number;

/** The records of an inode's extended attributes: [first, end). */
export function xattrsOf(manifest: Manifest, inode: number): { first: number; end: number } {
  const count = manifest.xattrs.length / xattrWord.sizeof;
  const first = firstNotBefore(count, (record) => xattrField(manifest, record, xattrWord.inode) < inode);
  let end = first;
  while (end < count && xattrField(manifest, end, xattrWord.inode) === inode) end++;
  return { first, end };
}

export function xattrName(manifest: Manifest, record: number): Buffer {
  const from = xattrField(manifest, record, xattrWord.nameOffset);
  return manifest.names.subarray(from, from + xattrField(manifest, record, xattrWord.nameBytes));
}

export function xattrValue(manifest: Manifest, record: number): Buffer {
  const from = xattrField(manifest, record, xattrWord.valueOffset);
  return manifest.names.subarray(from, from + xattrField(manifest, record, xattrWord.valueBytes));
}

/** The value of the attribute called name[from..to), or undefined. */
export function findXattr(manifest: Manifest, inode: number, name: Buffer, from: number, to: number): Buffer | undefined {
  for (let { first, end } = xattrsOf(manifest, inode); first < end; first++) {
    if (xattrName(manifest, first).compare(name, from, to) === 0) return xattrValue(manifest, first);
  }
  return undefined;
}

/** A content that can be fetched and verified piece by piece. */
export interface ChunkedContent {
  /** sha256 of the whole, in hex. */
  digest: string;
  size: number;
  /** sha256 of each piece, in order. */
  chunks: string[];
}

export const chunkCount = (size: number): number => Math.ceil(size / pieceBytesOf(size));

function chunkedContent(manifest: Manifest, record: number): ChunkedContent {
  const field = (at: number): number => manifest.chunked[record * chunkedWord.sizeof + at] as number;
  const size = field(chunkedWord.sizeHigh) * 0x1_0000_0000 + field(chunkedWord.sizeLow);
  const hex = (buffer: Buffer, index: number): string => buffer.toString("hex", index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  const chunks = Array.from({ length: chunkCount(size) }, (_, index) =>
    hex(manifest.chunks, field(chunkedWord.firstChunk) + index),
  );
  return { digest: hex(manifest.digests, field(chunkedWord.digest)), size, chunks };
}

/** The record of a file's chunks, or -1. */
function chunkedRecord(manifest: Manifest, digest: number): number {
  const { chunked } = manifest;
  const count = chunked.length / chunkedWord.sizeof;
  const digestAt = (record: number): number => chunked[record * chunkedWord.sizeof + chunkedWord.digest] as number;
  const record = firstNotBefore(count, (candidate) => digestAt(candidate) < digest);
  return record < count && digestAt(record) === digest ? record : -1;
}

/** The chunks of a file's content, or undefined where it is known only whole. */
export function chunksOf(manifest: Manifest, file: number): ChunkedContent | undefined {
  if (manifest.chunked.length === 0) return undefined;
  const record = chunkedRecord(manifest, manifest.inodes[file * inodeWord.sizeof + inodeWord.first] as number);
  return record < 0 ? undefined : chunkedContent(manifest, record);
}

/** sha256 of one chunk of a file's content; undefined where there is none. */
export function chunkOf(manifest: Manifest, file: number, chunk: number): string | undefined {
  const record = chunkedRecord(manifest, manifest.inodes[file * inodeWord.sizeof + inodeWord.first] as number);
  if (record < 0) return undefined;
  const index = (manifest.chunked[record * chunkedWord.sizeof + chunkedWord.firstChunk] as number) + chunk;
  return manifest.chunks.toString("hex", index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
}

/** Every content that has chunks. */
export function* chunkedContents(manifest: Manifest): Iterable<ChunkedContent> {
  for (let record = 0; record < manifest.chunked.length / chunkedWord.sizeof; record++) yield chunkedContent(manifest, record);
}

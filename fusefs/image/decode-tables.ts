// ⑤ Checks what only some inodes of a manifest have, after decode.ts has checked the header and the tree.

import { fileType } from "../wire/constants.ts";
import {
  chunkedWord,
  DIGEST_BYTES,
  inodeWord,
  type Manifest,
  sizeOf,
  typeOf,
  UNCHUNKED_BYTES,
  XATTR_VALUE_BYTES,
  xattrWord,
} from "./manifest.ts";
import { chunkCount } from "./tables.ts";

/** What is wrong with the extended attributes, or "". */
export function xattrsFault({ xattrs, names, inodeCount }: Manifest): string {
  let [beforeInode, beforeOffset, beforeEnd] = [-1, 0, 0];
  for (let at = 0; at < xattrs.length; at += xattrWord.sizeof) {
    const field = (word: number): number => xattrs[at + word] as number;
    const record = at / xattrWord.sizeof;
    const inode = field(xattrWord.inode);
    if (inode >= inodeCount) return `attribute ${record} is of an inode that is not there`;
    const offset = field(xattrWord.nameOffset);
    const end = offset + field(xattrWord.nameBytes);
    if (end === offset || end - offset > 255) return `attribute ${record} has a name of impossible length`;
    if (end > names.length) return `the name of attribute ${record} lies outside`;
    if (names.subarray(offset, end).includes(0)) return `the name of attribute ${record} holds a NUL`;
    const ordered =
      inode > beforeInode || (inode === beforeInode && names.compare(names, offset, end, beforeOffset, beforeEnd) < 0);
    if (!ordered) return `attribute ${record} is not in order`;
    if (field(xattrWord.valueBytes) > XATTR_VALUE_BYTES) return `attribute ${record} has a value of impossible length`;
    if (field(xattrWord.valueOffset) + field(xattrWord.valueBytes) > names.length)
      return `the value of attribute ${record} lies outside`;
    [beforeInode, beforeOffset, beforeEnd] = [inode, offset, end];
  }
  return "";
}

/** What is wrong with the chunks, or "". */
export function chunksFault(manifest: Manifest): string {
  const { chunked, digests, chunks } = manifest;
  if (chunked.length === 0) return "";
  const sizes = new Map<number, number>(); // by digest
  let nextChunk = 0;
  let before = -1;
  for (let at = 0; at < chunked.length; at += chunkedWord.sizeof) {
    const field = (word: number): number => chunked[at + word] as number;
    const record = at / chunkedWord.sizeof;
    const digest = field(chunkedWord.digest);
    if (digest >= digests.length / DIGEST_BYTES) return `chunked content ${record} has a digest that is not there`;
    if (digest <= before) return `chunked content ${record} is not in order`;
    before = digest;
    const size = field(chunkedWord.sizeHigh) * 0x1_0000_0000 + field(chunkedWord.sizeLow);
    if (field(chunkedWord.sizeHigh) > 0x1f_ffff) return `chunked content ${record} is impossibly large`;
    if (size <= UNCHUNKED_BYTES) return `chunked content ${record} is too small for chunks`;
    if (field(chunkedWord.firstChunk) !== nextChunk) return `the chunks of content ${record} do not begin where they must`;
    nextChunk += chunkCount(size);
    sizes.set(digest, size);
  }
  if (nextChunk !== chunks.length / DIGEST_BYTES) return "its chunked contents have not as many chunks as there are";
  for (let inode = 0; inode < manifest.inodeCount; inode++) {
    if (typeOf(manifest, inode) !== fileType.regular) continue;
    const size = sizes.get(manifest.inodes[inode * inodeWord.sizeof + inodeWord.first] as number);
    if (size !== undefined && size !== sizeOf(manifest, inode)) return `file ${inode} has another size than its chunks`;
  }
  return "";
}

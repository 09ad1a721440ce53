// ⑤ An image's contents as they are fetched: sizes, chunks, paths and neighbours, found by digest in its manifest.

import { sha256 } from "../../base/content-folder.ts";
import { pieceBytesOf } from "../../base/partial-blob.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import {
  DIGEST_BYTES,
  entriesOf,
  entryInode,
  entryName,
  inodeWord,
  type Manifest,
  sizeOf,
  typeOf,
} from "../../fusefs/image/manifest.ts";
import { chunkCount, chunkOf } from "../../fusefs/image/tables.ts";
import { fileType } from "../../fusefs/wire/constants.ts";
import { fileAt } from "../runner/image-paths.ts";
import type { Wanted } from "./assembly.ts";

export interface ImageContents {
  readonly image: string;
  /** Index in the manifest's digests; -1 when the image has no such content. */
  indexOf(digest: string): number;
  digestAt(index: number): string;
  readonly count: number;
  /** Of all, each once. */
  readonly bytes: number;
  /** How to ask for it: whole, or one chunk. */
  wanted(index: number, chunk?: number): Wanted;
  /** `chunks` is 0 where it is fetched whole only. */
  pieces(index: number): { chunks: number; chunkBytes: number };
  readonly manifest: Manifest;
  /** -1 where the path leads to no file. */
  indexAt(path: string): number;
  /** Of a file. */
  indexOfInode(inode: number): number;
  /** One of the paths of the file. */
  path(index: number): string;
  /** Contents of the other files in its folder, in the order of their names from its own on, then from the first. */
  neighbours(index: number): { folder: number; indexes: number[] };
}

/** sha256 of a chunk that holds zeros only, by its size: never fetched. */
const zeroDigests = new Map<number, string>();
export function isZeros(bytes: number, digest: string): boolean {
  if (!zeroDigests.has(bytes)) zeroDigests.set(bytes, sha256(Buffer.alloc(bytes)));
  return zeroDigests.get(bytes) === digest;
}

/** Reads the manifest once. HobError `corrupt` where it is none. */
export function readContents(image: string, manifestBytes: Uint8Array): ImageContents {
  const manifest = decodeManifest(manifestBytes);
  const { digests, inodes, inodeCount } = manifest;
  const count = digests.length / DIGEST_BYTES;
  const fileOf = new Int32Array(count).fill(-1); // digest → its first file
  const folderOf = new Int32Array(inodeCount).fill(-1); // → the folder and
  const entryOf = new Int32Array(inodeCount).fill(-1); //   the entry that name it first
  for (let inode = 0; inode < inodeCount; inode++) {
    const type = typeOf(manifest, inode);
    if (type === fileType.directory) {
      const { first, count: names } = entriesOf(manifest, inode);
      for (let entry = first; entry < first + names; entry++) {
        const child = entryInode(manifest, entry);
        if (entryOf[child] !== -1) continue;
        entryOf[child] = entry;
        folderOf[child] = inode;
      }
    } else if (type === fileType.regular) {
      const digest = inodes[inode * inodeWord.sizeof + inodeWord.first] as number;
      if (fileOf[digest] === -1) fileOf[digest] = inode;
    }
  }
  const digestAt = (index: number): string => digests.toString("hex", index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  const indexIn = (inode: number): number => inodes[inode * inodeWord.sizeof + inodeWord.first] as number;

  function indexOf(digest: string): number {
    const bytes = Buffer.from(digest, "hex");
    let low = 0;
    let high = count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = digests.compare(bytes, 0, DIGEST_BYTES, middle * DIGEST_BYTES, (middle + 1) * DIGEST_BYTES);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  return {
    image,
    indexOf,
    digestAt,
    count,
    bytes: fileOf.reduce((sum, file) => sum + sizeOf(manifest, file), 0),
    wanted(index, chunk) {
      const digest = digestAt(index);
      const size = sizeOf(manifest, fileOf[index] as number);
      if (chunk === undefined) return { digest, image, bytes: size };
      const offset = chunk * pieceBytesOf(size);
      const bytes = Math.min(pieceBytesOf(size), size - offset);
      return {
        digest,
        image,
        bytes,
        chunk: { index: chunk, digest: chunkOf(manifest, fileOf[index] as number, chunk) ?? "", offset, blobBytes: size },
      };
    },
    pieces: (index) => ({
      chunks: chunkOf(manifest, fileOf[index] as number, 0) ? chunkCount(sizeOf(manifest, fileOf[index] as number)) : 0,
      chunkBytes: pieceBytesOf(sizeOf(manifest, fileOf[index] as number)),
    }),
    manifest,
    indexAt(path) {
      const file = fileAt(manifest, path);
      return file ? indexIn(file.inode) : -1;
    },
    indexOfInode: indexIn,
    path(index) {
      const names: string[] = [];
      for (let inode = fileOf[index] as number; inode > 0; inode = folderOf[inode] as number) {
        names.unshift(entryName(manifest, entryOf[inode] as number));
      }
      return `/${names.join("/")}`;
    },
    neighbours(index) {
      const file = fileOf[index] as number;
      const folder = folderOf[file] as number;
      const { first, count: names } = entriesOf(manifest, folder);
      const own = (entryOf[file] as number) - first;
      const indexes: number[] = [];
      for (let step = 1; step < names; step++) {
        const inode = entryInode(manifest, first + ((own + step) % names));
        if (typeOf(manifest, inode) === fileType.regular && sizeOf(manifest, inode) > 0) indexes.push(indexIn(inode));
      }
      return { folder, indexes };
    },
  };
}

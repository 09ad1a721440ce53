// ⑤ The upper two levels of the folder of blobs: ab/abcd…, the contents of all images that were mounted, at the paths that the store gives them.

import { DIGEST_BYTES, inodeWord, type Manifest, sizeOf, typeOf } from "./image/manifest.ts";
import type { Binding } from "./tree.ts";
import { ROOT_NODE } from "./tree-roots.ts";
import { fileType } from "./wire/constants.ts";

/** Node ids with 0 in the upper half: 1 is the root, 2 + N the folder of digests that begin with the byte N. A content is an inode of its image. */
const FIRST_PREFIX = 2;
const PREFIXES = 256;

const prefixName = /^[0-9a-f]{2}$/;

export const isBlobFolder = (low: number): boolean => low >= ROOT_NODE && low < FIRST_PREFIX + PREFIXES;

/** Node of the folder of that name in the root, or 0. */
export const prefixFolder = (name: string): number => (prefixName.test(name) ? FIRST_PREFIX + Number.parseInt(name, 16) : 0);

/** A file with each of a manifest's contents, by the index of its digest. Made once a manifest and thread. */
const filesOf = new WeakMap<Manifest, Uint32Array>();

function indexFiles(manifest: Manifest): Uint32Array {
  const files = new Uint32Array(manifest.digests.length / DIGEST_BYTES);
  for (let inode = manifest.inodeCount - 1; inode >= 0; inode--) {
    if (typeOf(manifest, inode) !== fileType.regular || sizeOf(manifest, inode) === 0) continue;
    files[manifest.inodes[inode * inodeWord.sizeof + inodeWord.first] as number] = inode;
  }
  return files;
}

/** The inode with that content, or -1: a binary search in the digests, which are sorted. */
function fileWith(manifest: Manifest, digest: Buffer): number {
  const { digests } = manifest;
  let low = 0;
  for (let high = digests.length / DIGEST_BYTES - 1; low <= high; ) {
    const middle = (low + high) >>> 1;
    const order = digests.compare(digest, 0, DIGEST_BYTES, middle * DIGEST_BYTES, (middle + 1) * DIGEST_BYTES);
    if (order === 0) {
      const files = filesOf.get(manifest) ?? indexFiles(manifest);
      filesOf.set(manifest, files);
      return files[middle] || -1; // the root, 0, is no file
    }
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Which image has that content, the first that came: so it stays one inode, whatever comes later. */
export function findBlob(
  bindings: readonly (Binding | undefined)[],
  digest: string,
): { binding: Binding; inode: number } | undefined {
  const bytes = Buffer.from(digest, "hex");
  for (const binding of bindings) {
    if (!binding) continue;
    const inode = fileWith(binding.manifest, bytes);
    if (inode >= 0) return { binding, inode };
  }
  return undefined;
}

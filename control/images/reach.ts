// ④ Which blobs an image or a snapshot leads to, read from the blob alone. docs/image-format.md and common.proto say how they look.

import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import type { ContentFolder, Digest } from "../../base/content-folder.ts";
import { HobError, systemError } from "../../base/errors.ts";
import { callOfValue } from "../../proto/large-value.ts";

const magic = "hobimage";
const headBytes = 128;
// docs/image-format.md: fields of the header, and of an inode
const at = { inodeCount: 16, digestCount: 24, inodesOffset: 32, digestsOffset: 40, totalBytes: 48, headerBytes: 96 };
const inode = { bytes: 48, mode: 0, sizeLow: 32, sizeHigh: 36, digestIndex: 40 };
const [typeMask, regularFile] = [0o170000, 0o100000];
const digestBytes = 32;
/** The first line of a snapshot's text. */
const snapshotLine = /^[0-7]{3,4} [0-9a-f]{64} \d+ /;

/** What a blob is, as far as it leads to others. */
export function kindOf(blobs: Pick<ContentFolder, "path">, digest: Digest): "image" | "snapshot" | "value" | "other" {
  const head = Buffer.alloc(headBytes);
  let read = 0;
  try {
    const descriptor = openSync(blobs.path(digest), "r");
    try {
      read = readSync(descriptor, head, 0, headBytes, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw systemError(`reading blob ${digest.slice(0, 12)}`, error);
  }
  const text = head.toString("latin1", 0, read);
  if (text.startsWith(magic)) return "image";
  if (callOfValue(head) !== undefined) return "value";
  return snapshotLine.test(text) ? "snapshot" : "other";
}

interface Contents {
  digests: Digest[];
  inodes: number;
  manifest: Buffer;
}

/** The contents of an image's files, and how many files, folders and links it has. */
export function contentsOf(blobs: Pick<ContentFolder, "path">, digest: Digest): Contents {
  const manifest = readFileSync(blobs.path(digest));
  const isWhole = manifest.length >= at.headerBytes && manifest.readUInt32LE(at.totalBytes) === manifest.length;
  const start = isWhole ? manifest.readUInt32LE(at.digestsOffset) : 0;
  const end = start + (isWhole ? manifest.readUInt32LE(at.digestCount) * digestBytes : 0);
  if (!isWhole || manifest.toString("latin1", 0, magic.length) !== magic || end > manifest.length) {
    throw new HobError("corrupt", `image ${digest.slice(0, 12)} is no manifest of an image`);
  }
  const digests: Digest[] = [];
  for (let from = start; from < end; from += digestBytes) digests.push(manifest.toString("hex", from, from + digestBytes));
  return { digests, inodes: manifest.readUInt32LE(at.inodeCount), manifest };
}

/** Bytes of each content of an image. */
export function contentSizes(blobs: Pick<ContentFolder, "path">, digest: Digest): Map<Digest, number> {
  const { digests, inodes, manifest } = contentsOf(blobs, digest);
  const sizes = new Map<Digest, number>();
  for (let index = 0; index < inodes; index++) {
    const start = manifest.readUInt32LE(at.inodesOffset) + index * inode.bytes;
    if (start + inode.bytes > manifest.length) break;
    if ((manifest.readUInt32LE(start + inode.mode) & typeMask) !== regularFile) continue;
    const content = digests[manifest.readUInt32LE(start + inode.digestIndex)];
    const size = manifest.readUInt32LE(start + inode.sizeHigh) * 2 ** 32 + manifest.readUInt32LE(start + inode.sizeLow);
    if (content) sizes.set(content, size);
  }
  return sizes;
}

export function filesOfSnapshot(blobs: Pick<ContentFolder, "path">, digest: Digest): Digest[] {
  const lines = readFileSync(blobs.path(digest), "utf8").split("\n");
  return lines.flatMap((line) => line.split(" ", 2)[1] ?? []);
}

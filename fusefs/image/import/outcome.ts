// ⑤ The end of every import: a manifest in the store, and what it amounts to.

import type { ContentFolder } from "../../../base/content-folder.ts";
import type { Lease } from "../../../base/store-work.ts";
import { eachInSlices, inTurns } from "../../../base/turns.ts";
import { fileType } from "../../wire/constants.ts";
import type { ImageConfig } from "../config.ts";
import { encodeInTurns, type ManifestEntry } from "../encode.ts";
import { DIGEST_BYTES, entryInode, entryWord, inodeWord, type Manifest, sizeOf, typeOf } from "../manifest.ts";

export interface ImportedImage {
  digest: string;
  files: number;
  bytes: number;
  /** After storing each content once. */
  storedBytes: number;
}

export interface ImportOptions {
  store: ContentFolder;
  signal?: AbortSignal | undefined;
}

export async function keepManifest(
  store: ContentFolder,
  entries: Iterable<ManifestEntry>,
  { config, lease }: { config?: ImageConfig; lease?: Lease } = {},
): Promise<ImportedImage> {
  const all: ManifestEntry[] = [];
  await inTurns(eachInSlices(entries, (entry) => void all.push(entry)));
  const digest = await store.put(await encodeInTurns(all, config));
  // What a later layer has hidden or replaced was put too, and nothing reaches it.
  lease?.done(new Set([digest, ...all.flatMap((entry) => (entry.kind === "file" ? [entry.digest] : []))]));
  return { digest, ...sizesOf(all) };
}

/** The same of a manifest, without an object for each entry. */
export function sizesOfManifest(manifest: Manifest): Omit<ImportedImage, "digest"> {
  const seen = new Uint8Array(manifest.digests.length / DIGEST_BYTES);
  const sum = { files: 0, bytes: 0, storedBytes: 0 };
  const count = manifest.entries.length / entryWord.sizeof;
  for (let entry = 0; entry < count; entry++) {
    const inode = entryInode(manifest, entry);
    if (typeOf(manifest, inode) !== fileType.regular) continue;
    const size = sizeOf(manifest, inode);
    const content = manifest.inodes[inode * inodeWord.sizeof + inodeWord.first] as number;
    sum.files++;
    sum.bytes += size;
    if (!seen[content]) sum.storedBytes += size;
    seen[content] = 1;
  }
  return sum;
}

export function sizesOf(entries: readonly ManifestEntry[]): Omit<ImportedImage, "digest"> {
  const contents = new Map<string, number>();
  let files = 0;
  let bytes = 0;
  for (const entry of entries) {
    if (entry.kind !== "file") continue;
    files++;
    bytes += entry.size;
    contents.set(entry.digest, entry.size);
  }
  return { files, bytes, storedBytes: [...contents.values()].reduce((sum, size) => sum + size, 0) };
}

// ⑤ The end of every import: a manifest in the store, and what it amounts to.

import type { ContentFolder } from "../../../base/content-folder.ts";
import type { ImageConfig } from "../config.ts";
import { encodeManifest, type ManifestEntry } from "../encode.ts";

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
  entries: readonly ManifestEntry[],
  config?: ImageConfig,
): Promise<ImportedImage> {
  const digest = await store.put(encodeManifest(entries, config));
  return { digest, ...sizesOf(entries) };
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

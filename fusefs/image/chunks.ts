// ⑤ What a manifest says of a file's content: its digest, its size, and the digests of its pieces where it is large.

import { createHash, type Hash } from "node:crypto";
import type { ContentFolder, ContentHash } from "../../base/content-folder.ts";
import { CHUNK_BYTES, UNCHUNKED_BYTES } from "./manifest.ts";

export interface Content {
  digest: string;
  size: number;
  /** Only of contents over 8 MiB. */
  chunks?: string[];
}

export interface ContentHasher extends ContentHash {
  /** Once, after the last piece. */
  content(): Content;
}

/** Takes a content in pieces of any size. */
export function createContentHasher(): ContentHasher {
  const whole = createHash("sha256");
  const chunks: string[] = [];
  let chunk: Hash | undefined; // none for the first one: what the whole's hash is at its end is its digest
  let size = 0;

  function update(data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      const part = data.subarray(at, at + CHUNK_BYTES - (size % CHUNK_BYTES));
      if (size >= CHUNK_BYTES && size % CHUNK_BYTES === 0) chunk = createHash("sha256");
      whole.update(part);
      chunk?.update(part);
      size += part.length;
      at += part.length;
      if (size % CHUNK_BYTES === 0) chunks.push((chunk ?? whole.copy()).digest("hex"));
    }
  }

  let digest = "";
  return {
    update,
    digest: () => (digest ||= whole.digest("hex")),
    content() {
      digest ||= whole.digest("hex");
      if (size <= UNCHUNKED_BYTES) return { digest, size };
      return { digest, size, chunks: size % CHUNK_BYTES === 0 ? chunks : [...chunks, (chunk as Hash).digest("hex")] };
    },
  };
}

/** Keeps a content in the store, blocks of zeros as holes. */
export async function storeContent(
  store: Pick<ContentFolder, "putStream">,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Content> {
  const hasher = createContentHasher();
  await store.putStream(pieces, undefined, hasher);
  return hasher.content();
}

// ⑤ What a manifest says of a file's content: its digest, its size, and the digests of its pieces where it is large.

import { createHash, type Hash } from "node:crypto";
import type { ContentFolder, ContentHash } from "../../base/content-folder.ts";
import { FINE_BLOB_BYTES, pieceBytesOf } from "../../base/partial-blob.ts";
import { UNCHUNKED_BYTES } from "./manifest.ts";

export interface Content {
  digest: string;
  size: number;
  /** Only of contents over 2 MiB. */
  chunks?: string[];
}

export interface ContentHasher extends ContentHash {
  /** Once, after the last piece. */
  content(): Content;
}

/** The digests of a content's pieces of one length. */
interface Pieces {
  readonly bytes: number;
  readonly digests: string[];
  /** Of the piece that has begun; none in the first one: what the whole's hash is at its end is its digest. */
  hash: Hash | undefined;
}

/** Takes a content in parts of any size. Before it is over nobody knows how long its pieces are to be. */
export function createContentHasher(): ContentHasher {
  const whole = createHash("sha256");
  const fine: Pieces = { bytes: pieceBytesOf(0), digests: [], hash: undefined };
  const coarse: Pieces = { bytes: pieceBytesOf(Number.POSITIVE_INFINITY), digests: [], hash: undefined };
  let size = 0;

  function add(pieces: Pieces, part: Uint8Array): void {
    const before = size - part.length;
    if (before > 0 && before % pieces.bytes === 0) pieces.hash = createHash("sha256");
    pieces.hash?.update(part);
    if (size % pieces.bytes !== 0) return;
    pieces.digests.push((pieces.hash ?? whole.copy()).digest("hex"));
    pieces.hash = undefined;
  }

  let digest = "";
  return {
    update(data) {
      for (let at = 0; at < data.length; ) {
        const part = data.subarray(at, at + fine.bytes - (size % fine.bytes)); // the ends of coarse pieces are ends of fine ones
        whole.update(part);
        at += part.length;
        size += part.length;
        if (size <= FINE_BLOB_BYTES) add(fine, part);
        add(coarse, part);
      }
    },
    digest: () => (digest ||= whole.digest("hex")),
    content() {
      digest ||= whole.digest("hex");
      if (size <= UNCHUNKED_BYTES) return { digest, size };
      const { digests, hash } = size <= FINE_BLOB_BYTES ? fine : coarse;
      return { digest, size, chunks: hash ? [...digests, hash.digest("hex")] : digests };
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

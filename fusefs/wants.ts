// ⑤ What the daemon's main thread gets from elsewhere: contents and chunks that a request waits for, and the manifests of images, each checked.

import { type ContentFolder, sha256 } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import { hasPiece } from "../base/partial-blob.ts";
import { checkBlob, checkChunk } from "./arrivals.ts";
import { decodeManifest } from "./image/decode.ts";
import { readShared } from "./shared-file.ts";
import type { NeededChunk } from "./worker-messages.ts";

export interface Wants {
  /** Resolves when it is in the store. */
  blob(digest: string): Promise<void>;
  chunk(digest: string, chunk: NeededChunk): Promise<void>;
  /** One copy for all who show that image, for as long as somebody does. */
  manifest(image: string): Promise<SharedArrayBuffer>;
}

export function createWants(store: ContentFolder, fetch: (digest: string, chunk?: number) => Promise<void>): Wants {
  const manifests = new Map<string, WeakRef<SharedArrayBuffer>>();

  async function blob(digest: string): Promise<void> {
    if (store.has(digest)) return; // it arrived while this was on its way here
    await fetch(digest);
    await checkBlob(store, digest);
  }

  return {
    blob,
    async chunk(digest, chunk) {
      if (store.has(digest) || (await hasPiece(store.root, digest, chunk.index))) return;
      await fetch(digest, chunk.index);
      await checkChunk(store, digest, chunk);
    },
    async manifest(image) {
      const known = manifests.get(image)?.deref();
      if (known) return known;
      await blob(image);
      const shared = await readShared(store.path(image));
      const bytes = new Uint8Array(shared);
      if (sha256(bytes) !== image) throw new HobError("corrupt", `image ${image.slice(0, 12)}: its manifest has another digest`);
      decodeManifest(bytes);
      manifests.set(image, new WeakRef(shared));
      return shared;
    },
  };
}

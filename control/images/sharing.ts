// ④⑧ How much of each image is in others of the pool too: worked out anew only when there is another image.

import type { ContentFolder, Digest } from "../../base/content-folder.ts";
import { contentSizes } from "./reach.ts";

export interface Sharing {
  /** Bytes of each image's contents that another of these images has. Images of which control has no manifest have none. */
  among(images: ReadonlySet<Digest>): ReadonlyMap<Digest, number>;
}

export function createSharing(blobs: ContentFolder): Sharing {
  let known: ReadonlyMap<Digest, number> = new Map();
  let of = "";
  return {
    among(images) {
      const text = [...images].sort().join();
      if (text === of) return known;
      of = text;
      const sizes = [...images].flatMap((image) => (blobs.has(image) ? [[image, contentSizes(blobs, image)] as const] : []));
      const holders = new Map<Digest, number>();
      for (const [, contents] of sizes) for (const digest of contents.keys()) holders.set(digest, (holders.get(digest) ?? 0) + 1);
      known = new Map(
        sizes.map(([image, contents]) => {
          let shared = 0;
          for (const [digest, bytes] of contents) if (holders.get(digest)! > 1) shared += bytes;
          return [image, shared];
        }),
      );
      return known;
    },
  };
}

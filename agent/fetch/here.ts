// ⑤ What of an image's contents is here: whole in the store, or chunks of it in a partial file.

import { closeSync, openSync, readSync } from "node:fs";
import type { ContentFolder } from "../../base/content-folder.ts";
import { type PartialBlobs, partialPath } from "../../base/partial-blob.ts";
import type { Wanted } from "./assembly.ts";
import type { ImageContents } from "./contents.ts";
import type { Range } from "./elf.ts";
import type { Held } from "./held.ts";

export interface Here {
  has(wanted: Wanted): boolean;
  /** Undefined where not all of the range is here. */
  bytesOf(contents: ImageContents, index: number, range: Range): Buffer | undefined;
}

export interface HereHost {
  store: ContentFolder;
  partial: Pick<PartialBlobs, "arrived">;
  held: Pick<Held, "pathOf">;
}

export function createHere({ store, partial, held }: HereHost): Here {
  function pathOf(contents: ImageContents, index: number, { offset, bytes }: Range): string | undefined {
    const { digest } = contents.wanted(index);
    const whole = held.pathOf(digest) ?? (store.has(digest) ? store.path(digest) : undefined);
    if (whole !== undefined) return whole;
    const { chunks, chunkBytes } = contents.pieces(index);
    const arrived = chunks > 0 ? partial.arrived(digest) : undefined;
    const last = Math.floor((offset + bytes - 1) / chunkBytes);
    for (let chunk = Math.floor(offset / chunkBytes); chunk <= last; chunk++) if (arrived?.[chunk] !== 1) return undefined;
    return partialPath(store.root, digest);
  }

  return {
    has: ({ digest, chunk }) => store.has(digest) || (chunk !== undefined && partial.arrived(digest)?.[chunk.index] === 1),
    bytesOf(contents, index, range) {
      const path = pathOf(contents, index, range);
      if (path === undefined) return undefined;
      try {
        const fd = openSync(path, "r");
        try {
          const data = Buffer.alloc(range.bytes);
          return readSync(fd, data, 0, range.bytes, range.offset) === range.bytes ? data : undefined;
        } finally {
          closeSync(fd);
        }
      } catch {
        return undefined; // it has become whole meanwhile, or is gone
      }
    },
  };
}

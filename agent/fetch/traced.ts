// ⑤ What the first start of an image has read elsewhere, on its way at once: nothing of it waits for the manifest, which comes at the same time.

import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { pieceBytesOf } from "../../base/partial-blob.ts";
import { UNCHUNKED_BYTES } from "../../fusefs/image/manifest.ts";
import type { Wanted } from "./assembly.ts";
import type { ImageContents } from "./contents.ts";
import type { Fetcher } from "./fetcher.ts";
import { decodeTrace, type TracedRead } from "./trace.ts";

interface TracedHost {
  fetcher: Pick<Fetcher, "fetch">;
  has(wanted: Wanted): boolean;
  /** The trace that control has; empty for none. */
  trace(image: string): Promise<Buffer>;
  log: Log;
}

/** How to ask for it before the manifest is here, which alone says what a chunk must be; undefined where only the manifest says enough. */
function early(image: string, read: TracedRead, contents: Promise<ImageContents>): Wanted | undefined {
  const { index, chunk, digest, bytes } = read;
  if (chunk === undefined) return bytes > 0 && bytes <= UNCHUNKED_BYTES ? { digest, image, bytes } : undefined;
  const pieceBytes = pieceBytesOf(bytes);
  const offset = chunk * pieceBytes;
  if (offset >= bytes) return undefined;
  const known = contents.then((all) => {
    const isOf = index < all.count && all.digestAt(index) === digest && all.wanted(index).bytes === bytes;
    const said = isOf ? all.wanted(index, chunk).chunk?.digest : undefined;
    return said ?? Promise.reject(new HobError("corrupt", `the trace of image ${image.slice(0, 12)} is another image's`));
  });
  known.catch(() => {}); // who waits for the chunk is told
  const blobBytes = bytes;
  return {
    digest,
    image,
    bytes: Math.min(pieceBytes, bytes - offset),
    chunk: { index: chunk, digest: known, offset, blobBytes },
  };
}

/** The trace that control has, or none. What it names is on its way then. */
export async function askTrace(host: TracedHost, image: string, contents: Promise<ImageContents>): Promise<TracedRead[]> {
  try {
    const bytes = await host.trace(image);
    const reads = bytes.length === 0 ? [] : decodeTrace(bytes, image);
    for (const read of reads) {
      const wanted = early(image, read, contents);
      if (wanted && !host.has(wanted)) host.fetcher.fetch(wanted, "traced").catch(() => {}); // who reads it asks again, and is told
    }
    return reads;
  } catch (error) {
    host.log.warn({ image, error: sentenceOf(error) }, "the trace of an image");
    return [];
  }
}

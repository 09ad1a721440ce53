// ③⑤ The Content service: blobs by sha256, in pieces, verified before they are kept, with memory bounded by the pieces.

import { once } from "node:events";
import { createReadStream, statSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ServerWritableStream } from "@grpc/grpc-js";
import type { ContentFolder } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import { leaveBehind } from "../base/store-work.ts";
import { type FetchAnswer, fileContent, memoryContent, serveFetch } from "../proto/fetch-serving.ts";
import type { BlobPiece, ContentServer, FetchWant, GetRequest } from "../proto/gen/hob/v1/content.ts";
import { toServiceError } from "../proto/status.ts";
import { beyond, type Limits } from "./limits.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Spread } from "./spread.ts";

const pieceBytes = 256 << 10; // content.proto
const checkedInOneTurn = 500; // digests

/** The pieces of one blob; leaves the rest of the stream to the next. */
async function* blobOf(first: BlobPiece, pieces: AsyncIterator<BlobPiece>): AsyncGenerator<Buffer> {
  let piece = first;
  for (;;) {
    if (piece.digest !== first.digest) {
      throw new HobError("usage", `blob ${first.digest.slice(0, 12)}: another blob begins before its last piece`);
    }
    if (piece.data.byteLength > 4 * pieceBytes) throw new HobError("usage", "a piece of a blob is larger than 1 MiB");
    yield piece.data;
    if (piece.last) return;
    const next = await pieces.next();
    if (next.done) throw new HobError("usage", `blob ${first.digest.slice(0, 12)}: the stream ended before its last piece`);
    piece = next.value;
  }
}

async function putAll(blobs: ContentFolder, pieces: AsyncIterator<BlobPiece>): Promise<{ blobs: number; bytes: number }> {
  const put: string[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const first = await pieces.next();
      if (first.done) return { blobs: put.length, bytes };
      bytes += (await blobs.putStream(blobOf(first.value, pieces), first.value.digest)).bytes;
      put.push(first.value.digest);
    }
  } catch (error) {
    leaveBehind(blobs.root, put); // an import that was broken off: gigabytes, perhaps
    throw error;
  }
}

async function sendAll(
  stream: ServerWritableStream<GetRequest, BlobPiece>,
  blobs: ContentFolder,
  snapshots: ContentParts["snapshots"],
): Promise<void> {
  const gone = new AbortController();
  stream.once("cancelled", () => gone.abort(new HobError("cancelled", "the client left")));
  const room = () => once(stream, "drain", { signal: gone.signal });
  for (const digest of stream.request.digests) {
    if (!snapshots.has(digest)) throw new HobError("notFound", `blob ${digest} is not in control's store`);
    let held: Buffer | undefined; // one piece behind, so that the last is known as such
    for await (const data of blobs.has(digest)
      ? createReadStream(blobs.path(digest), { highWaterMark: pieceBytes })
      : slices(digest)) {
      if (held && !stream.write({ digest, data: held, last: false })) await room();
      held = data as Buffer;
    }
    if (!stream.write({ digest, data: held ?? Buffer.alloc(0), last: true })) await room();
  }

  function* slices(digest: string): Generator<Buffer> {
    const data = snapshots.content(digest) ?? Buffer.alloc(0);
    for (let start = 0; start < data.byteLength; start += pieceBytes) yield data.subarray(start, start + pieceBytes);
  }
}

export interface ContentParts {
  blobs: ContentFolder;
  snapshots: Pick<Snapshots, "has" | "content">;
  spread: Spread;
  limits: Limits;
  /** The blob with the trace of an image's first start; "" when there is none. */
  trace(image: string): string;
}

export function createContent({ blobs, snapshots, spread, trace, limits }: ContentParts): ContentServer {
  let uploads = 0;

  async function answer(node: string, want: FetchWant): Promise<FetchAnswer> {
    const { digest } = want;
    const path = blobs.path(digest);
    const bytes = statSync(path, { throwIfNoEntry: false })?.size;
    if (bytes === undefined) {
      const data = snapshots.content(digest); // that has not settled yet
      return data ? { content: memoryContent(data) } : { lacking: `blob ${digest} is not in control's store` };
    }
    const elsewhere = spread.elsewhere(node, want, bytes);
    return elsewhere ? { elsewhere } : { content: await fileContent(path, bytes, want.length) };
  }

  return {
    async missing({ request }, callback) {
      const digests: string[] = [];
      try {
        for (const [index, digest] of request.digests.entries()) {
          if (index % checkedInOneTurn === checkedInOneTurn - 1) await nextTurn();
          if (!snapshots.has(digest)) digests.push(digest);
        }
      } catch (error) {
        return callback(toServiceError(error));
      }
      callback(null, { digests });
    },
    put(stream, callback) {
      if (uploads >= limits.uploads) {
        callback(toServiceError(beyond(limits, "uploads", "the blobs were not taken")));
        return;
      }
      uploads++;
      putAll(blobs, stream[Symbol.asyncIterator]())
        .finally(() => uploads--)
        .then(
          (kept) => callback(null, kept),
          (error) => callback(toServiceError(error)),
        );
    },
    get(stream) {
      sendAll(stream, blobs, snapshots).then(
        () => stream.end(),
        (error) => stream.cancelled || stream.emit("error", toServiceError(error)),
      );
    },
    fetch(stream) {
      const node = String(stream.metadata.get("node")[0] ?? "");
      serveFetch(stream, (want) => answer(node, want));
    },
    getTrace({ request: { image } }, callback) {
      const blob = trace(image);
      callback(null, { trace: blob && blobs.has(blob) ? blobs.read(blob) : Buffer.alloc(0) });
    },
  };
}

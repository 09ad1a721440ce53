// ⑤ Blobs on this node: those that came inside a message, those in the store, those that control has. Asked for once, however many want them.

import { type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import type { ContentFolder } from "../base/content-folder.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Blob } from "../proto/gen/hob/v1/common.ts";
import type { BlobPiece, ContentClient } from "../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../proto/status.ts";

export interface Content {
  /** Keeps blobs from a message: at hand at once, in the store a moment later, with nobody waiting for the disk. */
  keep(blobs: Blob[]): void;
  /** The contents, in the order asked for. */
  get(digests: string[]): Promise<Uint8Array[]>;
  /** Resolves once all of them are in the store. */
  ensure(digests: string[]): Promise<void>;
}

/** What came in a message is written once what it came for has most likely been answered. */
const quietMs = 50;

interface Arriving {
  data?: Uint8Array;
  stored: Promise<void>;
  /** Somebody waits for it to be in the store. */
  hurry?: () => void;
}

export function createContent(store: ContentFolder, client: () => Pick<ContentClient, "get">, log: Log): Content {
  /** Blobs that are on their way into the store: from a message, with their data, or from control. */
  const arriving = new Map<string, Arriving>();

  function track(digest: string, entry: Arriving): Promise<void> {
    arriving.set(digest, entry);
    const settle = (): void => {
      if (arriving.get(digest) === entry) arriving.delete(digest);
    };
    entry.stored.then(settle, settle);
    return entry.stored;
  }

  function keep(blobs: Blob[]): void {
    for (const { digest, data } of blobs) {
      if (arriving.get(digest)?.data || store.has(digest)) continue;
      const due = Promise.withResolvers<void>();
      setTimeout(due.resolve, quietMs);
      const stored = due.promise.then(() => store.put(data, digest)).then(() => {});
      track(digest, { data, stored, hurry: due.resolve }).catch((error) =>
        log.error({ digest, error: sentenceOf(error) }, "keeping a blob"),
      );
    }
  }

  /** One request for all; each is done as soon as its last piece is in the store. */
  function fetch(digests: string[]): Promise<void>[] {
    const entries = digests.map((digest) => ({ digest, ...Promise.withResolvers<void>() }));
    const tracked = entries.map(({ digest, promise }) => track(digest, { stored: promise }));
    void (async () => {
      try {
        const stream = client().get({ digests }, new Metadata({ waitForReady: true }));
        const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<BlobPiece>;
        for (const { digest, resolve } of entries) {
          await store.putStream(onePiecewise(pieces, digest), digest);
          resolve();
        }
        end(stream);
      } catch (error) {
        for (const { reject } of entries) reject(fromServiceError(error)); // those that are resolved stay so
      }
    })();
    return tracked;
  }

  async function ensure(digests: string[]): Promise<void> {
    const absent = digests.filter((digest) => !arriving.has(digest) && !store.has(digest));
    const waits = digests.flatMap((digest) => {
      const entry = arriving.get(digest);
      entry?.hurry?.();
      return entry?.stored ?? [];
    });
    if (absent.length > 0) waits.push(...fetch([...new Set(absent)]));
    await Promise.all(waits);
  }

  async function get(digests: string[]): Promise<Uint8Array[]> {
    const away = digests.filter((digest) => !arriving.get(digest)?.data && !store.has(digest));
    const atHand = new Map(
      digests.flatMap((digest) => (arriving.get(digest)?.data ? [[digest, arriving.get(digest)?.data as Uint8Array]] : [])),
    );
    if (away.length > 0) await ensure(away);
    return digests.map((digest) => atHand.get(digest) ?? store.read(digest));
  }

  return { keep, get, ensure };
}

async function* onePiecewise(pieces: AsyncIterator<BlobPiece>, digest: string): AsyncGenerator<Uint8Array> {
  for (;;) {
    const next = await pieces.next();
    if (next.done)
      throw new HobError("corrupt", `fetching blob ${digest.slice(0, 12)}: control ended the stream before its last piece`);
    const piece = next.value;
    if (piece.digest !== digest) {
      throw new HobError("corrupt", `fetching blob ${digest.slice(0, 12)}: control sent ${piece.digest.slice(0, 12)} instead`);
    }
    yield piece.data;
    if (piece.last) return;
  }
}

function end(stream: ClientReadableStream<BlobPiece>): void {
  stream.on("error", () => {}); // everything that was asked for has arrived
  stream.cancel();
}

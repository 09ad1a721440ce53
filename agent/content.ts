// ⑤ Blobs on this node: those that came inside a message, those in the store, those that control has (fetch/).

import type { ContentFolder } from "../base/content-folder.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Blob } from "../proto/gen/hob/v1/common.ts";
import type { Fetcher } from "./fetch/fetcher.ts";

export interface Content {
  /** Keeps blobs from a message: at hand at once, in the store a moment later, with nobody waiting for the disk. */
  keep(blobs: Blob[]): void;
  /** The contents, in the order asked for. */
  get(digests: string[]): Promise<Uint8Array[]>;
  /** Resolves once all of them are in the store. `image`: whose contents they are, or which they are; other nodes may give those. */
  ensure(digests: string[], image?: string): Promise<void>;
  /** Resolves once what has come in messages is in the store, or could not be kept. */
  settled(): Promise<void>;
}

/** What came in a message is written once what it came for has most likely been answered. */
const quietMs = 50;

interface Arriving {
  data: Uint8Array;
  stored: Promise<void>;
  /** Somebody waits for it to be in the store. */
  hurry(): void;
}

export function createContent(store: ContentFolder, fetcher: Pick<Fetcher, "fetch">, log: Log): Content {
  /** Blobs from a message that are on their way into the store. */
  const arriving = new Map<string, Arriving>();

  function keep(blobs: Blob[]): void {
    for (const { digest, data } of blobs) {
      if (arriving.has(digest)) continue; // whether the store has it is looked at then, too
      const due = Promise.withResolvers<void>();
      setTimeout(due.resolve, quietMs);
      const stored = due.promise.then(() => store.put(data, digest)).then(() => {});
      arriving.set(digest, { data, stored, hurry: due.resolve });
      stored
        .catch((error) => log.error({ digest, error: sentenceOf(error) }, "keeping a blob"))
        .finally(() => arriving.delete(digest));
    }
  }

  async function ensure(digests: string[], image = ""): Promise<void> {
    await Promise.all(
      [...new Set(digests)].map((digest) => {
        const entry = arriving.get(digest);
        entry?.hurry();
        if (entry) return entry.stored;
        return store.has(digest) ? undefined : fetcher.fetch({ digest, image, bytes: 0 }, "foreground");
      }),
    );
  }

  async function get(digests: string[]): Promise<Uint8Array[]> {
    const atHand = new Map(digests.map((digest) => [digest, arriving.get(digest)?.data]));
    const away = digests.filter((digest) => !atHand.get(digest) && !store.has(digest));
    if (away.length > 0) await ensure(away);
    return digests.map((digest) => atHand.get(digest) ?? store.read(digest));
  }

  async function settled(): Promise<void> {
    for (const { hurry } of arriving.values()) hurry();
    await Promise.allSettled([...arriving.values()].map(({ stored }) => stored));
  }

  return { keep, get, ensure, settled };
}

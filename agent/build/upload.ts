// ⑤ Gives control the contents of a new image that it lacks. In an embedded pool both share one store, and there is nothing to give.

import { once } from "node:events";
import { createReadStream } from "node:fs";
import { promisify } from "node:util";
import type { ContentFolder } from "../../base/content-folder.ts";
import type { ContentClient, MissingRequest, MissingResponse, PutResponse } from "../../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../../proto/status.ts";

/** 32 KiB of digests or so in a message, as text. */
const askedAtOnce = 5_000;
const pieceBytes = 256 * 1024;

export type UploadClient = Pick<ContentClient, "missing" | "put">;

export async function upload(
  client: UploadClient,
  store: ContentFolder,
  digests: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const ask = promisify(
    client.missing.bind(client) as (
      request: MissingRequest,
      done: (error: Error | null, answer: MissingResponse) => void,
    ) => void,
  );
  try {
    for (let at = 0; at < digests.length; at += askedAtOnce) {
      const lacking = (await ask({ digests: digests.slice(at, at + askedAtOnce) })).digests;
      signal.throwIfAborted();
      if (lacking.length > 0) await put(client, store, lacking, signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw fromServiceError(error);
  }
}

async function put(client: UploadClient, store: ContentFolder, digests: readonly string[], signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<PutResponse>();
  const stream = client.put((error, answer) => (error ? reject(error) : resolve(answer)));
  promise.catch(() => {}); // awaited below
  const stop = (): void => stream.cancel();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (const digest of digests) {
      let waiting: Buffer | undefined; // the last piece says that it is
      for await (const piece of createReadStream(store.path(digest), { highWaterMark: pieceBytes }) as AsyncIterable<Buffer>) {
        if (waiting && !stream.write({ digest, data: waiting, last: false }))
          await Promise.race([once(stream, "drain"), promise]);
        waiting = piece;
      }
      stream.write({ digest, data: waiting ?? Buffer.alloc(0), last: true });
    }
    stream.end();
    await promise;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

// ⑤ A download on its way through a file: written as it comes, read as it is wanted, from the start and behind the writer. Memory holds a piece.

import { open, rm } from "node:fs/promises";
import { systemError } from "../../../base/errors.ts";
import { workFile } from "../../../base/store-work.ts";

export interface Spool extends AsyncDisposable {
  /** Takes the stream to its end, or until it fails: what it failed of, the reader hears too. */
  fill(stream: AsyncIterable<Uint8Array>): Promise<void>;
  /** Everything from the start; waits for what has not come yet. */
  read(): AsyncGenerator<Buffer, void, undefined>;
}

const readBytes = 256 << 10;

/** `root`: the store. The file has no name, so nothing is left of it, whatever dies. */
export async function openSpool(root: string): Promise<Spool> {
  const path = workFile(root, "spool");
  const handle = await open(path, "wx+", 0o600).catch((error: unknown) => {
    throw systemError("making room for a layer", error, "free some space, then try again");
  });
  await rm(path);
  let written = 0;
  let ended = false;
  let failure: { error: unknown } | undefined;
  let closed = false;
  let news = Promise.withResolvers<void>();

  function tell(): void {
    news.resolve();
    news = Promise.withResolvers();
  }

  /** A disk that fills up takes a part first: what lacks may not become zeros of a layer of which the digest was right on its way. */
  async function append(piece: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < piece.byteLength; )
        at += (await handle.write(piece, at, piece.byteLength - at, written + at)).bytesWritten;
    } catch (error) {
      throw systemError("keeping a layer while it arrives", error, "free some space, then try again");
    }
    written += piece.byteLength;
  }

  return {
    async fill(stream) {
      try {
        for await (const piece of stream) {
          await append(piece);
          tell();
        }
        ended = true;
      } catch (error) {
        failure = { error };
        throw error;
      } finally {
        tell();
      }
    },
    async *read() {
      for (let at = 0; ; ) {
        const change = news.promise;
        if (at < written) {
          const piece = Buffer.allocUnsafe(Math.min(readBytes, written - at));
          const { bytesRead } = await handle.read(piece, 0, piece.length, at);
          at += bytesRead;
          yield piece.subarray(0, bytesRead);
        } else if (failure) throw failure.error;
        else if (ended) return;
        else await change;
      }
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      await handle.close();
    },
  };
}

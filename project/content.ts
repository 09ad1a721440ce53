// ③ Puts blobs that do not travel inside a message into control's store.

import { HobError } from "../base/errors.ts";
import type { BlobPiece, ContentClient, MissingResponse, PutResponse } from "../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../proto/status.ts";

const pieceBytes = 256 << 10;

/** Which of these digests control lacks. */
export function askMissing(client: ContentClient, digests: string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    client.missing({ digests }, (error: Error | null, response: MissingResponse) => {
      if (error) reject(fromServiceError(error));
      else resolve(response.digests);
    });
  });
}

/** `read` gives the blob of a digest, in pieces; undefined when there is none any more, which rejects with `notFound`. Control checks it. */
export async function putBlobs(
  client: ContentClient,
  digests: string[],
  read: (digest: string) => Iterable<Buffer> | undefined,
): Promise<number> {
  let answer: PutResponse = { blobs: 0, bytes: 0 };
  let finished!: (error: unknown) => void;
  const done = new Promise<void>((resolve, reject) => {
    finished = (error) => (error ? reject(fromServiceError(error)) : resolve());
  });
  done.catch(() => {}); // awaited below, unless a blob is gone first
  const stream = client.put((error, response) => {
    if (response) answer = response;
    finished(error);
  });
  for (const digest of digests) {
    const data = read(digest);
    if (!data) {
      stream.cancel();
      throw new HobError("notFound", `blob ${digest.slice(0, 12)}: the file has changed since; the save after it is on its way`);
    }
    let held: Buffer = Buffer.alloc(0); // the piece before, until it is known whether it is the last
    const send = async (last: boolean): Promise<void> => {
      const piece: BlobPiece = { digest, data: held, last };
      if (!stream.write(piece)) await Promise.race([new Promise((resolve) => stream.once("drain", resolve)), done]);
    };
    for (const part of data) {
      for (let from = 0; from < part.length; from += pieceBytes) {
        if (held.length > 0) await send(false);
        held = part.subarray(from, from + pieceBytes);
      }
    }
    await send(true);
  }
  stream.end();
  await done;
  return answer.bytes;
}

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

/** `read` gives the blob of a digest; undefined when there is none any more, which rejects with `notFound`. */
export async function putBlobs(
  client: ContentClient,
  digests: string[],
  read: (digest: string) => Buffer | undefined,
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
    let from = 0;
    do {
      const piece: BlobPiece = { digest, data: data.subarray(from, from + pieceBytes), last: from + pieceBytes >= data.length };
      if (!stream.write(piece)) await Promise.race([new Promise((resolve) => stream.once("drain", resolve)), done]);
      from += pieceBytes;
    } while (from < data.length);
  }
  stream.end();
  await done;
  return answer.bytes;
}

// ⑤ Reads exact numbers of bytes from a stream of pieces: what headers, bodies and frames of an archive need.

import { HobError } from "../../../base/errors.ts";

export interface ByteSource {
  /** Exactly so many bytes; undefined where the stream ends before the first of them. HobError `corrupt` where it ends in between. */
  read(bytes: number): Promise<Buffer | undefined>;
  /** So many bytes, as they come; HobError `corrupt` where there are fewer. */
  pieces(bytes: number): AsyncGenerator<Buffer, void, undefined>;
  /** Whatever is left. */
  rest(): AsyncGenerator<Buffer, void, undefined>;
  close(): Promise<void>;
}

export const CUT_OFF = "it is cut off";
const cutOff = (): HobError => new HobError("corrupt", CUT_OFF);

export function createByteSource(stream: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = stream[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  let ended = false;

  /** At least one byte is held, or the stream has ended. */
  async function fill(): Promise<boolean> {
    while (held.length === 0 && !ended) {
      const next = await iterator.next();
      if (next.done) ended = true;
      else held = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return held.length > 0;
  }

  function take(bytes: number): Buffer {
    const piece = held.subarray(0, bytes);
    held = held.subarray(piece.length);
    return piece;
  }

  return {
    async read(bytes) {
      if (held.length >= bytes) return take(bytes);
      const parts: Buffer[] = [];
      for (let missing = bytes; missing > 0; ) {
        if (!(await fill())) {
          if (parts.length === 0) return undefined;
          throw cutOff();
        }
        const piece = take(missing);
        parts.push(piece);
        missing -= piece.length;
      }
      return Buffer.concat(parts);
    },
    async *pieces(bytes) {
      for (let missing = bytes; missing > 0; ) {
        if (!(await fill())) throw cutOff();
        const piece = take(missing);
        missing -= piece.length;
        yield piece;
      }
    },
    async *rest() {
      while (await fill()) yield take(held.length);
    },
    async close() {
      await iterator.return?.();
    },
  };
}

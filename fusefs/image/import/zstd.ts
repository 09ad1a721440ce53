// ⑤ Decompresses zstd of any number of frames (RFC 8878). Node's own stream ends at the first frame and loses what follows it
// (nodejs/node#64741), and layers made for lazy pulling or by pzstd have thousands: so frames are told apart here, by their headers.

import { Readable } from "node:stream";
import { createZstdDecompress } from "node:zlib";
import { errnoOf, HobError } from "../../../base/errors.ts";
import { type ByteSource, createByteSource } from "./byte-source.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // and the fifteen after it
const block = { raw: 0, runLength: 1, reserved: 3 } as const;
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

const corrupt = (what: string): HobError => new HobError("corrupt", `its zstd data ${what}`);

/** What the library says of a frame. */
function meant(error: unknown): unknown {
  const code = errnoOf(error) ?? "";
  if (!code.startsWith("ZSTD_")) return error;
  if (code !== "ZSTD_error_frameParameter_windowTooLarge") return corrupt(`are damaged: ${(error as Error).message}`);
  return new HobError("precondition", "its zstd data need more memory than hob gives them (128 MiB)", {
    cause: error,
    remedy: "pack it anew without --long",
  });
}

async function exactly(source: ByteSource, bytes: number): Promise<Buffer> {
  const piece = await source.read(bytes);
  if (!piece) throw corrupt("are cut off");
  return piece;
}

/** One frame, behind its magic number, as it stands in the stream. */
async function* frame(source: ByteSource, magic: Buffer): AsyncGenerator<Buffer, void, undefined> {
  const [descriptor] = await exactly(source, 1);
  const flags = descriptor as number;
  const singleSegment = (flags & 0x20) !== 0;
  const sizeFlag = flags >> 6;
  const sizeBytes = sizeFlag === 0 && singleSegment ? 1 : (contentSizeBytes[sizeFlag] as number);
  const header = (singleSegment ? 0 : 1) + (dictionaryIdBytes[flags & 3] as number) + sizeBytes;
  yield Buffer.concat([magic, Buffer.from([flags]), header > 0 ? await exactly(source, header) : Buffer.alloc(0)]);
  for (let last = false; !last; ) {
    const head = await exactly(source, 3);
    yield head;
    const word = head.readUIntLE(0, 3);
    last = (word & 1) === 1;
    const type = (word >> 1) & 3;
    if (type === block.reserved) throw corrupt("hold a block of an unknown kind");
    yield* source.pieces(type === block.runLength ? 1 : word >> 3);
  }
  if ((flags & 4) !== 0) yield* source.pieces(4); // checksum
}

export async function* decompressZstd(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  const source = createByteSource(stream);
  try {
    for (let magic = await source.read(4); magic; magic = await source.read(4)) {
      const number = magic.readUInt32LE(0);
      if ((number & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
        const size = (await exactly(source, 4)).readUInt32LE(0);
        for await (const _ of source.pieces(size));
        continue;
      }
      if (number !== FRAME_MAGIC) throw corrupt("are followed by something else");
      const input = Readable.from(frame(source, magic), { objectMode: false });
      const output = createZstdDecompress();
      input.once("error", (error) => output.destroy(error)).pipe(output);
      try {
        yield* output as AsyncIterable<Buffer>;
      } catch (error) {
        throw meant(error);
      } finally {
        input.destroy();
      }
    }
  } finally {
    await source.close();
  }
}

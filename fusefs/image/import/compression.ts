// ⑤ Plain, gzip or zstd: told by the first bytes of a stream, whatever its media type or file name says.

import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { errnoOf, HobError } from "../../../base/errors.ts";
import { createByteSource } from "./byte-source.ts";
import { decompressZstd } from "./zstd.ts";

const magics = [
  { name: "gzip", first: [0x1f, 0x8b] },
  { name: "zstd", first: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "bzip2", first: [0x42, 0x5a, 0x68] },
  { name: "xz", first: [0xfd, 0x37, 0x7a, 0x58] },
] as const;

const skippableFrame = (head: Buffer): boolean => (head.readUInt32LE(0) & 0xfffffff0) >>> 0 === 0x184d2a50;

async function* gunzip(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  const input = Readable.from(stream, { objectMode: false });
  const output = createGunzip({ chunkSize: 128 << 10 });
  // What the input has died of is the cause, not that the output was cut off.
  input.once("error", (error) => output.destroy(error)).pipe(output);
  try {
    yield* output as AsyncIterable<Buffer>;
  } catch (error) {
    if (!errnoOf(error)?.startsWith("Z_")) throw error;
    throw new HobError("corrupt", `its gzip data are damaged: ${(error as Error).message}`, { cause: error });
  } finally {
    input.destroy();
  }
}

/** The stream's content, decompressed. HobError `corrupt` for damaged data, `precondition` for a compression that hob does not know. */
export async function* decompress(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  const source = createByteSource(stream);
  try {
    const head = await source.read(4);
    if (!head) return;
    const whole = (async function* () {
      yield head;
      yield* source.rest();
    })();
    const known = magics.find(({ first }) => first.every((byte, index) => head[index] === byte))?.name;
    if (known === "gzip") yield* gunzip(whole);
    else if (known === "zstd" || skippableFrame(head)) yield* decompressZstd(whole);
    else if (known === undefined) yield* whole;
    else {
      const remedy = "pack it as a plain tar, or with gzip or zstd";
      throw new HobError("precondition", `it is compressed with ${known}, which hob does not read`, { remedy });
    }
  } finally {
    await source.close();
  }
}

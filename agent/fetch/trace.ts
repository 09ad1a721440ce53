// ⑤ The trace of an image's first start: which contents were read, in order. docs/image-format.md has its bytes.

import { HobError } from "../../base/errors.ts";

/** A content's index in the manifest's digests, and the chunk of it that was read, or undefined for the whole. */
export interface Read {
  readonly index: number;
  readonly chunk: number | undefined;
}

/** With what it takes to fetch the content before the manifest is here. */
export interface TracedRead extends Read {
  readonly digest: string;
  /** Of the whole content. */
  readonly bytes: number;
}

const MAGIC = "hobtrace";
const VERSION = 2;
const HEADER_BYTES = 48;
const ENTRY_BYTES = 48;

export function encodeTrace(image: string, reads: readonly TracedRead[]): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + reads.length * ENTRY_BYTES);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(reads.length, 12);
  bytes.write(image, 16, "hex");
  for (const [entry, read] of reads.entries()) {
    const at = HEADER_BYTES + entry * ENTRY_BYTES;
    bytes.writeUInt32LE(read.index, at);
    bytes.writeUInt32LE(read.chunk === undefined ? 0 : read.chunk + 1, at + 4);
    bytes.writeBigUInt64LE(BigInt(read.bytes), at + 8);
    bytes.write(read.digest, at + 16, "hex");
  }
  return bytes;
}

/** HobError `corrupt` for anything that is no trace of that image; whether the image has such contents is not known here. */
export function decodeTrace(bytes: Buffer, image: string): TracedRead[] {
  const bad = (what: string): HobError => new HobError("corrupt", `the trace of image ${image.slice(0, 12)} ${what}`);
  if (bytes.length < HEADER_BYTES || bytes.toString("latin1", 0, 8) !== MAGIC) throw bad("does not begin as a trace does");
  if (bytes.readUInt32LE(8) !== VERSION) throw bad(`has version ${bytes.readUInt32LE(8)}, which is not known here`);
  if (bytes.toString("hex", 16, HEADER_BYTES) !== image) throw bad("is another image's");
  const entries = bytes.readUInt32LE(12);
  if (bytes.length !== HEADER_BYTES + entries * ENTRY_BYTES) throw bad("is cut off or has something behind it");
  return Array.from({ length: entries }, (_, entry) => {
    const at = HEADER_BYTES + entry * ENTRY_BYTES;
    const [index, chunk, size] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4), Number(bytes.readBigUInt64LE(at + 8))];
    if (!Number.isSafeInteger(size)) throw bad("names an impossibly large content");
    const digest = bytes.toString("hex", at + 16, at + ENTRY_BYTES);
    return { index, chunk: chunk === 0 ? undefined : chunk - 1, bytes: size, digest };
  });
}

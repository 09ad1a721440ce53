// ⑤ The trace of an image's first start: which contents were read, in order. docs/image-format.md has its bytes.

import { HobError } from "../../base/errors.ts";

/** A content's index in the manifest's digests, and the chunk of it that was read, or undefined for the whole. */
export interface Read {
  readonly index: number;
  readonly chunk: number | undefined;
}

const MAGIC = "hobtrace";
const VERSION = 1;
const HEADER_BYTES = 48;
const ENTRY_BYTES = 8;

export function encodeTrace(image: string, reads: readonly Read[]): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + reads.length * ENTRY_BYTES);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(reads.length, 12);
  bytes.write(image, 16, "hex");
  for (const [at, { index, chunk }] of reads.entries()) {
    bytes.writeUInt32LE(index, HEADER_BYTES + at * ENTRY_BYTES);
    bytes.writeUInt32LE(chunk === undefined ? 0 : chunk + 1, HEADER_BYTES + at * ENTRY_BYTES + 4);
  }
  return bytes;
}

/** `count`: of the image's contents. HobError `corrupt` for anything that is no trace of that image. */
export function decodeTrace(bytes: Buffer, image: string, count: number): Read[] {
  const bad = (what: string): HobError => new HobError("corrupt", `the trace of image ${image.slice(0, 12)} ${what}`);
  if (bytes.length < HEADER_BYTES || bytes.toString("latin1", 0, 8) !== MAGIC) throw bad("does not begin as a trace does");
  if (bytes.readUInt32LE(8) !== VERSION) throw bad(`has version ${bytes.readUInt32LE(8)}, which is not known here`);
  if (bytes.toString("hex", 16, HEADER_BYTES) !== image) throw bad("is another image's");
  const entries = bytes.readUInt32LE(12);
  if (bytes.length !== HEADER_BYTES + entries * ENTRY_BYTES) throw bad("is cut off or has something behind it");
  return Array.from({ length: entries }, (_, at) => {
    const index = bytes.readUInt32LE(HEADER_BYTES + at * ENTRY_BYTES);
    const chunk = bytes.readUInt32LE(HEADER_BYTES + at * ENTRY_BYTES + 4);
    if (index >= count) throw bad(`names content ${index} of ${count}`);
    return { index, chunk: chunk === 0 ? undefined : chunk - 1 };
  });
}

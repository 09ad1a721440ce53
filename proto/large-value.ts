// Values that are too large for a message: each a blob of one call, with a first line that says of which.

import { HobError } from "../base/errors.ts";
import type { Arguments, LargeValue } from "./gen/hob/v1/common.ts";

/** Arguments together, or a result, travel in messages and lie in control's database up to here. */
export const inlineValueBytes = 1 << 20;
/** Of a call's arguments together, or of its result, as JSON. */
export const greatestCallValueBytes = 64 << 20;

const head = /^hobvalue ([0-9a-f]{16})\n/;
export const headBytes = 26;

/** The first line of such a blob. */
export const headOf = (call: string): Buffer => Buffer.from(`hobvalue ${call}\n`);

/** Of which call it is the value; undefined for a blob that is none. `start`: at least its first 26 bytes. */
export const callOfValue = (start: Buffer): string | undefined => head.exec(start.toString("latin1", 0, headBytes))?.[1];

/** The JSON in it. */
export function jsonOf(blob: Uint8Array, large: LargeValue): Buffer {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  if (callOfValue(bytes) === undefined || bytes.byteLength !== headBytes + large.bytes) {
    throw new HobError("corrupt", `blob ${large.blob.slice(0, 12)} is not the value that a call has left there`);
  }
  return bytes.subarray(headBytes);
}

/** Arguments as they were before they became a blob. */
export function argumentsFrom(json: Buffer, { positional }: LargeValue): Arguments {
  return { positional: json.subarray(0, positional), keywords: json.subarray(positional), large: undefined };
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 100 << 20 ? 1 : 0)} MiB`;

/** One sentence for what is more than any call may have. */
export function oversized(what: string, bytes: number, remedy: string, mostBytes = greatestCallValueBytes): string {
  const most = `${mostBytes >> 20} MiB`;
  return `${what} is ${mebibytes(bytes)} as JSON, and the limit value-bytes is ${most}: ${remedy}`;
}

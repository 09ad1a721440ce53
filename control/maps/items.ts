// ⑦ The items of an encoded MapInputs or MapResults (maps.proto), found by their tags and lengths alone: none is decoded, none is copied. Pure.

import { HobError } from "../../base/errors.ts";

// https://protobuf.dev/programming-guides/encoding: field number and wire type in one byte
const itemTag = 0x0a; // field 1, bytes
const indexTag = 0x08; // field 1, varint; left out for 0
const failureTag = 0x1a; // field 3, bytes

/** `start` and `end`: of the whole item, its tag and length included. */
type Visit = (index: number, start: number, end: number, failed: boolean) => void;

function malformed(what: string): HobError {
  return new HobError("corrupt", `reading ${what} of a map: they are not a list as maps.proto has it`);
}

/** Throws a HobError of kind `corrupt` for what is no list. Fields of an item are in the order of their numbers. */
export function eachItem(bytes: Uint8Array, what: "inputs" | "results", visit: Visit): void {
  let at = 0;

  function varint(end: number): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (at >= end) break;
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw malformed(what);
  }

  while (at < bytes.byteLength) {
    const start = at;
    if (bytes[at++] !== itemTag) throw malformed(what);
    const length = varint(bytes.byteLength);
    const end = at + length;
    if (end > bytes.byteLength) throw malformed(what);
    let index = 0;
    if (at < end && bytes[at] === indexTag) {
      at++;
      index = varint(end);
      if (index > 0xffffffff) throw malformed(what);
    }
    const failed = at < end && bytes[at] === failureTag;
    at = end;
    visit(index, start, end, failed);
  }
}

/** The items `first` to `first + count - 1` of a list that has them in a row. */
export function sliceItems(bytes: Uint8Array, first: number, count: number): Uint8Array {
  let from = -1;
  let to = -1;
  eachItem(bytes, "inputs", (index, start, end) => {
    if (index === first) from = start;
    if (index === first + count - 1) to = end;
  });
  if (from < 0 || to < from) throw malformed("inputs");
  return bytes.subarray(from, to);
}

/** What is left of an item once its tag and length are off: the message itself. */
export function itemBody(bytes: Uint8Array, start: number, end: number): Uint8Array {
  let at = start + 1;
  while (bytes[at]! >= 0x80) at++;
  return bytes.subarray(at + 1, end);
}

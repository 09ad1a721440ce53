// Messages read with native strings are what the library reads.

import fc from "fast-check";
import { expect, test } from "vitest";
import { LogLine } from "../../proto/gen/hob/v1/common.ts";
import { decodeMessage } from "../../proto/reader.ts";

const bytesOf = (text: string): Buffer => Buffer.from(LogLine.encode(LogLine.fromPartial({ call: "c", text, seq: 7 })).finish());

test("strings of any length and script are read as the library reads them", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary", maxLength: 400 }), fc.constant("\ufeffmarked")), (text) => {
      const bytes = bytesOf(text);
      expect(decodeMessage(LogLine, bytes)).toEqual(LogLine.decode(bytes));
    }),
  );
});

test("bytes that are no UTF-8 are read as the library reads them, and a message that is cut off is refused", () => {
  const bytes = bytesOf("x".repeat(200));
  bytes[60] = 0xff;
  expect(decodeMessage(LogLine, bytes)).toEqual(LogLine.decode(bytes));
  const whole = bytesOf("y".repeat(90));
  for (const size of [20, 60, whole.byteLength - 3]) expect(() => decodeMessage(LogLine, whole.subarray(0, size))).toThrow();
});

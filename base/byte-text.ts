// Names that are bytes, as text: bytes that are no UTF-8 stand as lone surrogates U+DC80…U+DCFF, as Python's surrogateescape has it.

import { HobError } from "./errors.ts";

const ESCAPE = 0xdc00;

/** Bytes of the well-formed UTF-8 sequence that begins at `at`, or 0 (Unicode 16, table 3-7). */
function sequenceBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const count = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (count === 0 || at + count > bytes.length) return 0;
  const second = bytes[at + 1] as number;
  // No overlong forms, no surrogates, nothing above U+10FFFF.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let i = 2; i < count; i++) if (((bytes[at + i] as number) & 0xc0) !== 0x80) return 0;
  return count;
}

/** Any bytes as text; `bytesOfText` gives the same bytes back. */
export function textOfBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const plain = buffer.toString("utf8");
  if (!plain.includes("\ufffd")) return plain;
  let text = "";
  let wellFormed = 0; // where the run of whole sequences began that ends at `at`
  for (let at = 0; at < buffer.length; ) {
    const count = sequenceBytes(buffer, at);
    if (count > 0) at += count;
    else {
      text += buffer.toString("utf8", wellFormed, at) + String.fromCharCode(ESCAPE + (buffer[at] as number));
      wellFormed = ++at;
    }
  }
  return text + buffer.toString("utf8", wellFormed);
}

/** The bytes that a text stands for. HobError `usage` for a lone surrogate that stands for no byte. */
export function bytesOfText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, "utf8");
  const pieces = text.split(/([\ud800-\udfff])/u).map((piece) => {
    if (piece.isWellFormed()) return Buffer.from(piece, "utf8");
    const byte = piece.charCodeAt(0) - ESCAPE;
    if (byte < 0x80 || byte > 0xff) throw new HobError("usage", `${JSON.stringify(text)} stands for no bytes`);
    return Buffer.from([byte]);
  });
  return Buffer.concat(pieces);
}

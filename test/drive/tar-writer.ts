// A tar made by hand: for archives that no tar program would write.

import { bytesOfText } from "../../base/byte-text.ts";

export interface WrittenEntry {
  name: string;
  type?: string; // "0" a file
  data?: Uint8Array | string;
  link?: string;
  mode?: number;
  uid?: number;
  mtimeSeconds?: number;
  /** What the header says instead of the data's length. */
  size?: number;
  major?: number;
  minor?: number;
  /** Records of a pax header before it. */
  pax?: Record<string, Uint8Array | string>;
  /** Changes the header block before its checksum is made. */
  alter?: (block: Buffer) => void;
}

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;

function padded(data: Uint8Array): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.byteLength % 512)) % 512)]);
}

function block(entry: WrittenEntry, size: number): Buffer {
  const bytes = Buffer.alloc(512);
  bytesOfText(entry.name).copy(bytes, 0, 0, 100);
  bytes.write(octal(entry.mode ?? 0o644, 7), 100);
  bytes.write(octal(entry.uid ?? 0, 7), 108);
  bytes.write(octal(0, 7), 116);
  bytes.write(octal(size, 11), 124);
  bytes.write(octal(entry.mtimeSeconds ?? 1_000_000_000, 11), 136);
  bytes.write(entry.type ?? "0", 156);
  bytesOfText(entry.link ?? "").copy(bytes, 157, 0, 100);
  bytes.write("ustar\x0000", 257, "latin1");
  bytes.write(octal(entry.major ?? 0, 7), 329);
  bytes.write(octal(entry.minor ?? 0, 7), 337);
  entry.alter?.(bytes);
  bytes.write("        ", 148);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return bytes;
}

/** "LENGTH KEY=VALUE\n"; the length counts itself. */
function paxRecord(key: string, value: Uint8Array | string): Buffer {
  const text = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = text.length + 1;
  while (String(length).length + text.length !== length) length = String(length).length + text.length;
  return Buffer.concat([Buffer.from(String(length)), text]);
}

export function tarOf(entries: readonly WrittenEntry[], options: { end?: boolean } = {}): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    if (entry.pax) {
      const records = Buffer.concat(Object.entries(entry.pax).map(([key, value]) => paxRecord(key, value)));
      parts.push(block({ name: "pax", type: "x" }, records.length), padded(records));
    }
    const data = Buffer.from(entry.data ?? "");
    parts.push(block(entry, entry.size ?? data.length), padded(data));
  }
  if (options.end !== false) parts.push(Buffer.alloc(1024));
  return Buffer.concat(parts);
}

/** In pieces of odd sizes, so that nothing relies on how a stream is cut. */
export async function* inPieces(data: Uint8Array, pieceBytes = 700): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < data.byteLength; at += pieceBytes) yield data.subarray(at, at + pieceBytes);
}

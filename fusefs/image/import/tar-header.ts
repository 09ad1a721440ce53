// ⑤ One header block of a tar: v7, ustar and GNU. Names stay bytes. POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

import { HobError } from "../../../base/errors.ts";

export const BLOCK_BYTES = 512;

/** Byte ranges of the fields. */
const field = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
} as const;

type Field = readonly [offset: number, bytes: number];

export interface TarHeader {
  name: Buffer;
  /** '0' file, '1' hard link, '2' symlink, '3' and '4' devices, '5' directory, '6' fifo, and what extends the next header. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeSeconds: number;
  linkName: Buffer;
  major: number;
  minor: number;
  isGnu: boolean;
}

const corrupt = (what: string): HobError => new HobError("corrupt", what);

/** Up to the first NUL. */
function textField(block: Buffer, [offset, bytes]: Field): Buffer {
  const end = block.indexOf(0, offset);
  return block.subarray(offset, end < 0 || end > offset + bytes ? offset + bytes : end);
}

/** Octal digits between blanks, or, with the first bit set, a big-endian number in two's complement. */
export function numberField(block: Buffer, [offset, bytes]: Field, what: string): number {
  const first = block[offset] as number;
  if (first & 0x80) {
    let value = first & 0x40 ? BigInt(first) - 256n : BigInt(first & 0x7f);
    for (let at = offset + 1; at < offset + bytes; at++) value = value * 256n + BigInt(block[at] as number);
    if (!Number.isSafeInteger(Number(value))) throw corrupt(`its ${what} is impossible (${value})`);
    return Number(value);
  }
  const text = block
    .toString("latin1", offset, offset + bytes)
    .replace(/\0.*$/s, "")
    .trim();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw corrupt(`its ${what} is no number`);
  return Number.parseInt(text, 8);
}

/** Some old writers have summed signed bytes. */
function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  const [from, bytes] = field.checksum;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const byte = at >= from && at < from + bytes ? 0x20 : (block[at] as number);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const digits = block.toString("latin1", from, from + bytes).replace(/\0.*$/s, "");
  const noted = /^ *[0-7]+ *$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
  if (noted !== unsigned && noted !== signed) throw corrupt("a header's checksum is wrong: it is no tar, or it is damaged");
}

export const isZeroBlock = (block: Buffer): boolean => block.every((byte) => byte === 0);

/** HobError `corrupt` for what is no header. */
export function parseHeader(block: Buffer): TarHeader {
  checkSum(block);
  const magic = block.toString("latin1", field.magic[0], field.magic[0] + field.magic[1]);
  const isGnu = magic === "ustar  \0";
  const isUstar = magic.startsWith("ustar\0");
  const prefix = isUstar ? textField(block, field.prefix) : Buffer.alloc(0);
  const shortName = textField(block, field.name);
  const name = prefix.length > 0 ? Buffer.concat([prefix, Buffer.from("/"), shortName]) : shortName;
  const isDevice = isGnu || isUstar;
  const type = String.fromCharCode(block[field.type[0]] || 0x30);
  return {
    name,
    // v7 says that something is a directory by its name alone.
    type: type === "0" && name.at(-1) === 0x2f ? "5" : type,
    mode: numberField(block, field.mode, "mode") & 0o7777,
    uid: numberField(block, field.uid, "uid"),
    gid: numberField(block, field.gid, "gid"),
    size: numberField(block, field.size, "size"),
    mtimeSeconds: numberField(block, field.mtime, "time"),
    linkName: textField(block, field.linkName),
    major: isDevice ? numberField(block, field.deviceMajor, "device number") : 0,
    minor: isDevice ? numberField(block, field.deviceMinor, "device number") : 0,
    isGnu,
  };
}

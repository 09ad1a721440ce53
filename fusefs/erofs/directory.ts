// ⑤ A directory in EROFS: blocks of entries, each with its names behind them, sorted bytewise with "." and ".." among them.

import { entriesOf, entryWord, inodeWord, type Manifest } from "../image/manifest.ts";
import { BLOCK_BYTES, dirent, direntTypes } from "./layout.ts";

const DOT = 0x2e;
const DIRECTORY = direntTypes[4] as number;

interface Named {
  from: number; // in `names`
  bytes: number;
  inode: number;
}

export interface DirectorySource {
  readonly manifest: Manifest;
  readonly directory: number;
}

/** Whether a name comes before "." (count 1) or ".." (count 2), bytewise. */
function precedesDots(names: Buffer, { from, bytes }: Named, count: number): boolean {
  for (let i = 0; i < Math.min(bytes, count); i++) {
    const difference = (names[from + i] as number) - DOT;
    if (difference !== 0) return difference < 0;
  }
  return bytes < count;
}

/** Calls back for every entry in order. `dots`: 1 or 2 for "." and "..", 0 for the entry that `named` describes. */
function eachName({ manifest, directory }: DirectorySource, found: (named: Named, dots: number) => void): void {
  const { first, count } = entriesOf(manifest, directory);
  const named: Named = { from: 0, bytes: 0, inode: 0 };
  const parent = manifest.inodes[directory * inodeWord.sizeof + inodeWord.parent] as number;
  const dot = (dots: number): void => found({ from: 0, bytes: dots, inode: dots === 1 ? directory : parent }, dots);
  let dots = 1;
  for (let entry = first; entry < first + count; entry++) {
    const at = entry * entryWord.sizeof;
    named.from = manifest.entries[at + entryWord.nameOffset] as number;
    named.bytes = manifest.entries[at + entryWord.nameBytes] as number;
    named.inode = manifest.entries[at + entryWord.inode] as number;
    while (dots <= 2 && !precedesDots(manifest.names, named, dots)) dot(dots++);
    found(named, 0);
  }
  while (dots <= 2) dot(dots++);
}

/** Bytes of a directory: whole blocks, then what the last one holds. */
export function directoryBytes(source: DirectorySource): number {
  let blocks = 0;
  let used = 0;
  eachName(source, ({ bytes }) => {
    const more = dirent.sizeof + bytes;
    if (used + more > BLOCK_BYTES) {
      blocks++;
      used = 0;
    }
    used += more;
  });
  return blocks * BLOCK_BYTES + used;
}

/** The directory as bytes, for the caller to put where it belongs. `nids`: where each inode of the manifest lies. */
export function writeDirectory(source: DirectorySource, nids: Float64Array, bytes: Buffer): void {
  const { manifest } = source;
  let block: { named: Named; dots: number }[] = [];
  let used = 0;
  let at = 0;
  const flush = (): void => {
    let nameAt = block.length * dirent.sizeof;
    for (const [index, { named, dots }] of block.entries()) {
      const entryAt = at + index * dirent.sizeof;
      const type = ((manifest.inodes[named.inode * inodeWord.sizeof + inodeWord.mode] as number) >>> 12) & 0xf;
      bytes.writeUInt32LE(nids[named.inode] as number, entryAt + dirent.nid); // below 2^32: an image of 128 GiB of names
      bytes.writeUInt16LE(nameAt, entryAt + dirent.nameOffset);
      bytes[entryAt + dirent.type] = dots > 0 ? DIRECTORY : (direntTypes[type] as number);
      if (dots > 0) bytes.fill(DOT, at + nameAt, at + nameAt + dots);
      else manifest.names.copy(bytes, at + nameAt, named.from, named.from + named.bytes);
      nameAt += named.bytes;
    }
    at += BLOCK_BYTES;
    block = [];
    used = 0;
  };
  eachName(source, (named, dots) => {
    const more = dirent.sizeof + named.bytes;
    if (used + more > BLOCK_BYTES) flush();
    block.push({ named: { ...named }, dots });
    used += more;
  });
  flush();
}

// ⑤ A directory in EROFS: blocks of entries, each with its names behind them, sorted bytewise with "." and ".." among them.

import { entriesOf, entryWord, inodeWord, type Manifest } from "../image/manifest.ts";
import { BLOCK_BYTES, dirent, direntTypes } from "./layout.ts";

const DOT = 0x2e;
/** In the place of an entry's number. */
const SELF = -1;
const PARENT = -2;

export interface DirectorySource {
  readonly manifest: Manifest;
  readonly directory: number;
}

const entryField = (manifest: Manifest, entry: number, field: number): number =>
  manifest.entries[entry * entryWord.sizeof + field] as number;

/** Bytes of an entry's name; SELF and PARENT have as many dots. */
const nameBytes = (manifest: Manifest, entry: number): number =>
  entry < 0 ? -entry : entryField(manifest, entry, entryWord.nameBytes);

/** Whether an entry's name comes before "." or "..", bytewise. */
function precedes(manifest: Manifest, entry: number, dots: number): boolean {
  const from = entryField(manifest, entry, entryWord.nameOffset);
  const bytes = nameBytes(manifest, entry);
  for (let i = 0; i < Math.min(bytes, dots); i++) {
    const difference = (manifest.names[from + i] as number) - DOT;
    if (difference !== 0) return difference < 0;
  }
  return bytes < dots;
}

/** Calls back for every entry of the manifest, and for SELF and PARENT, in order. */
function eachEntry({ manifest, directory }: DirectorySource, found: (entry: number) => void): void {
  const { first, count } = entriesOf(manifest, directory);
  let dots = 1;
  for (let entry = first; entry < first + count; entry++) {
    while (dots <= 2 && !precedes(manifest, entry, dots)) found(-dots++);
    found(entry);
  }
  while (dots <= 2) found(-dots++);
}

/** Bytes of a directory: whole blocks, then what the last one holds. */
export function directoryBytes(source: DirectorySource): number {
  let blocks = 0;
  let used = 0;
  eachEntry(source, (entry) => {
    const more = dirent.sizeof + nameBytes(source.manifest, entry);
    if (used + more > BLOCK_BYTES) {
      blocks++;
      used = 0;
    }
    used += more;
  });
  return blocks * BLOCK_BYTES + used;
}

/** Writes the directory into zeros. `nids`: where each inode of the manifest lies, below 2^32: that many slots are 128 GiB. */
export function writeDirectory(source: DirectorySource, nids: Float64Array, bytes: Buffer): void {
  const { manifest, directory } = source;
  const inodeField = (inode: number, field: number): number => manifest.inodes[inode * inodeWord.sizeof + field] as number;
  let block: number[] = [];
  let used = 0;
  let at = 0;

  function inodeOf(entry: number): number {
    if (entry === SELF) return directory;
    return entry === PARENT ? inodeField(directory, inodeWord.parent) : entryField(manifest, entry, entryWord.inode);
  }

  function flush(): void {
    let nameAt = block.length * dirent.sizeof;
    let entryAt = at;
    for (const entry of block) {
      const inode = inodeOf(entry);
      const length = nameBytes(manifest, entry);
      bytes.writeUInt32LE(nids[inode] as number, entryAt + dirent.nid);
      bytes.writeUInt16LE(nameAt, entryAt + dirent.nameOffset);
      bytes[entryAt + dirent.type] = direntTypes[inodeField(inode, inodeWord.mode) >>> 12] as number;
      if (entry < 0) bytes.fill(DOT, at + nameAt, at + nameAt + length);
      else {
        const from = entryField(manifest, entry, entryWord.nameOffset);
        manifest.names.copy(bytes, at + nameAt, from, from + length);
      }
      nameAt += length;
      entryAt += dirent.sizeof;
    }
    at += BLOCK_BYTES;
    block = [];
    used = 0;
  }

  eachEntry(source, (entry) => {
    const more = dirent.sizeof + nameBytes(manifest, entry);
    if (used + more > BLOCK_BYTES) flush();
    block.push(entry);
    used += more;
  });
  flush();
}

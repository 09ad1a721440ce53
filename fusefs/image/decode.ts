// ⑤ Checks a manifest from outside, so that whatever it says, the tree server never reads out of bounds and never loops.

import { HobError } from "../../base/errors.ts";
import { fileType } from "../wire/constants.ts";
import { configFault } from "./config.ts";
import { chunksFault, xattrsFault } from "./decode-tables.ts";
import {
  DIGEST_BYTES,
  entryWord,
  feature,
  header,
  inodeWord,
  KNOWN_FEATURES,
  MAGIC,
  type Manifest,
  sections,
  VERSION,
  viewManifest,
} from "./manifest.ts";

const corrupt = (what: string): HobError => new HobError("corrupt", `manifest: ${what}`);

/**
 * A manifest from its bytes, used in place (they are copied only where they are not 8-byte aligned). Anything malformed throws a
 * HobError of kind `corrupt`; a version or feature that this reader does not know says so.
 */
export function decodeManifest(data: Uint8Array): Manifest {
  const bytes = data.byteOffset % 8 === 0 ? data : new Uint8Array(data);
  checkHeader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const manifest = viewManifest(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkTree(manifest);
  checkDigests(manifest);
  for (const fault of [xattrsFault(manifest), chunksFault(manifest), configFault(manifest)]) if (fault) throw corrupt(fault);
  return manifest;
}

function checkHeader(bytes: Buffer): void {
  if (bytes.length < header.sizeof) throw corrupt(`${bytes.length} bytes are too few for a header`);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt("it does not begin as a manifest does");
  const version = bytes.readUInt16LE(header.version);
  if (version !== VERSION) throw corrupt(`version ${version} is not known here (this hob reads version ${VERSION})`);
  if (bytes.readUInt16LE(header.headerBytes) !== header.sizeof) throw corrupt("its header has another length");
  const features = bytes.readUInt32LE(header.features);
  if ((features & ~KNOWN_FEATURES) !== 0) throw corrupt("it uses features of a newer hob");
  if (bytes.readUInt32LE(header.totalBytes) !== bytes.length) throw corrupt("it is cut off or has something behind it");
  for (let i = header.reserved; i < header.sizeof; i++) if (bytes[i] !== 0) throw corrupt("reserved bytes are not zero");

  // The sections follow one another without a gap, in this order; products stay far below 2^53.
  let offset: number = header.sizeof;
  for (const [name, section] of Object.entries(sections)) {
    const at = bytes.readUInt32LE(section.offset);
    const count = bytes.readUInt32LE(section.count);
    const isThere = (features & section.feature) === section.feature;
    if (!isThere && (at !== 0 || count !== 0)) throw corrupt(`it has ${name} without the feature`);
    if (isThere && at !== offset) throw corrupt(`its ${name} do not begin where they must`);
    if (isThere && section.feature !== 0 && count === 0) throw corrupt(`it has the feature, but no ${name}`);
    offset += count * section.recordBytes;
  }
  if (offset !== bytes.length) throw corrupt("its sections do not fill it");
  if (bytes.readUInt32LE(header.inodeCount) === 0) throw corrupt("it has no root");
}

/**
 * Walks directories in inode order. In breadth-first order every entry names either the next new inode or, for a hard link, a file
 * seen before: so each directory has one parent, nothing is unreachable, and there are no cycles.
 */
function checkTree(manifest: Manifest): void {
  const { inodes, inodeCount, entries, names } = manifest;
  const entryCount = entries.length / entryWord.sizeof;
  const digestCount = manifest.digests.length / DIGEST_BYTES;
  const links = new Uint32Array(inodeCount);
  const subdirectories = new Uint32Array(inodeCount);
  let nextInode = 1;
  let nextEntry = 0;
  let hasSpecial = false;

  for (let inode = 0; inode < inodeCount; inode++) {
    const base = inode * inodeWord.sizeof;
    const field = (at: number): number => inodes[base + at] as number;
    if (field(inodeWord.mode) > 0xffff) throw corrupt(`inode ${inode} has an impossible mode`);
    if (field(inodeWord.mtimeNanoseconds) > 999_999_999) throw corrupt(`inode ${inode} has more nanoseconds than a second`);
    if (field(inodeWord.sizeHigh) > 0x1f_ffff) throw corrupt(`inode ${inode} is impossibly large`);
    if (inode >= nextInode) throw corrupt(`inode ${inode} is in no directory`);
    const type = field(inodeWord.mode) & fileType.mask;
    if (inode === 0 && type !== fileType.directory) throw corrupt("its root is not a directory");

    if (type === fileType.directory) {
      if (field(inodeWord.sizeLow) !== 0 || field(inodeWord.sizeHigh) !== 0) throw corrupt(`directory ${inode} has a size`);
      if (field(inodeWord.first) !== nextEntry) throw corrupt(`the entries of directory ${inode} do not begin where they must`);
      if (field(inodeWord.count) > entryCount - nextEntry) throw corrupt(`directory ${inode} has more entries than there are`);
      const end = nextEntry + field(inodeWord.count);
      for (const first = nextEntry; nextEntry < end; nextEntry++) {
        checkName(manifest, nextEntry, nextEntry > first);
        const child = entries[nextEntry * entryWord.sizeof + entryWord.inode] as number;
        if (child > nextInode || child >= inodeCount || child === 0)
          throw corrupt(`entry ${nextEntry} names inode ${child} out of order`);
        const childType = (inodes[child * inodeWord.sizeof + inodeWord.mode] as number) & fileType.mask;
        if (childType === fileType.directory) {
          if (child !== nextInode) throw corrupt(`directory ${child} has two parents`);
          if (inodes[child * inodeWord.sizeof + inodeWord.parent] !== inode)
            throw corrupt(`directory ${child} names another parent`);
          (subdirectories[inode] as number)++;
        }
        if (child === nextInode) nextInode++;
        links[child] = (links[child] as number) + 1;
      }
      if (inode === 0 && field(inodeWord.parent) !== 0) throw corrupt("its root has a parent");
      continue;
    }
    const isDevice = type === fileType.block || type === fileType.character;
    if ((field(inodeWord.count) !== 0 && !isDevice) || field(inodeWord.parent) !== 0)
      throw corrupt(`inode ${inode} has fields of a directory`);
    if (type === fileType.regular) {
      if (field(inodeWord.first) >= digestCount) throw corrupt(`file ${inode} names a digest that is not there`);
    } else if (type === fileType.symlink) {
      const offset = field(inodeWord.first);
      const length = field(inodeWord.sizeLow);
      if (field(inodeWord.sizeHigh) !== 0 || length === 0 || length > 4095)
        throw corrupt(`symlink ${inode} has a target of impossible length`);
      if (offset + length > names.length) throw corrupt(`the target of symlink ${inode} lies outside`);
      if (names.subarray(offset, offset + length).includes(0)) throw corrupt(`the target of symlink ${inode} holds a NUL`);
    } else {
      checkSpecial(manifest, inode, type, isDevice);
      hasSpecial = true;
    }
  }
  if (hasSpecial !== ((manifest.bytes.readUInt32LE(header.features) & feature.special) !== 0))
    throw corrupt("its feature bits say otherwise of devices, fifos and sockets");
  if (nextInode !== inodeCount || nextEntry !== entryCount) throw corrupt("entries are left over");

  for (let inode = 0; inode < inodeCount; inode++) {
    const isDirectory = ((inodes[inode * inodeWord.sizeof] as number) & fileType.mask) === fileType.directory;
    const expected = isDirectory ? 2 + (subdirectories[inode] as number) : (links[inode] as number);
    if (inodes[inode * inodeWord.sizeof + inodeWord.linkCount] !== expected)
      throw corrupt(`inode ${inode} has a wrong link count`);
  }
}

/** Devices, fifos and sockets: Linux has 12 bits of major, 20 of minor numbers. */
function checkSpecial({ inodes }: Manifest, inode: number, type: number, isDevice: boolean): void {
  const field = (at: number): number => inodes[inode * inodeWord.sizeof + at] as number;
  if (!isDevice && type !== fileType.fifo && type !== fileType.socket) throw corrupt(`inode ${inode} has an unknown type`);
  if (field(inodeWord.sizeLow) !== 0 || field(inodeWord.sizeHigh) !== 0) throw corrupt(`inode ${inode} has a size`);
  const [mostMajor, mostMinor] = isDevice ? [0xfff, 0xf_ffff] : [0, 0];
  if (field(inodeWord.first) > mostMajor || field(inodeWord.count) > mostMinor)
    throw corrupt(`inode ${inode} has impossible device numbers`);
}

function checkName(manifest: Manifest, entry: number, hasPredecessor: boolean): void {
  const { entries, names } = manifest;
  const offset = entries[entry * entryWord.sizeof + entryWord.nameOffset] as number;
  const length = entries[entry * entryWord.sizeof + entryWord.nameBytes] as number;
  if (length === 0 || length > 255) throw corrupt(`entry ${entry} has a name of impossible length`);
  if (offset + length > names.length) throw corrupt(`the name of entry ${entry} lies outside`);
  for (let i = offset; i < offset + length; i++) {
    if (names[i] === 0 || names[i] === 0x2f) throw corrupt(`the name of entry ${entry} holds a NUL or a slash`);
  }
  if (names[offset] === 0x2e && (length === 1 || (length === 2 && names[offset + 1] === 0x2e))) {
    throw corrupt(`entry ${entry} is called "." or ".."`);
  }
  if (!hasPredecessor) return;
  const before = entries[(entry - 1) * entryWord.sizeof + entryWord.nameOffset] as number;
  const beforeEnd = before + (entries[(entry - 1) * entryWord.sizeof + entryWord.nameBytes] as number);
  if (names.compare(names, offset, offset + length, before, beforeEnd) >= 0) throw corrupt(`entry ${entry} is not in order`);
}

function checkDigests({ digests }: Manifest): void {
  for (let at = DIGEST_BYTES; at < digests.length; at += DIGEST_BYTES) {
    const ordered = digests.compare(digests, at, at + DIGEST_BYTES, at - DIGEST_BYTES, at) < 0;
    if (!ordered) throw corrupt("its digests are not sorted, each once");
  }
}

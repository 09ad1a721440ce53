// ⑤ Writes a manifest as an EROFS image of names and attributes: files say where their content lies, and hold none.

import { HobError } from "../../base/errors.ts";
import { inodeWord, type Manifest, sizeOf, targetOf } from "../image/manifest.ts";
import { fileType } from "../wire/constants.ts";
import { attributeBytes, attributeWords, writeAttributes } from "./attributes.ts";
import { directoryBytes, writeDirectory } from "./directory.ts";
import {
  BLOCK_BITS,
  BLOCK_BYTES,
  CHUNK_BYTES,
  CHUNK_FORMAT,
  FEATURE_CHUNKED_FILE,
  FEATURE_MTIME,
  format,
  inodeField,
  MAGIC,
  NO_BLOCK,
  SLOT_BYTES,
  SUPERBLOCK_OFFSET,
  superblock,
} from "./layout.ts";

/** Where each inode's parts lie, by its index in the manifest. */
interface Plan {
  /** Slot of the inode itself. */
  nids: Float64Array;
  /** Bytes of its attributes, which follow it. */
  attributes: Uint32Array;
  /** Bytes of data, which directories and symlinks have: of these `tails` lie behind the inode, the rest from the data's block `blocks` on. */
  data: Uint32Array;
  tails: Uint16Array;
  blocks: Uint32Array;
  firstDataBlock: number;
  blockCount: number;
}

const blocksOf = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES);
const typeAt = (manifest: Manifest, inode: number): number =>
  (manifest.inodes[inode * inodeWord.sizeof + inodeWord.mode] as number) & fileType.mask;

/** Bytes of what an inode holds beside attributes: a directory's entries, a symlink's target. */
function dataBytes(manifest: Manifest, inode: number): number {
  const type = typeAt(manifest, inode);
  if (type === fileType.directory) return directoryBytes({ manifest, directory: inode });
  return type === fileType.symlink ? sizeOf(manifest, inode) : 0;
}

const chunksOf = (manifest: Manifest, inode: number): number =>
  typeAt(manifest, inode) === fileType.regular ? Math.ceil(sizeOf(manifest, inode) / CHUNK_BYTES) : 0;

/** Inodes lie in the manifest's order, so what one directory holds lies together; none crosses a block that need not. */
function planOf(manifest: Manifest): Plan {
  const count = manifest.inodeCount;
  const nids = new Float64Array(count);
  const [attributes, data, blocks] = [new Uint32Array(count), new Uint32Array(count), new Uint32Array(count)];
  const tails = new Uint16Array(count);
  let at = SUPERBLOCK_OFFSET + superblock.sizeof;
  let dataBlocks = 0;
  for (let inode = 0; inode < count; inode++) {
    attributes[inode] = attributeBytes(manifest, inode);
    const bytes = dataBytes(manifest, inode);
    const head = inodeField.sizeof + (attributes[inode] as number) + 4 * chunksOf(manifest, inode);
    const tail = head + (bytes % BLOCK_BYTES) <= BLOCK_BYTES ? bytes % BLOCK_BYTES : 0;
    at = Math.ceil(at / SLOT_BYTES) * SLOT_BYTES;
    if ((at % BLOCK_BYTES) + head + tail > BLOCK_BYTES) at = blocksOf(at) * BLOCK_BYTES;
    nids[inode] = at / SLOT_BYTES;
    data[inode] = bytes;
    tails[inode] = tail;
    blocks[inode] = dataBlocks;
    at += head + tail;
    dataBlocks += blocksOf(bytes - tail);
  }
  const firstDataBlock = blocksOf(at);
  return { nids, attributes, data, tails, blocks, firstDataBlock, blockCount: firstDataBlock + dataBlocks };
}

function writeSuperblock(image: Buffer, rootNid: number, inodeCount: number): void {
  const at = SUPERBLOCK_OFFSET;
  image.writeUInt32LE(MAGIC, at + superblock.magic);
  image.writeUInt32LE(FEATURE_MTIME, at + superblock.compatible);
  image.writeUInt8(BLOCK_BITS, at + superblock.blockBits);
  image.writeUInt16LE(rootNid, at + superblock.rootNid);
  image.writeUInt32LE(inodeCount, at + superblock.inodeCount);
  image.writeUInt32LE(image.length / BLOCK_BYTES, at + superblock.blocks);
  image.writeUInt32LE(FEATURE_CHUNKED_FILE, at + superblock.incompatible);
}

/** A device's number as the kernel decodes it (new_decode_dev): 12 bits of major amid 20 of minor. */
const deviceNumber = (major: number, minor: number): number => ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;

/** The part of an inode that all have in common; its size is that of the file, or of the data. `words`: the image, of which inodes begin at whole words. */
function writeInode(words: Uint32Array, at: number, manifest: Manifest, inode: number, plan: Plan): void {
  const { inodes } = manifest;
  const from = inode * inodeWord.sizeof;
  const isFile = typeAt(manifest, inode) === fileType.regular;
  const size = isFile ? sizeOf(manifest, inode) : (plan.data[inode] as number);
  const layout = isFile && size > 0 ? format.chunked : plan.tails[inode] === 0 ? format.plain : format.inline;
  const to = at / 4;
  words[to + inodeField.format / 4] = layout | (attributeWords(plan.attributes[inode] as number) << 16);
  words[to + inodeField.mode / 4] = (inodes[from + inodeWord.mode] as number) & 0xffff;
  words[to + inodeField.size / 4] = size >>> 0;
  words[to + inodeField.size / 4 + 1] = Math.floor(size / 0x1_0000_0000);
  words[to + inodeField.number / 4] = inode + 1;
  words[to + inodeField.uid / 4] = inodes[from + inodeWord.uid] as number;
  words[to + inodeField.gid / 4] = inodes[from + inodeWord.gid] as number;
  words[to + inodeField.mtime / 4] = inodes[from + inodeWord.mtimeLow] as number;
  words[to + inodeField.mtime / 4 + 1] = inodes[from + inodeWord.mtimeHigh] as number;
  words[to + inodeField.mtimeNanoseconds / 4] = inodes[from + inodeWord.mtimeNanoseconds] as number;
  words[to + inodeField.linkCount / 4] = inodes[from + inodeWord.linkCount] as number;
}

/** The image, to be mounted beneath folders of blobs as overlayfs's data-only layers. HobError `exhausted` for what EROFS has no room for. */
export function erofsOf(manifest: Manifest): Buffer {
  const plan = planOf(manifest);
  if (plan.blockCount >= NO_BLOCK) throw new HobError("exhausted", "an image's names do not fit into an EROFS image");
  const image = Buffer.alloc(plan.blockCount * BLOCK_BYTES); // of its own, so at a whole word
  const words = new Uint32Array(image.buffer, image.byteOffset, image.length / 4);
  writeSuperblock(image, plan.nids[0] as number, manifest.inodeCount);
  let scratch = Buffer.alloc(BLOCK_BYTES);

  /** The last, partial block of data right behind the inode where it fits, the rest in blocks of its own. */
  function writeData(inode: number, at: number, behind: number): void {
    const [data, tail] = [plan.data[inode] as number, plan.tails[inode] as number];
    const block = plan.firstDataBlock + (plan.blocks[inode] as number);
    if (data > tail) image.writeUInt32LE(block, at + inodeField.union);
    if (scratch.length < data) scratch = Buffer.alloc(blocksOf(data) * BLOCK_BYTES);
    const content = scratch.subarray(0, data).fill(0);
    if (typeAt(manifest, inode) === fileType.symlink) targetOf(manifest, inode).copy(content);
    else writeDirectory({ manifest, directory: inode }, plan.nids, content);
    content.copy(image, block * BLOCK_BYTES, 0, data - tail);
    content.copy(image, behind, data - tail);
  }

  for (let inode = 0; inode < manifest.inodeCount; inode++) {
    const at = (plan.nids[inode] as number) * SLOT_BYTES;
    writeInode(words, at, manifest, inode, plan);
    writeAttributes(manifest, inode, image, at + inodeField.sizeof);
    const behind = at + inodeField.sizeof + (plan.attributes[inode] as number);
    const type = typeAt(manifest, inode);
    if (type === fileType.character || type === fileType.block) {
      const [major, minor] = [inodeWord.first, inodeWord.count].map((field) => manifest.inodes[inode * inodeWord.sizeof + field]);
      image.writeUInt32LE(deviceNumber(major as number, minor as number), at + inodeField.union);
    } else if (type !== fileType.regular) {
      if (plan.data[inode] !== 0) writeData(inode, at, behind);
    } else if (sizeOf(manifest, inode) > 0) {
      image.writeUInt32LE(CHUNK_FORMAT, at + inodeField.union);
      for (let chunk = chunksOf(manifest, inode) - 1; chunk >= 0; chunk--) image.writeUInt32LE(NO_BLOCK, behind + 4 * chunk);
    }
  }
  return image;
}

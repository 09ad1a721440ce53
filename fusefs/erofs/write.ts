// ⑤ Writes a manifest as an EROFS image of names and attributes: files say where their content lies, and hold none.

import { HobError } from "../../base/errors.ts";
import { digestOf, inodeWord, type Manifest, sizeOf, targetOf } from "../image/manifest.ts";
import { fileType } from "../wire/constants.ts";
import { type Attributes, attributesOf, attributeWords, writeAttributes } from "./attributes.ts";
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

interface Placed {
  attributes: Attributes;
  /** Bytes of data, which directories and symlinks have: of these `tail` bytes lie behind the inode, the rest from `block` on. */
  data: number;
  tail: number;
  block: number;
}

const blocksOf = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES);

/** Where everything goes. Inodes lie in the manifest's order, so what one directory holds lies together; none crosses a block that need not. */
function place(manifest: Manifest): { nids: Float64Array; placed: Placed[]; firstDataBlock: number; blocks: number } {
  const nids = new Float64Array(manifest.inodeCount);
  const placed: Placed[] = [];
  let at = SUPERBLOCK_OFFSET + superblock.sizeof;
  let dataBlocks = 0;
  for (let inode = 0; inode < manifest.inodeCount; inode++) {
    const type = (manifest.inodes[inode * inodeWord.sizeof + inodeWord.mode] as number) & fileType.mask;
    const size = sizeOf(manifest, inode);
    const digest = type === fileType.regular && size > 0 ? digestOf(manifest, inode) : undefined;
    const attributes = attributesOf(manifest, inode, digest);
    const data =
      type === fileType.directory ? directoryBytes({ manifest, directory: inode }) : type === fileType.symlink ? size : 0;
    const head = inodeField.sizeof + attributes.bytes + (digest ? 4 * Math.ceil(size / CHUNK_BYTES) : 0);
    const tail = head + (data % BLOCK_BYTES) <= BLOCK_BYTES ? data % BLOCK_BYTES : 0;
    at = Math.ceil(at / SLOT_BYTES) * SLOT_BYTES;
    if ((at % BLOCK_BYTES) + head + tail > BLOCK_BYTES) at = blocksOf(at) * BLOCK_BYTES;
    nids[inode] = at / SLOT_BYTES;
    placed.push({ attributes, data, tail, block: dataBlocks });
    at += head + tail;
    dataBlocks += blocksOf(data - tail);
  }
  const firstDataBlock = blocksOf(at);
  return { nids, placed, firstDataBlock, blocks: firstDataBlock + dataBlocks };
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

/** The image, to be mounted beneath folders of blobs as overlayfs's data-only layers. HobError `exhausted` for what EROFS has no room for. */
export function erofsOf(manifest: Manifest): Buffer {
  const { nids, placed, firstDataBlock, blocks } = place(manifest);
  if (blocks >= NO_BLOCK) throw new HobError("exhausted", "an image's names and attributes do not fit into an EROFS image");
  const image = Buffer.alloc(blocks * BLOCK_BYTES);
  writeSuperblock(image, nids[0] as number, manifest.inodeCount);
  let scratch = Buffer.alloc(BLOCK_BYTES);

  for (const [inode, { attributes, data, tail, block }] of placed.entries()) {
    const at = (nids[inode] as number) * SLOT_BYTES;
    const word = (field: number): number => manifest.inodes[inode * inodeWord.sizeof + field] as number;
    const mode = word(inodeWord.mode);
    const type = mode & fileType.mask;
    const size = type === fileType.regular ? sizeOf(manifest, inode) : data;
    image.writeUInt16LE(tail > 0 ? format.inline : format.plain, at + inodeField.format);
    image.writeUInt16LE(attributeWords(attributes), at + inodeField.xattrCount);
    image.writeUInt16LE(mode, at + inodeField.mode);
    image.writeUInt32LE(size >>> 0, at + inodeField.size);
    image.writeUInt32LE(Math.floor(size / 0x1_0000_0000), at + inodeField.size + 4);
    image.writeUInt32LE(inode + 1, at + inodeField.number);
    image.writeUInt32LE(word(inodeWord.uid), at + inodeField.uid);
    image.writeUInt32LE(word(inodeWord.gid), at + inodeField.gid);
    image.writeUInt32LE(word(inodeWord.mtimeLow), at + inodeField.mtime);
    image.writeUInt32LE(word(inodeWord.mtimeHigh), at + inodeField.mtime + 4);
    image.writeUInt32LE(word(inodeWord.mtimeNanoseconds), at + inodeField.mtimeNanoseconds);
    image.writeUInt32LE(word(inodeWord.linkCount), at + inodeField.linkCount);
    if (attributes.bytes > 0) writeAttributes(attributes, image, at + inodeField.sizeof);
    const behind = at + inodeField.sizeof + attributes.bytes;

    if (type === fileType.regular && size > 0) {
      image.writeUInt16LE(format.chunked, at + inodeField.format);
      image.writeUInt32LE(CHUNK_FORMAT, at + inodeField.union);
      for (let chunk = 0; chunk * CHUNK_BYTES < size; chunk++) image.writeUInt32LE(NO_BLOCK, behind + 4 * chunk);
    } else if (type === fileType.character || type === fileType.block) {
      image.writeUInt32LE(deviceNumber(word(inodeWord.first), word(inodeWord.count)), at + inodeField.union);
    } else if (data > 0) {
      image.writeUInt32LE(data > tail ? firstDataBlock + block : 0, at + inodeField.union);
      if (scratch.length < data) scratch = Buffer.alloc(blocksOf(data) * BLOCK_BYTES);
      const content = scratch.subarray(0, data);
      if (type === fileType.symlink) targetOf(manifest, inode).copy(content);
      else {
        content.fill(0);
        writeDirectory({ manifest, directory: inode }, nids, content);
      }
      content.copy(image, (firstDataBlock + block) * BLOCK_BYTES, 0, data - tail);
      content.copy(image, behind, data - tail);
    }
  }
  return image;
}

// ⑤ Writes the sections of a manifest: encode.ts decides what they hold.

import { bytesOfText, textOfBytes } from "../../base/byte-text.ts";
import { isDigest } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { fileType } from "../wire/constants.ts";
import {
  DIGEST_BYTES,
  feature,
  header,
  inodeWord,
  MAGIC,
  type SectionName,
  sections,
  UNCHUNKED_BYTES,
  VERSION,
  XATTR_VALUE_BYTES,
} from "./manifest.ts";
import { chunkCount } from "./tables.ts";

const bad = (what: string): HobError => new HobError("usage", `writing a manifest: ${what}`);

export type Names = ReturnType<typeof createNames>;

/** Names, targets and attributes, each different text once. */
export function createNames() {
  const places = new Map<string, { offset: number; length: number }>();
  const pieces: Buffer[] = [];
  let bytes = 0;

  function keep(key: string, piece: Buffer): { offset: number; length: number } {
    const place = { offset: bytes, length: piece.length };
    places.set(key, place);
    pieces.push(piece);
    bytes += piece.length;
    return place;
  }

  return {
    add(text: string) {
      const known = places.get(text);
      if (known) return known;
      const piece = bytesOfText(text);
      const normal = text.isWellFormed() ? text : textOfBytes(piece); // escaped bytes may together be well-formed after all
      return places.get(normal) ?? keep(normal, piece);
    },
    /** Values of attributes stand beside names, never in their place: a NUL before the key keeps them apart. */
    addValue(value: Buffer) {
      const key = `\0${value.toString("latin1")}`;
      return places.get(key) ?? keep(key, value);
    },
    blob: () => Buffer.concat(pieces),
  };
}

export function writeXattrs(
  inodes: readonly { path: string; xattrs?: ReadonlyMap<string, Buffer> }[],
  names: Names,
): Uint32Array {
  const words: number[] = [];
  for (const [inode, { path, xattrs }] of inodes.entries()) {
    if (!xattrs?.size) continue;
    const sorted = [...xattrs].map(([name, value]) => ({ name, bytes: bytesOfText(name), value }));
    sorted.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    for (const { name, bytes, value } of sorted) {
      if (bytes.length === 0 || bytes.length > 255 || bytes.includes(0))
        throw bad(`"${path}" has an attribute with the name ${JSON.stringify(name)}`);
      if (value.length > XATTR_VALUE_BYTES) throw bad(`the attribute ${name} of "${path}" has more than 64 KiB`);
      const nameAt = names.add(name);
      const valueAt = names.addValue(value);
      words.push(inode, nameAt.offset, nameAt.length, valueAt.offset, valueAt.length);
    }
  }
  return Uint32Array.from(words);
}

interface FileContent {
  path: string;
  size: number;
  digest: string;
  chunks?: readonly string[];
}

/** The chunks of each content once, in the order of the digests. */
export function writeChunks(
  files: readonly FileContent[],
  digestIndex: ReadonlyMap<string, number>,
): { chunked: Uint32Array; chunks: string[] } {
  const contents = new Map<string, FileContent & { chunks: readonly string[] }>();
  for (const { path, size, digest, chunks } of files) {
    if (!isDigest(digest)) throw bad(`"${path}" has the digest ${JSON.stringify(digest)}`);
    if (!chunks) continue;
    if (size <= UNCHUNKED_BYTES || chunks.length !== chunkCount(size) || !chunks.every(isDigest))
      throw bad(`"${path}" has ${chunks.length} chunks and ${size} bytes`);
    contents.set(digest, { path, size, digest, chunks });
  }
  if (contents.size > 0) {
    for (const { path, size, digest } of files) {
      if ((contents.get(digest)?.size ?? size) !== size) throw bad(`"${path}" has another size than its content`);
    }
  }
  const indexed = [...contents.values()].map((content) => ({ ...content, index: digestIndex.get(content.digest) as number }));
  const words: number[] = [];
  const all: string[] = [];
  for (const { index, size, chunks } of indexed.sort((a, b) => a.index - b.index)) {
    words.push(index, all.length, size >>> 0, Math.floor(size / 0x1_0000_0000));
    for (const chunk of chunks) all.push(chunk);
  }
  return { chunked: Uint32Array.from(words), chunks: all };
}

const plainTypes: readonly number[] = [fileType.directory, fileType.regular, fileType.symlink];

function featuresOf(inodeWords: Uint32Array, data: Readonly<Record<SectionName, Buffer>>): number {
  let features = 0;
  for (let at = inodeWord.mode; at < inodeWords.length; at += inodeWord.sizeof) {
    if (!plainTypes.includes((inodeWords[at] as number) & fileType.mask)) features |= feature.special;
  }
  for (const [name, { feature: needed }] of Object.entries(sections)) {
    if (data[name as SectionName].length > 0) features |= needed;
  }
  return features;
}

function digestBytes(digests: readonly string[]): Buffer {
  const bytes = Buffer.alloc(digests.length * DIGEST_BYTES);
  for (const [index, digest] of digests.entries()) bytes.write(digest, index * DIGEST_BYTES, "hex");
  return bytes;
}

type SectionData = Record<"inodes" | "entries" | "xattrs" | "chunked", Uint32Array> &
  Record<"digests" | "chunks", readonly string[]> &
  Record<"names" | "config", Buffer>;

/** Header and sections as one buffer of its own. */
export function assemble(given: SectionData): Buffer {
  const wordBytes = ({ buffer, byteOffset, byteLength }: Uint32Array): Buffer => Buffer.from(buffer, byteOffset, byteLength);
  const data: Record<SectionName, Buffer> = {
    inodes: wordBytes(given.inodes),
    entries: wordBytes(given.entries),
    digests: digestBytes(given.digests),
    xattrs: wordBytes(given.xattrs),
    chunked: wordBytes(given.chunked),
    chunks: digestBytes(given.chunks),
    names: given.names,
    config: given.config,
  };
  const features = featuresOf(given.inodes, data);
  const totalBytes = Object.values(data).reduce<number>((sum, { length }) => sum + length, header.sizeof);
  if (totalBytes > 0xffff_ffff) throw bad("it would have more than 4 GiB");
  const bytes = Buffer.from(new ArrayBuffer(totalBytes));
  MAGIC.copy(bytes, header.magic);
  bytes.writeUInt16LE(VERSION, header.version);
  bytes.writeUInt16LE(header.sizeof, header.headerBytes);
  bytes.writeUInt32LE(features, header.features);
  bytes.writeUInt32LE(totalBytes, header.totalBytes);
  let at: number = header.sizeof;
  for (const [name, { offset, count, recordBytes, feature: needed }] of Object.entries(sections)) {
    if ((features & needed) !== needed) continue;
    const piece = data[name as SectionName];
    bytes.writeUInt32LE(at, offset);
    bytes.writeUInt32LE(piece.length / recordBytes, count);
    piece.copy(bytes, at);
    at += piece.length;
  }
  return bytes;
}

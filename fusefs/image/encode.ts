// ⑤ Writes a manifest from a list of entries. The same entries, in any order, give the same bytes.

import { HobError } from "../../base/errors.ts";
import { fileType } from "../wire/constants.ts";
import { DIGEST_BYTES, entryWord, header, inodeWord, MAGIC, VERSION } from "./manifest.ts";

interface EntryMetadata {
  /** Relative to the root, '/' between names; "" is the root itself. Folders that no entry names come up as root's, 0755. */
  path: string;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
}

export type ManifestEntry =
  | ({ kind: "directory" } & EntryMetadata)
  /** Entries of one `hardLink` key are names of one inode, which the first of them (by path, breadth first) describes. */
  | ({ kind: "file"; size: number; digest: string; hardLink?: string } & EntryMetadata)
  | ({ kind: "symlink"; target: string } & EntryMetadata);

/** 1980-01-01, the oldest time that zip files know: for what has no time of its own. */
export const TIMELESS_SECONDS = 315_532_800;

interface Node {
  entry: ManifestEntry;
  children: Map<string, Node> | undefined;
  inode: number;
  links: number;
}

const bad = (what: string): HobError => new HobError("usage", `writing a manifest: ${what}`);

function newNode(entry: ManifestEntry): Node {
  return {
    entry,
    children: entry.kind === "directory" ? new Map() : undefined,
    inode: -1,
    links: entry.kind === "directory" ? 2 : 0,
  };
}

function implicitDirectory(path: string): ManifestEntry {
  return { kind: "directory", path, mode: 0o755, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
}

function buildTree(entries: Iterable<ManifestEntry>): Node {
  const root = newNode(implicitDirectory(""));
  const folders = new Map<string, Node>([["", root]]);
  function folderAt(path: string): Node {
    const known = folders.get(path);
    if (known) return known;
    const made = place(path, implicitDirectory(path));
    return made;
  }
  function place(path: string, entry: ManifestEntry): Node {
    const cut = path.lastIndexOf("/");
    if (cut === 0) throw bad(`"${path}" is not a path within the tree`);
    const name = path.slice(cut + 1);
    const parent = folderAt(cut < 0 ? "" : path.slice(0, cut));
    if (!parent.children) throw bad(`"${path}" lies below something that is not a directory`);
    if (name === "" || name === "." || name === ".." || name.includes("\0")) throw bad(`"${path}" is not a path within the tree`);
    const node = newNode(entry);
    const present = parent.children.get(name);
    if (present) {
      // A directory that came up implicitly, as somebody's parent, gets its own entry afterwards.
      if (entry.kind !== "directory" || present.entry.kind !== "directory") throw bad(`"${path}" is there twice`);
      present.entry = entry;
      return present;
    }
    parent.children.set(name, node);
    if (node.children) parent.links++;
    folders.set(path, node);
    return node;
  }
  for (const entry of entries) {
    if (entry.path !== "") place(entry.path, entry);
    else if (entry.kind === "directory") root.entry = entry;
    else throw bad("the root is not a directory");
  }
  return root;
}

/** Names and targets, each different text once. */
function createNames() {
  const offsets = new Map<string, { offset: number; length: number }>();
  const pieces: Buffer[] = [];
  let bytes = 0;
  return {
    add(text: string) {
      let place = offsets.get(text);
      if (!place) {
        const piece = Buffer.from(text, "utf8");
        place = { offset: bytes, length: piece.length };
        offsets.set(text, place);
        pieces.push(piece);
        bytes += piece.length;
      }
      return place;
    },
    blob: () => Buffer.concat(pieces),
  };
}

const ascii = /^[\0-\x7f]*$/;

/** Bytewise order of names; JavaScript's own order is the same for ASCII. */
function compareNames([a]: [string, Node], [b]: [string, Node]): number {
  if (ascii.test(a) && ascii.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));
}

/** Inodes in breadth-first order, and the entries of each directory in turn. */
function number(root: Node): { inodes: Node[]; parents: number[]; entries: { name: string; node: Node }[] } {
  root.inode = 0;
  const inodes = [root];
  const parents = [0];
  const entries: { name: string; node: Node }[] = [];
  const hardLinks = new Map<string, Node>();
  for (let at = 0; at < inodes.length; at++) {
    const { children } = inodes[at] as Node;
    if (!children) continue;
    for (const [name, child] of [...children].sort(compareNames)) {
      const key = child.entry.kind === "file" ? child.entry.hardLink : undefined;
      const node = (key !== undefined && hardLinks.get(key)) || child;
      if (node.inode < 0) {
        node.inode = inodes.length;
        inodes.push(node);
        parents.push(node.children ? at : 0);
        if (key !== undefined) hardLinks.set(key, node);
      }
      if (!node.children) node.links++;
      entries.push({ name, node });
    }
  }
  return { inodes, parents, entries };
}

/** The manifest of these entries; HobError `usage` for a path that is there twice or leads out of the tree. */
export function encodeManifest(list: Iterable<ManifestEntry>): Buffer {
  const { inodes, parents, entries } = number(buildTree(list));
  const digests = [...new Set(inodes.flatMap(({ entry }) => (entry.kind === "file" ? [entry.digest] : [])))].sort();
  const digestIndex = new Map(digests.map((digest, index) => [digest, index]));
  const names = createNames();

  const entryWords = new Uint32Array(entries.length * entryWord.sizeof);
  for (const [index, { name, node }] of entries.entries()) {
    const { offset, length } = names.add(name);
    if (length > 255) throw bad(`the name "${name.slice(0, 40)}…" has more than 255 bytes`);
    entryWords.set([node.inode, offset, length], index * entryWord.sizeof);
  }

  const inodeWords = new Uint32Array(inodes.length * inodeWord.sizeof);
  let nextEntry = 0;
  for (const [inode, { entry, children, links }] of inodes.entries()) {
    let [type, size, first, count] = [0, 0, 0, 0];
    if (entry.kind === "directory") {
      [type, first, count] = [fileType.directory, nextEntry, children?.size ?? 0];
      nextEntry += count;
    } else if (entry.kind === "file") {
      if (!Number.isSafeInteger(entry.size) || entry.size < 0) throw bad(`"${entry.path}" has the size ${entry.size}`);
      [type, size, first] = [fileType.regular, entry.size, digestIndex.get(entry.digest) as number];
    } else {
      const target = names.add(entry.target);
      if (target.length === 0 || target.length > 4095)
        throw bad(`the symlink "${entry.path}" has a target of ${target.length} bytes`);
      [type, size, first] = [fileType.symlink, target.length, target.offset];
    }
    const seconds = BigInt.asUintN(64, BigInt(Math.floor(entry.mtimeSeconds)));
    const record = [
      type | (entry.mode & 0o7777),
      links,
      entry.uid,
      entry.gid,
      entry.mtimeNanoseconds,
      parents[inode] as number,
      Number(seconds & 0xffffffffn),
      Number(seconds >> 32n),
      size >>> 0,
      Math.floor(size / 0x1_0000_0000),
      first,
      count,
    ];
    inodeWords.set(record, inode * inodeWord.sizeof);
  }
  return assemble(inodeWords, entryWords, digests, names.blob());
}

function assemble(inodeWords: Uint32Array, entryWords: Uint32Array, digests: string[], names: Buffer): Buffer {
  const inodesOffset = header.sizeof;
  const entriesOffset = inodesOffset + inodeWords.byteLength;
  const digestsOffset = entriesOffset + entryWords.byteLength;
  const namesOffset = digestsOffset + digests.length * DIGEST_BYTES;
  const bytes = Buffer.from(new ArrayBuffer(namesOffset + names.length));
  MAGIC.copy(bytes, header.magic);
  bytes.writeUInt16LE(VERSION, header.version);
  bytes.writeUInt16LE(header.sizeof, header.headerBytes);
  bytes.writeUInt32LE(inodeWords.length / inodeWord.sizeof, header.inodeCount);
  bytes.writeUInt32LE(entryWords.length / entryWord.sizeof, header.entryCount);
  bytes.writeUInt32LE(digests.length, header.digestCount);
  bytes.writeUInt32LE(names.length, header.namesBytes);
  bytes.writeUInt32LE(inodesOffset, header.inodesOffset);
  bytes.writeUInt32LE(entriesOffset, header.entriesOffset);
  bytes.writeUInt32LE(digestsOffset, header.digestsOffset);
  bytes.writeUInt32LE(namesOffset, header.namesOffset);
  bytes.writeUInt32LE(bytes.length, header.totalBytes);
  bytes.set(Buffer.from(inodeWords.buffer), inodesOffset);
  bytes.set(Buffer.from(entryWords.buffer), entriesOffset);
  for (const [index, digest] of digests.entries()) bytes.write(digest, digestsOffset + index * DIGEST_BYTES, "hex");
  names.copy(bytes, namesOffset);
  return bytes;
}

// ⑤ Writes a manifest from a list of entries. The same entries, in any order, give the same bytes.

import { bytesOfText, textOfBytes } from "../../base/byte-text.ts";
import { HobError } from "../../base/errors.ts";
import { atOnce, eachInSlices, inTurns, type Sliced } from "../../base/turns.ts";
import { fileType } from "../wire/constants.ts";
import { type ImageConfig, writeConfig } from "./config.ts";
import { entryWord, inodeWord } from "./manifest.ts";
import { assemble, createNames, type Names, writeChunks, writeXattrs } from "./sections.ts";

/** Paths, targets and attributes' names are texts of bytes (base/byte-text.ts). */
export interface EntryMetadata {
  /** Relative to the root, '/' between names; "" is the root itself. Folders that no entry names come up as root's, 0755. */
  path: string;
  /** Permission bits, with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  xattrs?: ReadonlyMap<string, Buffer>;
}

interface LinkedMetadata extends EntryMetadata {
  /** Entries of one key are names of one inode, which the first of them (by path, breadth first) describes. */
  hardLink?: string;
}

export type ManifestEntry =
  | ({ kind: "directory" } & EntryMetadata)
  /** `chunks`: sha256 of each 4 MiB piece, in order, of a file over 8 MiB that can be fetched piece by piece. */
  | ({ kind: "file"; size: number; digest: string; chunks?: readonly string[] } & LinkedMetadata)
  | ({ kind: "symlink"; target: string } & LinkedMetadata)
  | ({ kind: "device"; type: "block" | "character"; major: number; minor: number } & LinkedMetadata)
  | ({ kind: "fifo" } & LinkedMetadata)
  | ({ kind: "socket" } & LinkedMetadata);

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

function* buildTree(entries: Iterable<ManifestEntry>): Sliced<Node> {
  const root = newNode(implicitDirectory(""));
  const folders = new Map<string, Node>([["", root]]);
  function folderAt(path: string): Node {
    const known = folders.get(path);
    if (known) return known;
    const made = place(path, implicitDirectory(path));
    return made;
  }
  function place(given: string, entry: ManifestEntry): Node {
    // Escaped bytes may together be well-formed after all: one path, one text.
    const path = given.isWellFormed() ? given : textOfBytes(bytesOfText(given));
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
  yield* eachInSlices(entries, (entry) => {
    if (entry.path !== "") place(entry.path, entry);
    else if (entry.kind === "directory") root.entry = entry;
    else throw bad("the root is not a directory");
  });
  return root;
}

const ascii = /^[\0-\x7f]*$/;

/** Bytewise order of names; JavaScript's own order is the same for ASCII. */
function compareNames([a]: [string, Node], [b]: [string, Node]): number {
  if (ascii.test(a) && ascii.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(bytesOfText(a), bytesOfText(b));
}

/** Inodes in breadth-first order, and the entries of each directory in turn. */
function* number(root: Node): Sliced<{ inodes: Node[]; parents: number[]; entries: { name: string; node: Node }[] }> {
  root.inode = 0;
  const inodes = [root];
  const parents = [0];
  const entries: { name: string; node: Node }[] = [];
  const hardLinks = new Map<string, Node>();
  // The list grows while it is gone through.
  yield* eachInSlices(inodes, ({ children }, at) => {
    if (!children) return;
    for (const [name, child] of [...children].sort(compareNames)) {
      const key = child.entry.kind === "directory" ? undefined : child.entry.hardLink;
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
  });
  return { inodes, parents, entries };
}

interface Kind {
  type: number;
  size: number;
  first: number;
  count: number;
}

/** What an inode's kind says. `nextEntry`: where a directory's entries begin. */
function kindOf({ entry, children }: Node, nextEntry: number, digestIndex: ReadonlyMap<string, number>, names: Names): Kind {
  if (entry.kind === "directory") return { type: fileType.directory, size: 0, first: nextEntry, count: children?.size ?? 0 };
  if (entry.kind === "file") {
    const { path, size, digest } = entry;
    if (!Number.isSafeInteger(size) || size < 0) throw bad(`"${path}" has the size ${size}`);
    return { type: fileType.regular, size, first: digestIndex.get(digest) as number, count: 0 };
  }
  if (entry.kind === "symlink") {
    const { offset, length } = names.add(entry.target);
    if (length === 0 || length > 4095) throw bad(`the symlink "${entry.path}" has a target of ${length} bytes`);
    return { type: fileType.symlink, size: length, first: offset, count: 0 };
  }
  if (entry.kind === "device") {
    const { path, major, minor } = entry;
    if (major >>> 12 !== 0 || minor >>> 20 !== 0) throw bad(`"${path}" is the device ${major}:${minor}`);
    return { type: entry.type === "block" ? fileType.block : fileType.character, size: 0, first: major, count: minor };
  }
  return { type: entry.kind === "fifo" ? fileType.fifo : fileType.socket, size: 0, first: 0, count: 0 };
}

/** The manifest of these entries; HobError `usage` for a path that is there twice or leads out of the tree. */
export const encodeManifest = (list: Iterable<ManifestEntry>, config?: ImageConfig): Buffer => atOnce(encode(list, config));

/** The same where somebody else may be waiting: an image of 40,000 files takes a quarter of a second. */
export const encodeInTurns = (list: Iterable<ManifestEntry>, config?: ImageConfig): Promise<Buffer> =>
  inTurns(encode(list, config));

function* encode(list: Iterable<ManifestEntry>, config: ImageConfig | undefined): Sliced<Buffer> {
  const { inodes, parents, entries } = yield* number(yield* buildTree(list));
  const files = inodes.flatMap(({ entry }) => (entry.kind === "file" ? [entry] : []));
  const digests = [...new Set(files.map(({ digest }) => digest))].sort();
  yield;
  const digestIndex = new Map(digests.map((digest, index) => [digest, index]));
  const names = createNames();

  const entryWords = new Uint32Array(entries.length * entryWord.sizeof);
  yield* eachInSlices(entries, ({ name, node }, index) => {
    const { offset, length } = names.add(name);
    if (length > 255) throw bad(`the name "${name.slice(0, 40)}…" has more than 255 bytes`);
    entryWords.set([node.inode, offset, length], index * entryWord.sizeof);
  });

  const inodeWords = new Uint32Array(inodes.length * inodeWord.sizeof);
  let nextEntry = 0;
  yield* eachInSlices(inodes, (node, inode) => {
    const { entry, links } = node;
    const { type, size, first, count } = kindOf(node, nextEntry, digestIndex, names);
    if (type === fileType.directory) nextEntry += count;
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
  });
  return assemble({
    inodes: inodeWords,
    entries: entryWords,
    digests,
    xattrs: writeXattrs(
      inodes.map(({ entry }) => entry),
      names,
    ),
    ...writeChunks(files, digestIndex),
    names: names.blob(),
    config: writeConfig(config),
  });
}

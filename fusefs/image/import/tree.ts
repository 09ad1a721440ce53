// ⑤ The tree that layers make, one upon the other: what replaces what, what a whiteout hides, where a path leads. Pure; no content, no I/O.
// OCI image-spec, "Image Layer Filesystem Changeset".

import { bytesOfText } from "../../../base/byte-text.ts";
import { HobError } from "../../../base/errors.ts";
import { type ManifestEntry, TIMELESS_SECONDS } from "../encode.ts";
import type { TarEntry } from "./tar-reader.ts";

/** Filled in once the content is stored, which other entries need not wait for. */
export interface ContentSlot {
  stored?: { digest: string; size: number; chunks?: readonly string[] };
}

type Attributes = Pick<TarEntry, "mode" | "uid" | "gid" | "mtimeSeconds" | "mtimeNanoseconds" | "xattrs">;

type Thing =
  | { kind: "directory" }
  | { kind: "file"; content: ContentSlot }
  | { kind: "symlink"; target: string }
  | { kind: "device"; type: "block" | "character"; major: number; minor: number }
  | { kind: "fifo" };

/** What several names may share. */
interface Inode {
  attributes: Attributes;
  thing: Thing;
}

interface Node {
  inode: Inode;
  /** The last layer that has named it. */
  layer: number;
  children: Map<string, Node> | undefined;
}

export interface ImageTree {
  /** What follows is the next layer. */
  beginLayer(): void;
  /** Puts an entry at its path; a file's content comes later, in the slot. HobError `corrupt` for a path that leads nowhere. */
  place(entry: Omit<TarEntry, "content">, content?: ContentSlot): void;
  /** What the root holds. */
  names(): string[];
  /** Entries of a manifest; every slot must be filled. */
  entries(): Generator<ManifestEntry, void, undefined>;
}

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** AUFS's own files (".wh..wh.plnk" and the like), which are no whiteouts and no content. */
const RESERVED = ".wh..wh.";
const mostLinks = 40; // as the kernel follows
/** Of folders: what a path of 4,096 bytes can name. */
const mostDepth = 2048;
const mostNameBytes = 255;

const corrupt = (what: string): HobError => new HobError("corrupt", what);
const implicit: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: TIMELESS_SECONDS,
  mtimeNanoseconds: 0,
  xattrs: undefined,
};

/** The names of a path from the root. A slash in front means the image's root, as it does to whoever unpacks one. */
function namesOf(path: string, what: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw corrupt(`${what} leads out of its folder ("${path}")`);
  for (const name of names) {
    if (name.includes("\0")) throw corrupt(`${what} holds a NUL`);
    if (bytesOfText(name).length > mostNameBytes) throw corrupt(`${what} has a name of more than ${mostNameBytes} bytes`);
  }
  return names;
}

function directory(layer: number, attributes: Attributes = implicit): Node {
  return { inode: { attributes, thing: { kind: "directory" } }, layer, children: new Map() };
}

function* nodesBelow(node: Node, path: string): Generator<[Node, string], void, undefined> {
  yield [node, path];
  for (const [name, child] of node.children ?? []) yield* nodesBelow(child, path ? `${path}/${name}` : name);
}

/** A key for each inode that has several names. */
function hardLinkKeys(root: Node): Map<Inode, string> {
  const seen = new Set<Inode>();
  const keys = new Map<Inode, string>();
  for (const [{ inode }] of nodesBelow(root, "")) {
    if (seen.has(inode)) keys.set(inode, String(keys.size));
    else seen.add(inode);
  }
  return keys;
}

function entryOf({ attributes, thing }: Inode, path: string, key: string | undefined): ManifestEntry {
  const { xattrs, ...plain } = attributes;
  const metadata = { path, ...plain, ...(xattrs ? { xattrs } : {}) };
  if (thing.kind === "directory") return { ...thing, ...metadata };
  const linked = key === undefined ? metadata : { ...metadata, hardLink: key };
  if (thing.kind === "symlink") return { ...thing, ...linked, mode: 0o777 };
  if (thing.kind !== "file") return { ...thing, ...linked };
  const { stored } = thing.content;
  if (!stored) throw new HobError("internal", `the content of "${path}" has not been stored`);
  return { kind: "file", ...stored, ...linked };
}

export function createImageTree(): ImageTree {
  let layer = 0;
  const root = directory(layer);

  /** The directory that these names lead to, symlinks followed as inside the image; undefined where it is not there and not to be made. */
  function folderAt(names: string[], make: boolean): (Node & { children: Map<string, Node> }) | undefined {
    const way = [root];
    const left = [...names].reverse();
    let links = 0;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      if (name === "..") {
        if (way.length > 1) way.pop();
        continue;
      }
      const { children } = way.at(-1) as Node & { children: Map<string, Node> };
      let child = children.get(name);
      // A lower layer's file in the way of what this layer brings has been replaced by a folder that no entry names.
      const gaveWay = child && !child.children && child.inode.thing.kind !== "symlink" && child.layer < layer;
      if (!child || gaveWay) {
        if (!make) return undefined;
        child = directory(layer);
        children.set(name, child);
      }
      const { thing } = child.inode;
      if (thing.kind === "symlink") {
        if (++links > mostLinks) throw corrupt(`its folder is a symlink that leads to itself ("${names.join("/")}")`);
        if (thing.target.startsWith("/")) way.length = 1;
        left.push(
          ...thing.target
            .split("/")
            .filter((part) => part !== "" && part !== ".")
            .reverse(),
        );
      } else if (child.children) {
        if (way.push(child) > mostDepth) throw corrupt("it lies too deep");
      } else if (!make) return undefined;
      else throw corrupt(`its folder "${names.join("/")}" leads through "${name}", which is no directory`);
    }
    return way.at(-1) as Node & { children: Map<string, Node> };
  }

  /** Takes out what lower layers have put into a directory; what this layer has put there stays, before or after the whiteout. */
  function hideLower(children: Map<string, Node>): void {
    for (const [name, child] of children) if (!survives(child)) children.delete(name);
  }

  /** A directory that stays only for what this layer has put below it has nothing of its own any more. */
  function survives(node: Node): boolean {
    if (node.children) hideLower(node.children);
    if (node.layer === layer) return true;
    if (!node.children?.size) return false;
    node.inode = { ...node.inode, attributes: implicit };
    node.layer = layer;
    return true;
  }

  function link(parent: Map<string, Node>, name: string, target: string): void {
    const names = namesOf(target, "the file that it is a hard link to");
    const last = names.pop();
    const other = last === undefined ? undefined : folderAt(names, false)?.children.get(last);
    if (!other) throw corrupt(`it is a hard link to "${target}", which is not there`);
    if (other.children) throw corrupt(`it is a hard link to "${target}", which is a directory`);
    parent.set(name, { inode: other.inode, layer, children: undefined });
  }

  function thingOf(entry: Omit<TarEntry, "content">, content: ContentSlot | undefined): Thing {
    if (entry.kind === "file") return { kind: "file", content: content ?? {} };
    if (entry.kind === "symlink") {
      const length = bytesOfText(entry.link).length;
      if (length === 0 || length > 4095 || entry.link.includes("\0")) throw corrupt("its target is empty or too long");
      return { kind: "symlink", target: entry.link };
    }
    if (entry.kind === "fifo" || entry.kind === "directory") return { kind: entry.kind };
    const { major, minor } = entry;
    if (major < 0 || minor < 0 || major > 0xfff || minor > 0xfffff) throw corrupt(`its device ${major}:${minor} is impossible`);
    return { kind: "device", type: entry.kind === "block" ? "block" : "character", major, minor };
  }

  function place(entry: Omit<TarEntry, "content">, content?: ContentSlot): void {
    const names = namesOf(entry.path, "its path");
    const name = names.pop();
    const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs } = entry;
    const attributes: Attributes = { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs };
    if (name === undefined) {
      if (entry.kind !== "directory") throw corrupt("the root is not a directory");
      root.inode.attributes = attributes;
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      const lower = folderAt(names, false);
      if (name === OPAQUE) {
        if (lower) hideLower(lower.children);
      } else if (!name.startsWith(RESERVED)) {
        const hidden = name.slice(WHITEOUT.length);
        const node = lower?.children.get(hidden);
        if (node && !survives(node)) lower?.children.delete(hidden);
      }
      return;
    }
    const { children } = folderAt(names, true) as Node & { children: Map<string, Node> };
    if (entry.kind === "hardLink") {
      link(children, name, entry.link);
      return;
    }
    const thing = thingOf(entry, content);
    const present = children.get(name);
    if (thing.kind === "directory" && present?.children) {
      present.inode = { attributes, thing };
      present.layer = layer;
      return;
    }
    children.set(name, { inode: { attributes, thing }, layer, children: thing.kind === "directory" ? new Map() : undefined });
  }

  return {
    beginLayer() {
      layer++;
    },
    place,
    names: () => [...(root.children?.keys() ?? [])],
    *entries() {
      const keys = hardLinkKeys(root);
      for (const [node, path] of nodesBelow(root, "")) yield entryOf(node.inode, path, keys.get(node.inode));
    },
  };
}

// ⑤ A manifest read back as the entries that it could have been written from.

import { textOfBytes } from "../../base/byte-text.ts";
import { fileType } from "../wire/constants.ts";
import type { EntryMetadata, ManifestEntry } from "./encode.ts";
import type { Manifest } from "./manifest.ts";
import * as manifests from "./manifest.ts";
import { chunksOf, xattrName, xattrsOf, xattrValue } from "./tables.ts";

const { inodeWord } = manifests;

function metadataOf(manifest: Manifest, inode: number, path: string): EntryMetadata {
  const word = (field: number): number => manifest.inodes[inode * inodeWord.sizeof + field] as number;
  const metadata: EntryMetadata = {
    path,
    mode: word(inodeWord.mode) & 0o7777,
    uid: word(inodeWord.uid),
    gid: word(inodeWord.gid),
    // The upper half is signed: times before 1970.
    mtimeSeconds: (word(inodeWord.mtimeHigh) | 0) * 0x1_0000_0000 + word(inodeWord.mtimeLow),
    mtimeNanoseconds: word(inodeWord.mtimeNanoseconds),
  };
  const { first, end } = xattrsOf(manifest, inode);
  if (first === end) return metadata;
  const xattrs = new Map<string, Buffer>();
  for (let at = first; at < end; at++) xattrs.set(textOfBytes(xattrName(manifest, at)), xattrValue(manifest, at));
  return { ...metadata, xattrs };
}

function entryOf(manifest: Manifest, inode: number, path: string): ManifestEntry {
  const metadata = metadataOf(manifest, inode, path);
  const type = manifests.typeOf(manifest, inode);
  if (type === fileType.directory) return { kind: "directory", ...metadata };
  const links = manifest.inodes[inode * inodeWord.sizeof + inodeWord.linkCount] as number;
  const linked = links > 1 ? { ...metadata, hardLink: String(inode) } : metadata;
  if (type === fileType.regular) {
    const file = { digest: manifests.digestOf(manifest, inode), size: manifests.sizeOf(manifest, inode) };
    const chunked = chunksOf(manifest, inode);
    return { kind: "file", ...file, ...(chunked ? { chunks: chunked.chunks } : {}), ...linked };
  }
  if (type === fileType.symlink) {
    return { kind: "symlink", target: textOfBytes(manifests.targetOf(manifest, inode)), ...linked };
  }
  if (type === fileType.fifo) return { kind: "fifo", ...linked };
  if (type === fileType.socket) return { kind: "socket", ...linked };
  const device = type === fileType.block ? ("block" as const) : ("character" as const);
  return { kind: "device", type: device, ...manifests.deviceOf(manifest, inode), ...linked };
}

/** The root first, then each directory's entries in turn, breadth first. `encodeManifest` makes the same manifest of them. */
export function* entriesOfManifest(manifest: Manifest): Iterable<ManifestEntry> {
  yield entryOf(manifest, 0, "");
  const paths = new Map<number, string>([[0, ""]]);
  for (const [directory, prefix] of paths) {
    const { first, count } = manifests.entriesOf(manifest, directory);
    for (let entry = first; entry < first + count; entry++) {
      const inode = manifests.entryInode(manifest, entry);
      const path = prefix + manifests.entryName(manifest, entry);
      if (manifests.typeOf(manifest, inode) === fileType.directory) paths.set(inode, `${path}/`);
      yield entryOf(manifest, inode, path);
    }
    paths.delete(directory);
  }
}

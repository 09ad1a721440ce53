// ⑤ Where a path of an image leads, links followed as a process in it would. Pure.

import { bytesOfText, textOfBytes } from "../../base/byte-text.ts";
import * as manifests from "../../fusefs/image/manifest.ts";
import { fileType } from "../../fusefs/wire/constants.ts";

export interface Place {
  /** Relative to the root, without links; the names that are not there at its end. */
  path: string;
  /** Of what is there; undefined where something is lacking. */
  inode: number | undefined;
}

const mostLinks = 40; // as the kernel follows

/** Undefined where it leads through what is no directory, or in circles. */
export function placeOf(manifest: manifests.Manifest, path: string): Place | undefined {
  const todo = path.split("/").filter((name) => name !== "" && name !== ".");
  const trail: { name: string; inode: number | undefined }[] = [];
  let links = 0;
  while (todo.length > 0) {
    const name = todo.shift() as string;
    if (name === "..") {
      trail.pop();
      continue;
    }
    const here = trail.length === 0 ? 0 : trail.at(-1)?.inode;
    const inode = here === undefined ? undefined : childOf(manifest, here, name);
    if (inode === "no directory") return undefined;
    if (inode !== undefined && manifests.typeOf(manifest, inode) === fileType.symlink) {
      if (++links > mostLinks) return undefined;
      const target = textOfBytes(manifests.targetOf(manifest, inode));
      if (target.startsWith("/")) trail.length = 0;
      todo.unshift(...target.split("/").filter((part) => part !== "" && part !== "."));
      continue;
    }
    trail.push({ name, inode });
  }
  return { path: trail.map(({ name }) => name).join("/"), inode: trail.length === 0 ? 0 : trail.at(-1)?.inode };
}

function childOf(manifest: manifests.Manifest, directory: number, name: string): number | undefined | "no directory" {
  if (manifests.typeOf(manifest, directory) !== fileType.directory) return "no directory";
  const bytes = bytesOfText(name);
  const entry = manifests.findEntry(manifest, directory, bytes, 0, bytes.length);
  return entry < 0 ? undefined : manifests.entryInode(manifest, entry);
}

/** The digest of the file that the path leads to; undefined where there is none. */
export function fileAt(manifest: manifests.Manifest, path: string): { digest: string; inode: number; path: string } | undefined {
  const place = placeOf(manifest, path);
  if (place?.inode === undefined || manifests.typeOf(manifest, place.inode) !== fileType.regular) return undefined;
  return { digest: manifests.digestOf(manifest, place.inode), inode: place.inode, path: place.path };
}

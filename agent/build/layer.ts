// ⑤ The image that a step leaves: the entries before it, and what its writes make of them. Pure.

import { HobError } from "../../base/errors.ts";
import { eachInSlices, type Sliced } from "../../base/turns.ts";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";
import type { UpperEntry } from "./upper.ts";

interface Tree<E> {
  at(path: string): E | undefined;
  /** Names in a directory. */
  names(directory: string): readonly string[];
}

const join = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`);
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function* treeOf<E extends { path: string }>(entries: Iterable<E>): Sliced<Tree<E>> {
  const byPath = new Map<string, E>();
  const children = new Map<string, string[]>();
  yield* eachInSlices(entries, (entry) => {
    byPath.set(entry.path, entry);
    if (entry.path === "") return;
    const parent = parentOf(entry.path);
    const names = children.get(parent);
    if (names) names.push(nameOf(entry.path));
    else children.set(parent, [nameOf(entry.path)]);
  });
  return { at: (path) => byPath.get(path), names: (directory) => children.get(directory) ?? [] };
}

/** Where the content below a renamed thing lay: an absolute path of the image before, or a name in the folder that its own folder came from. */
function origin(redirect: string, below: string | undefined, name: string): string | undefined {
  if (redirect.startsWith("/")) return redirect.slice(1);
  return below === undefined ? undefined : join(below, redirect || name);
}

/**
 * The entries of the next image. `ours` are paths that the container's own mounts needed (its /proc, its resolv.conf): what came up there is no
 * part of the image. The root keeps the attributes that it had; sockets are left out.
 */
export function* applyUpper(
  before: Iterable<ManifestEntry>,
  upper: Iterable<UpperEntry>,
  ours: ReadonlySet<string>,
): Sliced<ManifestEntry[]> {
  const old = yield* treeOf(before);
  const written = yield* treeOf([...upper].filter(({ path }) => !ours.has(path)));
  const next: ManifestEntry[] = [];

  /** An image's entry, and what is below it, untouched but perhaps at another path. */
  function keep(from: string, to: string): void {
    const entry = old.at(from);
    if (!entry) return;
    next.push(from === to ? entry : { ...entry, path: to });
    for (const name of old.names(from)) keep(join(from, name), join(to, name));
  }

  /** A key of the image before may read the same, and is another inode. */
  function added(entry: ManifestEntry): void {
    if (entry.kind === "socket") return;
    const linked = entry.kind !== "directory" && entry.hardLink !== undefined;
    next.push(linked ? { ...entry, hardLink: `step:${entry.hardLink}` } : entry);
  }

  /** What a directory shows: what was written into it, then what shows through from `below`, a directory of the image before. */
  function merge(path: string, below: string | undefined): void {
    const names = written.names(path);
    for (const name of names) place(written.at(join(path, name)) as UpperEntry, below);
    if (below === undefined || old.at(below)?.kind !== "directory") return;
    const hidden = new Set(names);
    for (const name of old.names(below)) if (!hidden.has(name)) keep(join(below, name), join(path, name));
  }

  function place(entry: UpperEntry, below: string | undefined): void {
    const { path } = entry;
    if (entry.kind === "directory") {
      added(entry.entry);
      merge(path, entry.opaque ? undefined : origin(entry.redirect, below, nameOf(path)));
    } else if (entry.kind === "metadata") {
      const from = origin(entry.redirect, below, nameOf(path));
      const content = from === undefined ? undefined : old.at(from);
      if (content?.kind !== "file")
        throw new HobError("internal", `a step has changed the attributes of "${path}", which was no file`);
      const { digest, size, chunks } = content;
      added({ kind: "file", digest, size, ...(chunks ? { chunks } : {}), ...entry.entry });
    } else if (entry.kind === "other") added(entry.entry);
  }

  const root = old.at("");
  if (root) next.push(root);
  merge("", "");
  return next;
}

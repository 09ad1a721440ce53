// ⑤ Layers upon each other: examples of what replaces what, and any layers against a model that knows only paths.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";
import { TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import type { TarEntry } from "../../fusefs/image/import/tar-reader.ts";
import { createImageTree } from "../../fusefs/image/import/tree.ts";

type Entry = Omit<TarEntry, "content">;

function entry(kind: Entry["kind"], path: string, more: Partial<Entry> = {}): Entry {
  const owner = { mode: kind === "directory" ? 0o755 : 0o644, uid: 0, gid: 0 };
  const nothing = { mtimeSeconds: 1, mtimeNanoseconds: 0, xattrs: undefined, link: "", major: 0, minor: 0, size: 0 };
  return { path, kind, ...owner, ...nothing, ...more };
}

/** Contents are told apart by their digests: what put them there. */
function treeOf(layers: readonly (readonly Entry[])[]): ManifestEntry[] {
  const tree = createImageTree();
  for (const [index, layer] of layers.entries()) {
    tree.beginLayer();
    for (const [at, each] of layer.entries()) {
      tree.place(each, each.kind === "file" ? { stored: { digest: `${index}.${at}`, size: 1 } } : undefined);
    }
  }
  return [...tree.entries()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

const paths = (layers: readonly (readonly Entry[])[]): string[] => treeOf(layers).map(({ path }) => path);
const file = (path: string, more: Partial<Entry> = {}): Entry => entry("file", path, more);
const folder = (path: string, more: Partial<Entry> = {}): Entry => entry("directory", path, more);

describe("layers upon each other", () => {
  it("hide by whiteouts and opaque folders what is below, and nothing of their own", () => {
    const base = [folder("d"), file("d/one"), file("d/two"), folder("d/sub"), file("d/sub/x"), file("gone")];
    expect(paths([base, [file(".wh.gone"), file("d/.wh.one"), file("d/.wh..wh.plnk")]])).toEqual([
      "",
      "d",
      "d/sub",
      "d/sub/x",
      "d/two",
    ]);
    expect(paths([base, [file("d/new"), file("d/.wh..wh..opq"), file("d/newer")]])).toEqual([
      "",
      "d",
      "d/new",
      "d/newer",
      "gone",
    ]);
    expect(paths([base, [file("d/sub/mine"), file(".wh.d"), file("gone")]])).toEqual(["", "d", "d/sub", "d/sub/mine", "gone"]);
  });

  it("replace a file by a folder, a folder by a file, and a symlink by a folder", () => {
    expect(paths([[file("a")], [folder("a"), file("a/b")]])).toEqual(["", "a", "a/b"]);
    expect(paths([[folder("a"), file("a/b")], [file("a")]])).toEqual(["", "a"]);
    expect(paths([[folder("real"), file("real/x"), entry("symlink", "a", { link: "real" })], [folder("a")]])).toEqual([
      "",
      "a",
      "real",
      "real/x",
    ]);
  });

  it("lead through symlinks of lower layers, as a merged /usr needs", () => {
    const base = [folder("usr/lib"), entry("symlink", "lib", { link: "usr/lib" })];
    expect(paths([base, [file("lib/new.so")]])).toEqual(["", "lib", "usr", "usr/lib", "usr/lib/new.so"]);
    expect(paths([[...base, file("usr/lib/old.so")], [file("lib/.wh.old.so")]])).toEqual(["", "lib", "usr", "usr/lib"]);
  });

  it("link to files of lower layers, and part from them when one name is replaced", () => {
    const entries = treeOf([
      [file("a")],
      [entry("hardLink", "b", { link: "./a" })],
      [file("a", { mode: 0o600 })],
      [entry("hardLink", "c", { link: "b" })],
    ]);
    const [, a, b, c] = entries;
    expect(a).toMatchObject({ path: "a", digest: "2.0", mode: 0o600 });
    expect(a).not.toHaveProperty("hardLink");
    expect(b).toMatchObject({ path: "b", digest: "0.0", hardLink: (c as { hardLink: string }).hardLink });
  });

  it("give a folder the attributes of the last layer that names it", () => {
    const [, d] = treeOf([
      [folder("d", { mode: 0o700, uid: 5 }), file("d/x")],
      [file("d/y")],
      [folder("d/", { mode: 0o711, mtimeSeconds: 9 })],
      [file("d/z")],
    ]);
    expect(d).toMatchObject({ path: "d", mode: 0o711, uid: 0, mtimeSeconds: 9 });
  });
});

/** What a path holds: a folder, or something by the name of whoever put it there, and the mode that it was given. */
interface Held {
  what: string;
  mode: number;
  layer: number;
}
type Model = Map<string, Held>;
type Op = { op: "file" | "folder" | "hide" | "opaque" | "link"; path: string; to: string; mode: number };

const parentsOf = (path: string): string[] =>
  path.split("/").flatMap((_, index, names) => (index === 0 ? [] : [names.slice(0, index).join("/")]));
const below = (model: Model, path: string): string[] => [...model.keys()].filter((each) => each.startsWith(`${path}/`));

/** Whiteouts first, on what is below; then what the layer brings. Ops that make no sense here are left out of both. */
function applyModel(model: Model, ops: readonly Op[], layer: number): Entry[] {
  const entries: Entry[] = [];
  const hides = ops.filter(({ op }) => op === "hide" || op === "opaque");
  for (const { op, path } of hides) {
    for (const each of below(model, path)) model.delete(each);
    if (op === "hide") model.delete(path);
  }
  for (const { op, path, to, mode } of ops) {
    const name = path.split("/").at(-1) as string;
    if (op === "hide") entries.push(file([...path.split("/").slice(0, -1), `.wh.${name}`].join("/")));
    else if (op === "opaque") entries.push(file(`${path}/.wh..wh..opq`));
    else {
      const inTheWay = parentsOf(path).filter((parent) => model.has(parent) && model.get(parent)?.what !== "folder");
      if (inTheWay.some((parent) => model.get(parent)?.layer === layer) || inTheWay.includes(to)) continue;
      const target = model.get(to);
      if (op === "link" && (!target || target.what === "folder" || to === path || below(model, path).includes(to))) continue;
      for (const parent of parentsOf(path))
        if (!model.has(parent) || inTheWay.includes(parent)) model.set(parent, { what: "folder", mode: 0o755, layer });
      if (op !== "folder") for (const each of below(model, path)) model.delete(each);
      const at = entries.length;
      if (op === "folder") entries.push(folder(path, { mode }));
      else entries.push(op === "link" ? entry("hardLink", path, { link: to }) : file(path, { mode }));
      model.set(
        path,
        op === "folder"
          ? { what: "folder", mode, layer }
          : op === "link"
            ? { ...(target as Held), layer }
            : { what: `${layer}.${at}`, mode, layer },
      );
    }
  }
  return entries;
}

const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const op: fc.Arbitrary<Op> = fc.record({
  op: fc.constantFrom("file" as const, "file" as const, "folder" as const, "hide" as const, "opaque" as const, "link" as const),
  path,
  to: path,
  mode: fc.constantFrom(0o600, 0o644, 0o755),
});

describe("any layers", () => {
  it("make the tree that whiteouts, then entries, make of paths", () => {
    fc.assert(
      fc.property(fc.array(fc.array(op, { maxLength: 8 }), { maxLength: 4 }), (layers) => {
        const model: Model = new Map();
        const applied = layers.map((ops, index) => applyModel(model, ops, index));
        const held = treeOf(applied).slice(1);
        const expected = [...model]
          .map(([path, { what, mode }]) => [path, { what, mode }] as const)
          .sort(([a], [b]) => (a < b ? -1 : 1));
        expect(held.map((each) => [each.path, { what: each.kind === "file" ? each.digest : "folder", mode: each.mode }])).toEqual(
          expected,
        );
        for (const each of held) expect(each.mtimeSeconds === 1 || each.mtimeSeconds === TIMELESS_SECONDS).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

// ⑤ Random trees for the manifest's tests: files, links and folders that do not stand in each other's way.

import fc from "fast-check";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";

const name = fc
  .oneof(
    fc.constantFrom("a", "b", "lib", "__init__.py", ".hidden", "é", "😀", "ￜ"),
    fc.string({ minLength: 1, maxLength: 12, unit: "binary" }),
  )
  .filter((text) => !/[/\0]/.test(text) && text !== "." && text !== ".." && text.isWellFormed());
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const metadata = fc.record({
  path,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.nat({ max: 0xffff_ffff }),
  gid: fc.nat({ max: 0xffff_ffff }),
  mtimeSeconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  mtimeNanoseconds: fc.nat({ max: 999_999_999 }),
});
const entry: fc.Arbitrary<ManifestEntry> = fc.oneof(
  metadata.map((common) => ({ kind: "directory" as const, ...common })),
  fc
    .tuple(metadata, digest, fc.maxSafeNat())
    .map(([common, of, size]) => ({ kind: "file" as const, digest: of, size, ...common })),
  fc.tuple(metadata, name).map(([common, target]) => ({ kind: "symlink" as const, target, ...common })),
);

/** Entries of which none lies below a file or symlink, each path once. */
export const entryLists: fc.Arbitrary<ManifestEntry[]> = fc.array(entry, { maxLength: 40 }).map((entries) => {
  const kept = new Map<string, ManifestEntry>();
  for (const one of entries) {
    const parents = one.path.split("/").map((_, index, names) => names.slice(0, index).join("/"));
    const inTheWay = parents.some((parent) => (kept.get(parent)?.kind ?? "directory") !== "directory");
    const hasChildren = one.kind !== "directory" && [...kept.keys()].some((other) => other.startsWith(`${one.path}/`));
    if (!inTheWay && !hasChildren && !kept.has(one.path)) kept.set(one.path, one);
  }
  return [...kept.values()];
});

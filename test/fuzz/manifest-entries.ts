// ⑤ Random trees for the manifest's tests: files, links and folders that do not stand in each other's way.

import fc from "fast-check";
import { textOfBytes } from "../../base/byte-text.ts";
import { FINE_BLOB_BYTES, pieceBytesOf } from "../../base/partial-blob.ts";
import type { ImageConfig } from "../../fusefs/image/config.ts";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";
import { UNCHUNKED_BYTES } from "../../fusefs/image/manifest.ts";
import { chunkCount } from "../../fusefs/image/tables.ts";

/** Names are bytes: some are no UTF-8. */
const name = fc
  .oneof(
    fc.constantFrom("a", "b", "lib", "__init__.py", ".hidden", "é", "😀", "ￜ", "\ufffd"),
    fc.string({ minLength: 1, maxLength: 12, unit: "binary" }).filter((text) => text.isWellFormed()),
    fc.uint8Array({ minLength: 1, maxLength: 12 }).map(textOfBytes),
  )
  .filter((text) => !/[/\0]/.test(text) && text !== "." && text !== "..");
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const xattrs = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom("security.capability", "trusted.overlay.opaque"), name),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => new Map(pairs));
const metadata = fc
  .record({
    path,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat({ max: 0xffff_ffff }),
    gid: fc.nat({ max: 0xffff_ffff }),
    mtimeSeconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    mtimeNanoseconds: fc.nat({ max: 999_999_999 }),
    xattrs: fc.option(xattrs, { freq: 4, nil: undefined }),
  })
  .map(({ xattrs: some, ...rest }) => (some?.size ? { ...rest, xattrs: some } : rest));
const chunked = fc
  .tuple(
    digest,
    fc.oneof(
      ...[UNCHUNKED_BYTES, FINE_BLOB_BYTES].map((size) => fc.integer({ min: size + 1, max: size + 3 * pieceBytesOf(size + 1) })),
    ),
    fc.array(digest, { minLength: 36, maxLength: 36 }),
  )
  .map(([of, size, chunks]) => ({ digest: of, size, chunks: chunks.slice(0, chunkCount(size)) }));
const content = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(digest, fc.maxSafeNat()).map(([of, size]) => ({ digest: of, size })) },
  { weight: 1, arbitrary: chunked },
);
const device = fc.record({
  type: fc.constantFrom("block" as const, "character" as const),
  major: fc.nat({ max: 0xfff }),
  minor: fc.nat({ max: 0xf_ffff }),
});
const entry: fc.Arbitrary<ManifestEntry> = fc.oneof(
  metadata.map((common) => ({ kind: "directory" as const, ...common })),
  { weight: 3, arbitrary: fc.tuple(metadata, content).map(([common, of]) => ({ kind: "file" as const, ...of, ...common })) },
  fc.tuple(metadata, name).map(([common, target]) => ({ kind: "symlink" as const, target, ...common })),
  fc.tuple(metadata, device).map(([common, of]) => ({ kind: "device" as const, ...of, ...common })),
  fc.tuple(metadata, fc.constantFrom("fifo" as const, "socket" as const)).map(([common, kind]) => ({ kind, ...common })),
);

const text = fc.string({ maxLength: 8, unit: "binary" }).filter((one) => one.isWellFormed() && !one.includes("\0"));
export const configs: fc.Arbitrary<ImageConfig> = fc.record({
  env: fc.dictionary(
    text.filter((key) => key !== "" && !key.includes("=")),
    text,
    { maxKeys: 3 },
  ),
  workdir: text,
  user: text,
});

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

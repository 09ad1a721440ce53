// ⑤ The manifest format: what is written is what is read, in whatever order it was given.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesOfText } from "../../base/byte-text.ts";
import { configOf } from "../../fusefs/image/config.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeInTurns, encodeManifest, type ManifestEntry, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { sizesOf, sizesOfManifest } from "../../fusefs/image/import/outcome.ts";
import * as manifests from "../../fusefs/image/manifest.ts";
import { findXattr } from "../../fusefs/image/tables.ts";
import { configs, entryLists } from "../fuzz/manifest-entries.ts";

/** Every entry by its path, found again the way the FUSE server finds it: by names, from the root. */
function readBack(bytes: Uint8Array): Map<string, ManifestEntry> {
  const manifest = decodeManifest(bytes);
  const found = new Map<string, ManifestEntry>();
  for (const entry of entriesOfManifest(manifest)) {
    let inode = 0;
    for (const name of entry.path === "" ? [] : entry.path.split("/")) {
      const bytesOfName = bytesOfText(name);
      const at = manifests.findEntry(manifest, inode, bytesOfName, 0, bytesOfName.length);
      expect(manifests.entryName(manifest, at)).toBe(name);
      inode = manifests.entryInode(manifest, at);
    }
    for (const [name, value] of entry.xattrs ?? []) {
      const bytesOfName = bytesOfText(name);
      expect(findXattr(manifest, inode, bytesOfName, 0, bytesOfName.length)).toEqual(value);
    }
    found.set(entry.path, entry);
  }
  return found;
}

/** What must be read back: the entries, and the folders that came up as somebody's parents. */
function expectedOf(entries: readonly ManifestEntry[]): Map<string, ManifestEntry> {
  const expected = new Map<string, ManifestEntry>();
  const implicit = (path: string): ManifestEntry => {
    return { kind: "directory", path, mode: 0o755, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  };
  expected.set("", implicit(""));
  for (const { path } of entries) {
    for (let cut = path.indexOf("/"); cut > 0; cut = path.indexOf("/", cut + 1)) {
      expected.set(path.slice(0, cut), implicit(path.slice(0, cut)));
    }
  }
  for (const entry of entries) expected.set(entry.path, entry);
  return expected;
}

const sorted = (entries: Map<string, ManifestEntry>): ManifestEntry[] =>
  [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));

describe("a manifest", () => {
  it("of many files is written in turns with the event loop's other work, to the same bytes, and counted without reading it back", async () => {
    const entries = Array.from({ length: 60_000 }, (_, index): ManifestEntry => {
      const digest = (index % 50_000).toString(16).padStart(64, "0");
      const times = { mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
      return {
        kind: "file",
        path: `${index % 300}/${index}`,
        digest,
        size: 1 + (index % 50_000),
        mode: 0o644,
        uid: 0,
        gid: 0,
        ...times,
      };
    });
    let turns = 0;
    let written = false;
    const turn = (): void => {
      turns++;
      if (!written) setImmediate(turn);
    };
    setImmediate(turn);
    const bytes = await encodeInTurns(entries);
    written = true;
    expect(turns).toBeGreaterThan(5);
    expect(bytes.equals(encodeManifest(entries))).toBe(true);
    expect(sizesOfManifest(decodeManifest(bytes))).toEqual(sizesOf(entries));
  });

  it("gives back every entry that was written into it", () => {
    fc.assert(
      fc.property(entryLists, (entries) => {
        expect(sorted(readBack(encodeManifest(entries)))).toEqual(sorted(expectedOf(entries)));
      }),
    );
  });

  it("is written again, byte for byte, from what was read of it, with its configuration", () => {
    fc.assert(
      fc.property(entryLists, configs, (entries, config) => {
        const bytes = encodeManifest(entries, config);
        const manifest = decodeManifest(bytes);
        expect(configOf(manifest)).toEqual(config);
        expect(encodeManifest(entriesOfManifest(manifest), configOf(manifest)).equals(bytes)).toBe(true);
      }),
    );
  });

  it("has the same bytes whatever the order of the entries", () => {
    const shuffled = entryLists.chain((entries) =>
      fc.tuple(fc.constant(entries), fc.shuffledSubarray(entries, { minLength: entries.length })),
    );
    fc.assert(
      fc.property(shuffled, ([entries, other]) => {
        expect(encodeManifest(other).equals(encodeManifest(entries))).toBe(true);
      }),
    );
  });

  it("keeps hard links as one inode, with times before 1970 and sizes over 4 GiB", () => {
    const common = { mode: 0o644, uid: 70_000, gid: 5, mtimeSeconds: -2, mtimeNanoseconds: 7 };
    const link = { kind: "file" as const, digest: "ab".repeat(32), size: 5_000_000_000, hardLink: "1", ...common };
    const manifest = decodeManifest(
      encodeManifest([
        { ...link, path: "b/two" },
        { ...link, path: "one" },
      ]),
    );
    expect(manifest.inodeCount).toBe(3);
    const [one, two] = [manifests.entryInode(manifest, 1), manifests.entryInode(manifest, 2)];
    expect([manifests.entryName(manifest, 1), manifests.entryName(manifest, 2)]).toEqual(["one", "two"]);
    expect(one).toBe(two);
    expect(manifests.sizeOf(manifest, one)).toBe(5_000_000_000);
    expect(manifest.inodes[one * manifests.inodeWord.sizeof + manifests.inodeWord.linkCount]).toBe(2);
    expect(manifest.inodes[one * manifests.inodeWord.sizeof + manifests.inodeWord.mtimeHigh]).toBe(0xffff_ffff);
  });

  it("finds no name that it does not have", () => {
    const file = {
      kind: "file" as const,
      digest: "00".repeat(32),
      size: 1,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeSeconds: 0,
      mtimeNanoseconds: 0,
    };
    const manifest = decodeManifest(
      encodeManifest([
        { ...file, path: "ab" },
        { ...file, path: "abc" },
        { ...file, path: "é" },
      ]),
    );
    for (const name of ["a", "abcd", "b", "", "z", "ê"]) {
      const bytes = Buffer.from(name);
      expect(manifests.findEntry(manifest, 0, bytes, 0, bytes.length), name).toBe(-1);
    }
  });

  it.each([["../up"], ["a//b"], ["./a"], ["/a"], ["a/.."], ["nul\0"], ["x".repeat(256)]])(
    "is not written with the path %j",
    (path) => {
      const entry: ManifestEntry = {
        kind: "symlink",
        path,
        target: "t",
        mode: 0o777,
        uid: 0,
        gid: 0,
        mtimeSeconds: 0,
        mtimeNanoseconds: 0,
      };
      expect(() => encodeManifest([entry])).toThrow("writing a manifest");
    },
  );

  it("is not written with one path twice, or with something below a file", () => {
    const link = { kind: "symlink" as const, target: "t", mode: 0o777, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 };
    expect(() =>
      encodeManifest([
        { ...link, path: "a" },
        { ...link, path: "a" },
      ]),
    ).toThrow('"a" is there twice');
    expect(() =>
      encodeManifest([
        { ...link, path: "a" },
        { ...link, path: "a/b" },
      ]),
    ).toThrow("not a directory");
  });
});

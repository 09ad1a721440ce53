// ⑤ The manifest format: what is written is what is read, in whatever order it was given.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import * as manifests from "../../fusefs/image/manifest.ts";
import { fileType } from "../../fusefs/wire/constants.ts";
import { entryLists } from "../fuzz/manifest-entries.ts";

/** The tree as paths, read the way the FUSE server reads it: by names, from the root. */
function readBack(bytes: Uint8Array): Map<string, string> {
  const manifest = decodeManifest(bytes);
  const lines = new Map<string, string>();
  const walk = (inode: number, path: string): void => {
    const type = manifests.typeOf(manifest, inode);
    const mode = manifests.modeOf(manifest, inode) & 0o7777;
    if (type === fileType.regular)
      lines.set(path, `file ${mode} ${manifests.digestOf(manifest, inode)} ${manifests.sizeOf(manifest, inode)}`);
    else if (type === fileType.symlink) lines.set(path, `symlink ${manifests.targetOf(manifest, inode)}`);
    else {
      lines.set(path, `directory ${mode}`);
      const { first, count } = manifests.entriesOf(manifest, inode);
      for (let entry = first; entry < first + count; entry++) {
        const name = manifests.entryName(manifest, entry);
        const bytesOfName = Buffer.from(name);
        expect(manifests.findEntry(manifest, inode, bytesOfName, 0, bytesOfName.length)).toBe(entry);
        walk(manifests.entryInode(manifest, entry), path === "" ? name : `${path}/${name}`);
      }
    }
  };
  walk(0, "");
  return lines;
}

function describeEntries(entries: readonly ManifestEntry[]): Map<string, string> {
  const lines = new Map<string, string>([["", `directory ${0o755}`]]);
  for (const entry of entries) {
    const { kind, path, mode } = entry;
    for (let cut = path.indexOf("/"); cut > 0; cut = path.indexOf("/", cut + 1)) {
      if (!lines.has(path.slice(0, cut))) lines.set(path.slice(0, cut), `directory ${0o755}`);
    }
    if (kind === "file") lines.set(path, `file ${mode} ${entry.digest} ${entry.size}`);
    else if (kind === "symlink") lines.set(path, `symlink ${entry.target}`);
    else lines.set(path, `directory ${mode}`);
  }
  return lines;
}

const sorted = (lines: Map<string, string>): [string, string][] => [...lines].sort(([a], [b]) => (a < b ? -1 : 1));

describe("a manifest", () => {
  it("gives back every entry that was written into it", () => {
    fc.assert(
      fc.property(entryLists, (entries) => {
        expect(sorted(readBack(encodeManifest(entries)))).toEqual(sorted(describeEntries(entries)));
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

// ⑤ Tars as images: what archives say, and what hostile ones try.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { importTar } from "../../fusefs/image/import/tar.ts";
import { inPieces, tarOf, type WrittenEntry } from "../drive/tar-writer.ts";

const folder = await mkdtemp(join(tmpdir(), "hob-import-tar-"));
const store = openContentFolder(join(folder, "store"), { durable: false });
afterAll(() => rm(folder, { recursive: true, force: true }));

async function imported(tar: Uint8Array): Promise<Map<string, ManifestEntry>> {
  const { digest } = await importTar(inPieces(tar), { store, name: "layer.tar" });
  return new Map([...entriesOfManifest(decodeManifest(store.read(digest)))].map((entry) => [entry.path, entry]));
}

function contentOf(entry: ManifestEntry | undefined): string {
  if (entry?.kind !== "file") throw new Error("no file");
  return store.read(entry.digest).toString();
}

const plain: WrittenEntry[] = [
  { name: "./", type: "5", mode: 0o755 },
  { name: "./bin/", type: "5", mode: 0o750, uid: 7 },
  { name: "./bin/su", data: "program", mode: 0o4755 },
  { name: "./bin/sh", type: "1", link: "./bin/su" },
  { name: "./lib", type: "2", link: "usr/lib" },
  { name: "./dev/null", type: "3", major: 1, minor: 3, mode: 0o666 },
  { name: "./pipe", type: "6" },
];

describe("an imported tar", () => {
  it("says the same, plain or compressed, in one frame or in many", async () => {
    const tar = tarOf(plain);
    const half = [tar.subarray(0, 1300), tar.subarray(1300)] as const;
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const forms = [
      tar,
      gzipSync(tar),
      Buffer.concat([gzipSync(half[0]), gzipSync(half[1])]),
      zstdCompressSync(tar),
      Buffer.concat([skippable, zstdCompressSync(half[0]), skippable, zstdCompressSync(half[1]), skippable]),
    ];
    const digests = [];
    for (const form of forms) digests.push((await importTar(inPieces(form), { store })).digest);
    expect(new Set(digests).size).toBe(1);
    const entries = await imported(tar);
    expect(entries.get("bin")).toMatchObject({ kind: "directory", mode: 0o750, uid: 7 });
    expect(entries.get("bin/su")).toMatchObject({ kind: "file", mode: 0o4755, size: 7, hardLink: expect.any(String) });
    expect(entries.get("bin/sh")).toEqual({ ...entries.get("bin/su"), path: "bin/sh" });
    expect(entries.get("lib")).toMatchObject({ kind: "symlink", target: "usr/lib" });
    expect(entries.get("dev/null")).toMatchObject({ kind: "device", type: "character", major: 1, minor: 3 });
    expect(entries.get("pipe")).toMatchObject({ kind: "fifo" });
  });

  it("keeps what pax says: bytes of names and attributes, times to the nanosecond, large numbers", async () => {
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const name = Buffer.concat([Buffer.from("dir/caf"), Buffer.from([0xe9]), Buffer.from("=\n")]);
    const pax = {
      path: name,
      mtime: "-1.5",
      uid: "3000000000",
      "SCHILY.xattr.security.capability": capability,
      "SCHILY.xattr.user.odd\udcffkey": "",
    };
    const records = { ...pax, comment: "\n=\n" };
    const entries = await imported(tarOf([{ name: "short", data: "x", pax: records }]));
    const entry = entries.get("dir/caf\udce9=\n");
    expect(entry).toMatchObject({ uid: 3_000_000_000, mtimeSeconds: -2, mtimeNanoseconds: 500_000_000 });
    expect(entry?.xattrs?.get("security.capability")).toEqual(capability);
  });

  it("lays sparse files out, by each of the four ways to say where data lie", async () => {
    const whole = `${"\0".repeat(1000)}one${"\0".repeat(997)}two${"\0".repeat(500)}`;
    const size = whole.length;
    const data = "onetwo";
    const map10 = "2\n1000\n3\n2000\n3\n".padEnd(512, "\0");
    const sparse = (major: string, more: Record<string, string>): Record<string, string> => ({
      ...(major
        ? { "GNU.sparse.major": major, "GNU.sparse.minor": "0", "GNU.sparse.name": "holes", "GNU.sparse.realsize": `${size}` }
        : { "GNU.sparse.size": `${size}` }),
      ...more,
    });
    const oldGnu: WrittenEntry = {
      name: "holes",
      type: "S",
      data,
      alter(block) {
        block.write("ustar  \0", 257, "latin1");
        block.write("00000001750\0", 386); // 1000
        block.write("00000000003\0", 398);
        block[482] = 1; // goes on in a block of its own
        block.write(`${size.toString(8).padStart(11, "0")}\0`, 483);
      },
    };
    const more = Buffer.alloc(512);
    more.write("00000003720\0", 0); // 2000
    more.write("00000000003\0", 12);
    const old = tarOf([oldGnu], { end: false });
    const tars = [
      tarOf([{ name: "GNUSparseFile.0/holes", data: map10 + data, pax: sparse("1", {}) }]),
      tarOf([{ name: "holes", data, pax: sparse("", { "GNU.sparse.map": "1000,3,2000,3" }) }]),
      Buffer.concat([old.subarray(0, 512), more, old.subarray(512), Buffer.alloc(1024)]),
    ];
    for (const tar of tars) {
      const entries = await imported(tar);
      expect(contentOf(entries.get("holes"))).toBe(whole);
      expect(entries.get("holes")).toMatchObject({ size });
    }
  });

  it("takes a slash in front as the image's root", async () => {
    const entries = await imported(tarOf([{ name: "/etc/passwd", data: "root" }]));
    expect(contentOf(entries.get("etc/passwd"))).toBe("root");
  });
});

it("a layer of any size takes no more memory than its small files in flight", async () => {
  const mebibyte = Buffer.alloc(1 << 20, "0123456789abcdef");
  const one = tarOf([{ name: "large", size: 256 << 20 }], { end: false });
  const small = tarOf([{ name: "n", data: Buffer.alloc(900_000, 7) }], { end: false });
  let most = 0;
  async function* layer(): AsyncGenerator<Uint8Array, void, undefined> {
    const sample = (): void => {
      most = Math.max(most, process.memoryUsage().rss);
    };
    yield one;
    for (let i = 0; i < 256; i++, sample()) yield mebibyte;
    for (let i = 0; i < 200; i++, sample()) yield small;
    yield Buffer.alloc(1024);
  }
  const before = process.memoryUsage().rss;
  const { bytes } = await importTar(layer(), { store });
  expect(bytes).toBe((256 << 20) + 900_000);
  expect(most - before).toBeLessThan(120 << 20);
});

const endless = (block: Buffer): void => {
  block.fill(0, 124, 136);
  block[124] = 0x80;
  block.fill(0xff, 128, 136);
};

/** -512, and what else the map needs to look whole. */
const backwards = (block: Buffer, at: number): void => {
  block.write("00000002000\0", 483);
  block.write("00000000000\0", 386);
  block.write("00000000000\0", 410);
  block.write("00000002000\0", 422);
  block.fill(0xff, at, at + 12).writeUInt16BE(0xfe00, at + 10);
};

const globalRecord = (key: string): string => {
  const bytes = 10 << 20;
  return `${bytes} ${key}=`.padEnd(bytes - 1, "x").concat("\n");
};

const damaged = (bytes: Buffer): Buffer => {
  bytes[bytes.length - 1]! ^= 0xff;
  return bytes;
};

const hostile: { what: string; tar: Buffer; says: RegExp; kind?: string }[] = [
  {
    what: "a path out of its folder",
    tar: tarOf([{ name: "a/../../etc/passwd" }]),
    says: /entry "a\/\.\.\/\.\.\/etc\/passwd": its path leads out/,
  },
  {
    what: "a hard link out of its folder",
    tar: tarOf([{ name: "a", type: "1", link: "../../etc/shadow" }]),
    says: /entry "a": .*leads out/,
  },
  {
    what: "a hard link to nothing",
    tar: tarOf([{ name: "a", type: "1", link: "b" }]),
    says: /entry "a": .*"b", which is not there/,
  },
  {
    what: "a hard link to a folder",
    tar: tarOf([
      { name: "b/", type: "5" },
      { name: "a", type: "1", link: "b" },
    ]),
    says: /a directory/,
  },
  { what: "a file below a file", tar: tarOf([{ name: "a" }, { name: "a/b" }]), says: /entry "a\/b": .*no directory/ },
  {
    what: "a folder that is a symlink to itself",
    tar: tarOf([{ name: "a", type: "2", link: "a" }, { name: "a/b" }]),
    says: /leads to itself/,
  },
  { what: "an endless size", tar: tarOf([{ name: "big", alter: endless }]), says: /its size is impossible/ },
  {
    what: "a size beyond the archive",
    tar: tarOf([{ name: "big", data: "x", size: 1 << 30 }]),
    says: /entry "big": it is cut off/,
  },
  { what: "a negative owner", tar: tarOf([{ name: "a", alter: (block) => block.fill(0xff, 108, 116) }]), says: /owner -1:0/ },
  {
    what: "a hole of exabytes",
    tar: tarOf([
      {
        name: "a",
        pax: {
          "GNU.sparse.size": "9007199254740991",
          "GNU.sparse.map": "",
          "GNU.sparse.numblocks": "0",
          "GNU.sparse.major": "1",
          "GNU.sparse.minor": "0",
        },
        data: "0\n".padEnd(512, "\0"),
      },
    ]),
    says: /more than hob takes/,
  },
  {
    what: "a map of holes that leads out",
    tar: tarOf([{ name: "a", data: "xx", pax: { "GNU.sparse.size": "5", "GNU.sparse.map": "4,2" } }]),
    says: /leads out of the file/,
  },
  {
    what: "a pax record without end",
    tar: tarOf([{ name: "p", type: "x", data: "99 path=x\n" }, { name: "a" }]),
    says: /impossible length/,
  },
  { what: "a name of 300 bytes", tar: tarOf([{ name: "a", pax: { path: "n".repeat(300) } }]), says: /more than 255 bytes/ },
  {
    what: "a header that is damaged",
    tar: Buffer.concat([tarOf([{ name: "first" }], { end: false }), Buffer.alloc(512, 7)]),
    says: /after entry "first": .*checksum/,
  },
  {
    what: "an archive that is cut off",
    tar: tarOf([{ name: "a", data: "x".repeat(2000) }]).subarray(0, 1500),
    says: /entry "a": it is cut off/,
  },
  {
    what: "gzip that is cut off",
    tar: gzipSync(tarOf([{ name: "a", data: "x" }])).subarray(0, -20),
    says: /gzip data are damaged/,
  },
  { what: "zstd that is cut off", tar: zstdCompressSync(tarOf([{ name: "a", data: "x" }])).subarray(0, -20), says: /cut off/ },
  {
    what: "a kind that nobody knows",
    tar: tarOf([{ name: "a", type: "Z" }]),
    says: /of a kind that hob does not know/,
    kind: "precondition",
  },
  {
    what: "a map of holes with less than nothing in it",
    tar: tarOf([{ name: "a", type: "S", data: "x".repeat(512), alter: (block) => backwards(block, 398) }]),
    says: /entry "a": its map of holes is not in order/,
  },
  {
    what: "a sparse file of less than nothing",
    tar: tarOf([{ name: "a", type: "S", alter: (block) => backwards(block, 483) }]),
    says: /entry "a": its map of holes says an impossible size/,
  },
  {
    what: "a flood of global headers",
    tar: tarOf([..."ab"].map((key) => ({ name: "g", type: "g", data: globalRecord(key) }))),
    says: /its global headers have more than/,
  },
  {
    what: "zstd that is damaged",
    tar: damaged(zstdCompressSync(tarOf([{ name: "a" }]), { params: { [constants.ZSTD_c_checksumFlag]: 1 } })),
    says: /zstd data are damaged/,
  },
  { what: "a page of the web", tar: Buffer.from("<html>".repeat(100)), says: /it is no tar/ },
  {
    what: "what docker save packs",
    tar: tarOf([{ name: "blobs/", type: "5" }, { name: `blobs/sha256/${"a".repeat(64)}` }, { name: "manifest.json" }]),
    says: /no root filesystem: unpack it with skopeo copy docker-archive:FILE/,
    kind: "usage",
  },
  { what: "xz", tar: Buffer.from("fd377a585a000000", "hex"), says: /xz, which hob does not read: pack it/, kind: "precondition" },
];

describe("a tar that is damaged or hostile", () => {
  it.each(hostile)("$what is an error that names layer and entry", async ({ tar, says, kind = "corrupt" }) => {
    const error = await importTar(inPieces(tar), { store, name: "layer.tar" }).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "HobError", kind });
    expect((error as { sentence: string }).sentence).toMatch(/^importing layer\.tar: /);
    expect((error as { sentence: string }).sentence).toMatch(says);
  });

  it("leads a path through a symlink as the image itself would: never out of it", async () => {
    const tar = tarOf([
      { name: "up", type: "2", link: "../../../.." },
      { name: "up/etc/motd", data: "inside" },
      { name: "abs", type: "2", link: "/var/../../run" },
      { name: "abs/pid", data: "1" },
    ]);
    const entries = await imported(tar);
    expect(contentOf(entries.get("etc/motd"))).toBe("inside");
    expect(contentOf(entries.get("run/pid"))).toBe("1");
  });
});

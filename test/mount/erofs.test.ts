// ⑤ Tiered images on real mounts: names and attributes as the manifest has them, contents from the store or, once, through FUSE.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesOfText } from "../../base/byte-text.ts";
import { sha256 } from "../../base/content-folder.ts";
import { readXattrs } from "../../base/xattrs.ts";
import { detachMounts } from "../../fusefs/detach.ts";
import { mountErofs, mountNames } from "../../fusefs/erofs/names.ts";
import { erofsOf } from "../../fusefs/erofs/write.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { entryLists } from "../fuzz/manifest-entries.ts";
import { file, hasTiered, isAlive, type Mounted, putImage, startMounted, until } from "./mounted.ts";

const hasFsck = spawnSync("fsck.erofs", ["--version"]).error === undefined;
if (!hasFsck) process.stderr.write("skipped: fsck.erofs is not installed\n");

interface Row {
  path: string;
  mode: string;
  owner: string;
  links: number | null;
  size: number | null;
  mtime: string;
  device: string;
  target: string | null;
  inode?: number;
  xattrs: Record<string, string>;
}

/** What Python sees of mounted trees: another pair of eyes than ours. */
function listTrees(roots: string[]): Row[][] {
  const said = execFileSync("python3", [join(import.meta.dirname, "list-tree.py"), ...roots], { maxBuffer: 1 << 28 });
  return JSON.parse(said.toString()) as Row[][];
}

const byPath = (rows: Row[]): Row[] => rows.sort((a, b) => Buffer.compare(bytesOfText(a.path), bytesOfText(b.path)));

const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000, fifo: 0o010000, socket: 0o140000 } as const;

/** What must be seen of an entry. `shown`: the names of the attributes that are shown, and how; the others are left out. */
function rowOf(entry: ManifestEntry, links: number, shown: (name: string) => string | undefined): Row {
  const type = entry.kind === "device" ? (entry.type === "block" ? 0o060000 : 0o020000) : typeBits[entry.kind];
  const xattrs = [...(entry.xattrs ?? [])].flatMap(([name, value]) => {
    const as = shown(name);
    return as === undefined ? [] : [[as, value.toString("hex")] as const];
  });
  const sizes: Partial<Record<ManifestEntry["kind"], number | null>> = {
    directory: null,
    file: entry.kind === "file" ? entry.size : 0,
    symlink: entry.kind === "symlink" ? bytesOfText(entry.target).length : 0,
  };
  const size = sizes[entry.kind];
  return {
    path: entry.path,
    mode: `0o${(type | entry.mode).toString(8)}`,
    owner: `${entry.uid}:${entry.gid}`,
    links: entry.kind === "directory" ? null : links,
    size: size === undefined ? 0 : size,
    mtime: String(BigInt(entry.mtimeSeconds) * 1_000_000_000n + BigInt(entry.mtimeNanoseconds)),
    device: entry.kind === "device" ? `${entry.major}:${entry.minor}` : "0:0",
    target: entry.kind === "symlink" ? entry.target : null,
    xattrs: Object.fromEntries(xattrs.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

const metadata = { mode: 0o640, uid: 70_000, gid: 5, mtimeSeconds: -12_345, mtimeNanoseconds: 123_456_789 };
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex"); // cap_net_raw=ep (linux/capability.h, revision 2)

/** One of everything, and what lies at an edge. */
function everything(big: ManifestEntry, small: ManifestEntry): ManifestEntry[] {
  const many = ["!before-the-dots", "-x", ".a", "..b", "...", "plain", ...Array.from({ length: 900 }, (_, i) => `file-${i}`)];
  return [
    big,
    small,
    { kind: "file", path: "empty", size: 0, digest: sha256(""), ...metadata, xattrs: new Map([["user.empty", Buffer.alloc(0)]]) },
    {
      ...small,
      path: "hard/one",
      hardLink: "h",
      mode: 0o4755,
      xattrs: new Map([["security.capability", capability]]),
    } as ManifestEntry,
    {
      ...small,
      path: "hard/two",
      hardLink: "h",
      mode: 0o4755,
      xattrs: new Map([["security.capability", capability]]),
    } as ManifestEntry,
    ...many.map((name): ManifestEntry => ({ kind: "symlink", path: `many/${name}`, target: name, ...metadata, mode: 0o777 })),
    { kind: "symlink", path: "long", target: `/${"deep/".repeat(818)}`, ...metadata, mode: 0o777 },
    { kind: "symlink", path: "name \udcff\udcfe no UTF-8", target: "\udc80 target", ...metadata, mode: 0o777 },
    {
      kind: "directory",
      path: "attributes",
      ...metadata,
      mode: 0o2775,
      xattrs: new Map([["trusted.mark", Buffer.alloc(9_000, "m")]]),
    },
    { kind: "directory", path: "nothing in it", ...metadata, mode: 0o000 },
    {
      ...{ kind: "directory", path: "claims", ...metadata },
      xattrs: new Map([
        ["trusted.overlay.opaque", Buffer.from("y")],
        ["trusted.overlay.redirect", Buffer.from("/etc")],
      ]),
    },
    { kind: "device", path: "dev/disk", type: "block", major: 259, minor: 1_000_000, ...metadata },
    { kind: "device", path: "dev/null", type: "character", major: 1, minor: 3, ...metadata, mode: 0o666 },
    { kind: "fifo", path: "dev/pipe", ...metadata },
    { kind: "socket", path: "dev/log", ...metadata },
  ];
}

/** The store has a file of 5 GiB, a hole but for its last bytes. */
async function putBig(mounted: Mounted): Promise<ManifestEntry> {
  const size = 5 * 2 ** 30 + 3;
  const digest = sha256("stands for five gibibytes");
  const path = mounted.store.path(digest);
  await mkdir(dirname(path), { recursive: true });
  await using blob = await open(path, "w");
  await blob.write("end", size - 3);
  return { kind: "file", path: "big", size, digest, ...metadata };
}

describe.skipIf(!hasTiered)("a tiered image", () => {
  it("shows every kind of entry with all that belongs to it, and every content", async () => {
    await using mounted = await startMounted({ view: "tiered" });
    const content = Buffer.from("a small content");
    const small: ManifestEntry = { ...file("small", await mounted.store.put(content), content.length), ...metadata };
    const image = await putImage(mounted.store, everything(await putBig(mounted), small));
    const root = await mounted.show(image, "root");

    // The root's own row is the writable layer's.
    const rows = byPath((listTrees([root])[0] as Row[]).filter(({ path }) => path !== ""));
    const entries = [...entriesOfManifest(decodeManifest(mounted.store.read(image)))].filter(({ path }) => path !== "");
    const expected = entries.map((entry) => rowOf(entry, entry.path.startsWith("hard/") ? 2 : 1, (name) => name));
    expect(rows.map(({ inode: _, ...row }) => row)).toEqual(byPath(expected));
    const inodeOf = (path: string): number | undefined => rows.find((row) => row.path === path)?.inode;
    expect(inodeOf("hard/one")).toBe(inodeOf("hard/two"));
    expect(inodeOf("hard/one")).not.toBe(inodeOf("small"));

    for (const path of ["small", "hard/one", "hard/two"]) expect((await readFile(join(root, path))).equals(content)).toBe(true);
    await using big = await open(join(root, "big"));
    const { buffer, bytesRead } = await big.read(Buffer.alloc(10), 0, 10, 5 * 2 ** 30 - 1);
    expect(buffer.subarray(0, bytesRead).toString()).toBe("\0end");
    const { requests } = await mounted.server.stats();
    expect(requests["LOOKUP"] ?? 0).toBe(0); // all is local: FUSE is not asked

    // 16 bits count an inode's attributes in EROFS. An image with more is shown as a tree.
    const value = Buffer.alloc(60_000, "v");
    const attributes = new Map(Array.from({ length: 5 }, (_, index) => [`trusted.${index}`, value]));
    const attributed = await putImage(mounted.store, [{ ...small, path: "attributed", xattrs: attributes }]);
    const tree = await mounted.show(attributed, "tree");
    expect((await readFile(join(tree, "attributed"))).equals(content)).toBe(true);
    expect(
      readXattrs(Buffer.from(join(tree, "attributed")))
        ?.get("trusted.4")
        ?.equals(value),
    ).toBe(true);
  });

  it("is the manifest's tree whatever that holds, and passes fsck.erofs", async () => {
    await using mounted = await startMounted();
    const isInvalid = (id: number): boolean => id === 0xffff_ffff; // (uid_t) -1 is nobody's
    const trees = fc
      .sample(entryLists, { numRuns: 80, seed: 3 })
      .map((entries) =>
        entries.filter(({ uid, gid, xattrs }) => !isInvalid(uid) && !isInvalid(gid) && !xattrs?.has("security.capability")),
      );
    const points: string[] = [];
    for (const [index, entries] of trees.entries()) {
      const image = join(mounted.folder, `image-${index}`);
      writeFileSync(image, erofsOf(decodeManifest(encodeManifest(entries))));
      if (hasFsck) execFileSync("fsck.erofs", [image], { stdio: "pipe" });
      points.push(await mounted.point(`tree-${index}`));
      expect(mountErofs(image, points[index] as string)).toBe(0);
    }
    const seen = listTrees(points);
    detachMounts(mounted.folder);
    const asShown = (name: string): string | undefined =>
      name.startsWith("trusted.overlay.") ? name.replace("overlay.", "overlay.overlay.") : undefined; // the others are of no known kind
    for (const [index, rows] of seen.entries()) {
      const manifest = decodeManifest(encodeManifest(trees[index] as ManifestEntry[]));
      const expected = [...entriesOfManifest(manifest)].map((entry) => {
        const row = rowOf(entry, 1, asShown);
        if (entry.kind !== "file" || entry.size === 0) return row;
        const redirect = Buffer.from(`/${entry.digest.slice(0, 2)}/${entry.digest}`).toString("hex");
        return { ...row, xattrs: { "trusted.overlay.metacopy": "", "trusted.overlay.redirect": redirect, ...row.xattrs } };
      });
      expect(byPath(rows.map(({ inode: _, ...row }) => row))).toEqual(byPath(expected));
    }
  });

  it("asks FUSE for a content that is missing, once, and for none that has arrived before it was opened", async () => {
    const contents = ["asked for", "arrived by itself"].map((text) => Buffer.from(text));
    const [asked, arrived] = contents.map((content) => sha256(content)) as [string, string];
    const fetched: string[] = [];
    await using mounted = await startMounted({
      view: "tiered",
      fetch: async (digest) => {
        fetched.push(digest);
        await mounted.store.put(contents[0] as Buffer);
      },
    });
    const entries = [file("asked", asked, 9), file("asked-too", asked, 9), file("arrived", arrived, 17)];
    const root = await mounted.show(await putImage(mounted.store, entries), "one");
    // Another image with one of the contents: the folder of blobs knows it already.
    const other = await mounted.show(await putImage(mounted.store, [file("also", asked, 9)]), "two");
    expect(await readFile(join(root, "asked"), "utf8")).toBe("asked for");
    await mounted.store.put(contents[1] as Buffer);
    const before = (await mounted.server.stats()).requests["OPEN"];
    for (const path of ["asked-too", "arrived"]) await readFile(join(root, path));
    expect(await readFile(join(other, "also"), "utf8")).toBe("asked for");
    expect(fetched).toEqual([asked]);
    expect((await mounted.server.stats()).requests["OPEN"]).toBe(before);
  });

  it("goes on without the daemon for all that is local", async () => {
    await using mounted = await startMounted({ view: "tiered" });
    const digest = await mounted.store.put(Buffer.from("here"));
    const root = await mounted.show(await putImage(mounted.store, [file("a", digest, 4), file("b", "0".repeat(64), 4)]), "root");
    await rm(join(mounted.folder, "run"), { recursive: true }); // no other can take over
    process.kill(mounted.server.pid, "SIGKILL");
    await mounted.server.closed;
    await until("the daemon is gone", () => !isAlive(mounted.server.pid));
    expect(await readFile(join(root, "a"), "utf8")).toBe("here");
    expect(statSync(join(root, "b")).size).toBe(4);
    await expect(readFile(join(root, "b"))).rejects.toThrow("ENOTCONN");
  });

  it("has its names written once, and again where they were damaged or its image went", async () => {
    await using mounted = await startMounted();
    const { store } = mounted;
    const image = await putImage(store, [file("a", "0".repeat(64), 4)]);
    const manifest = decodeManifest(store.read(image));
    const [written, again, mended] = await Promise.all(["one", "two", "three"].map((name) => mounted.point(name)));
    const names = (): string[] => readdirSync(join(store.root, "names")).map((name) => join(store.root, "names", name));
    const fingerprint = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
    await mountNames(store, image, manifest, written as string);
    const [path] = names() as [string];
    const [inode, digest] = [statSync(path).ino, fingerprint(path)];
    await mountNames(store, image, manifest, again as string);
    expect(statSync(path).ino).toBe(inode);
    detachMounts(mounted.folder);
    truncateSync(path, 100);
    await mountNames(store, image, manifest, mended as string);
    expect(names()).toEqual([path]);
    expect(fingerprint(path)).toBe(digest);
    expect(readdirSync(mended as string)).toEqual(["a"]);
    await rm(store.path(image));
    await using _next = await startMounted({ store: store.root });
    expect(names()).toEqual([]);
  });
});

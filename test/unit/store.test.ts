// ⑤ The store: whole or absent whatever dies, errors that lose nothing on a full disk, leases, and what a crash of the machine leaves.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, expect, it } from "vitest";
import { recoverStore } from "../../agent/store/recovery.ts";
import { type ContentFolder, openContentFolder, sha256 } from "../../base/content-folder.ts";
import { openLog } from "../../base/log.ts";
import { openPartialBlobs } from "../../base/partial-blob.ts";
import { openRoots, type Roots } from "../../base/store-roots.ts";
import { leasedSince, openLease, sweepWork, workFile } from "../../base/store-work.ts";
import { findGarbage, removeGarbage } from "../../control/images/collect.ts";
import { storeContent } from "../../fusefs/image/chunks.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";

const folder = await mkdtemp(join(tmpdir(), "hob-store-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const log = openLog("store", join(folder, "log"));

async function blobsOf(store: ContentFolder): Promise<string[]> {
  const blobs: string[] = [];
  for await (const digest of store.list()) blobs.push(digest);
  return blobs.sort();
}

/** One file of plain JavaScript: two hundred starts are most of what the test takes. */
async function bundleWriter(): Promise<string> {
  const outfile = join(folder, "writer.mjs");
  const entryPoints = [join(import.meta.dirname, "../drive/store-writer.ts")];
  await build({ entryPoints, outfile, bundle: true, format: "esm", platform: "node", target: "node24", logLevel: "warning" });
  return outfile;
}

/** One life of a writer, to its sudden end somewhere in its first fifteen blobs. */
async function killOneWriter(program: string, root: string, number: number): Promise<void> {
  const writer = spawn(process.execPath, [program, root, String(number)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const after = 1 + Math.floor(Math.random() * 15); // blobs
  let told = 0;
  for await (const piece of writer.stdout) {
    told += (piece as Buffer).length;
    if (told >= after) break;
  }
  writer.kill("SIGKILL");
  await once(writer, "exit");
}

it("has every blob whole or not at all after 200 writers were killed, and the next start sweeps what they left", async () => {
  const root = join(folder, "killed");
  const store = openContentFolder(root, { durable: false });
  const program = await bundleWriter();
  await openPartialBlobs(store, { durable: false }); // once for all: it is one agent's otherwise
  let lives = 0;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      while (lives < 200) await killOneWriter(program, root, lives++);
    }),
  );
  const blobs = await blobsOf(store);
  expect(blobs.length).toBeGreaterThan(200);
  for (const digest of blobs) if (sha256(readFileSync(store.path(digest))) !== digest) expect.fail(`blob ${digest} is damaged`);
  expect(readdirSync(join(root, "tmp")).length).toBeGreaterThan(0);
  const mine = workFile(root, "blob");
  writeFileSync(mine, "half");
  writeFileSync(join(root, "tmp/of-an-older-hob"), "");
  utimesSync(join(root, "tmp/of-an-older-hob"), 1, 1);
  await recoverStore(store, log);
  expect(readdirSync(join(root, "tmp")).map((name) => join(root, "tmp", name))).toEqual([mine]);
  expect(await blobsOf(store)).toEqual(blobs);
});

const canMount = process.getuid?.() === 0;
if (!canMount) console.warn("skipped: a full disk is made with a small tmpfs, which needs root");

it.skipIf(!canMount)(
  "says that the disk is full, keeps what it has, leaves nothing half written, and goes on when there is room",
  async () => {
    const root = join(folder, "tight");
    mkdirSync(root);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", root]);
    try {
      const store = openContentFolder(root, { durable: true });
      const kept = [await store.put(Buffer.alloc(900_000, "one")), await store.put(Buffer.from("two"))];
      const full = { kind: "exhausted", remedy: expect.stringContaining("free some space") };
      await expect(store.put(Buffer.alloc(3 << 20, "big"))).rejects.toMatchObject({
        ...full,
        message: expect.stringContaining("the disk is full"),
      });
      await expect(
        storeContent(
          store,
          Array.from({ length: 30 }, (_, i) => Buffer.alloc(100_000, `${i}`)),
        ),
      ).rejects.toMatchObject(full);
      expect(await blobsOf(store)).toEqual(kept.toSorted());
      for (const digest of kept) expect(sha256(store.read(digest))).toBe(digest);
      expect(readdirSync(join(root, "tmp"))).toEqual([]);
      await store.remove(kept[0] as string);
      expect(store.has(await store.put(Buffer.alloc(1_500_000, "fits now")))).toBe(true);
    } finally {
      execFileSync("umount", [root]);
    }
  },
);

it("is under lease from the first one that lives; a blob that is put again counts as new", async () => {
  const root = join(folder, "leased");
  const store = openContentFolder(root, { durable: false });
  const digest = await store.put(Buffer.from("old"));
  utimesSync(store.path(digest), 1, 1);
  expect(leasedSince(root)).toBe(Number.POSITIVE_INFINITY);
  {
    using _lease = openLease(root);
    using _other = openLease(root);
    const since = leasedSince(root);
    expect(Math.abs(since - Date.now())).toBeLessThan(5_000);
    await store.put(Buffer.from("old"));
    const touched = execFileSync("stat", ["-c", "%Y", store.path(digest)], { encoding: "utf8" });
    expect(Number(touched) * 1000).toBeGreaterThan(since - 1000);
  }
  expect(leasedSince(root)).toBe(Number.POSITIVE_INFINITY);
  // A lease of a process that has ended, or whose pid is another's by now, holds nothing.
  writeFileSync(join(root, `tmp/${process.pid}.1.lease.00`), "");
  writeFileSync(join(root, "tmp/4194304.99.lease.00"), "");
  expect(leasedSince(root)).toBe(Number.POSITIVE_INFINITY);
  sweepWork(root);
  expect(readdirSync(join(root, "tmp"))).toEqual([]);
});

it("loses by collection what only a forgotten image holds, and nothing that an import under way may count on", async () => {
  const root = join(folder, "collected");
  const store = openContentFolder(root, { durable: false });
  const image = async (...contents: string[]): Promise<string> => {
    const entries = contents.map((content, index): ManifestEntry => {
      const times = { mtimeSeconds: 0, mtimeNanoseconds: 0 };
      return {
        kind: "file",
        path: `f${index}`,
        digest: sha256(content),
        size: content.length,
        mode: 0o644,
        uid: 0,
        gid: 0,
        ...times,
      };
    });
    for (const content of contents) await store.put(Buffer.from(content));
    return await store.put(encodeManifest(entries));
  };
  const kept = await image("both", "kept");
  const gone = await image("both", "gone", "wanted again");
  const orphan = await store.put(Buffer.from("never in an image"));
  const poser = await store.put(Buffer.from("hobimage is how a manifest begins, and this is none"));
  const roots = { images: new Set([kept]), removed: new Set([gone]), blobs: new Set<string>() };
  for (const digest of await blobsOf(store)) utimesSync(store.path(digest), 1000, 1000);
  {
    using failed = openLease(root);
    failed.note(await store.put(Buffer.from("left by an import that failed")));
    failed.note(sha256("both"));
    using succeeded = openLease(root);
    succeeded.note(await store.put(Buffer.from("reached by nobody, but not known as such")));
    succeeded.done();
    using layered = openLease(root); // of which a later layer has hidden something
    for (let index = 0; index < 150; index++) layered.note(await store.put(Buffer.from(index === 7 ? "hidden" : "kept")));
    layered.done(new Set([sha256("kept")]));
  }
  for (const what of ["left by an import that failed", "hidden"]) utimesSync(store.path(sha256(what)), 1000, 1000);
  const lease = openLease(root);
  await store.put(Buffer.from("wanted again"));
  const garbage = await findGarbage(store, roots, Date.now());
  const dead = [gone, ...["gone", "left by an import that failed", "hidden"].map((content) => sha256(content))];
  expect(garbage.blobs.toSorted()).toEqual(dead.toSorted());
  await store.put(Buffer.from("gone")); // between mark and sweep
  await removeGarbage(store, garbage);
  lease[Symbol.dispose]();
  const left = [
    kept,
    orphan,
    poser,
    ...["both", "kept", "gone", "wanted again", "reached by nobody, but not known as such"].map((content) => sha256(content)),
  ];
  expect(await blobsOf(store)).toEqual(left.toSorted());
  expect(readdirSync(join(root, "left"))).toEqual([]);
});

it("tells whoever collects what its other owners keep, as long as they exist", () => {
  const root = join(folder, "shared");
  openContentFolder(root, { durable: false });
  const [mine, theirs] = ["mine", "theirs"].map((name) => {
    mkdirSync(join(folder, name));
    return openRoots(root, join(folder, name));
  }) as [Roots, Roots];
  const [one, two] = [sha256("one"), sha256("two")];
  mine.keep([one]);
  theirs.keep([two, one, ""]);
  expect([...mine.ofOthers()].toSorted()).toEqual([one, two].toSorted());
  theirs.keep([two]);
  expect([...mine.ofOthers()]).toEqual([two]);
  expect([...openRoots(root, join(folder, "a third")).ofOthers()].toSorted()).toEqual([one, two].toSorted());
  rmSync(join(folder, "theirs"), { recursive: true });
  expect([...mine.ofOthers()]).toEqual([]);
  expect(readdirSync(join(root, "roots"))).toHaveLength(1);
});

it("loses after a crash of the machine only what had not reached the disk", async () => {
  const root = join(folder, "crashed");
  const store = openContentFolder(root, { durable: false });
  const [whole, cut, old] = [
    await store.put(Buffer.from("whole")),
    await store.put(Buffer.from("cut short")),
    await store.put(Buffer.from("old")),
  ];
  truncateSync(store.path(cut), 0);
  // Long since on the disk: not read again. (That it is damaged here shows that nobody looks.)
  truncateSync(store.path(old), 0);
  utimesSync(store.path(old), Date.now() / 1000 - 3600, Date.now() / 1000 - 3600);
  writeFileSync(join(root, "boot"), "another boot\n");
  await recoverStore(store, log);
  expect(await blobsOf(store)).toEqual([whole, old].toSorted());
  truncateSync(store.path(whole), 0);
  await recoverStore(store, log);
  expect(existsSync(store.path(whole))).toBe(true); // the same boot: nothing to look at
});

// ⑤ The store's size: what leaves first, what never leaves, and a real folder kept within its limit.

import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openStoreKeeper, type StoreKeeperHost } from "../../agent/store/keeper.ts";
import { chooseEvictions, limitNow } from "../../agent/store/policy.ts";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { openLog } from "../../base/log.ts";
import { openPartialBlobs, partialPath, pieceBytesOf } from "../../base/partial-blob.ts";
import { openLease } from "../../base/store-work.ts";
import { parseBytes } from "../../cli/format/bytes.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";

const folder = mkdtempSync(join(tmpdir(), "hob-store-size-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blob = fc.record({ bytes: fc.nat(1000), usedAtMs: fc.nat(100), held: fc.boolean() });

describe("what leaves a store", () => {
  it("is never held, never young, and always the least recently used; enough of it, and no more than is needed", () => {
    fc.assert(
      fc.property(fc.array(blob, { maxLength: 30 }), fc.nat(20_000), fc.nat(100), (list, limitBytes, beforeMs) => {
        const blobs = list.map((each, index) => ({ ...each, digest: String(index) }));
        const held = new Set(blobs.filter((each) => each.held).map(({ digest }) => digest));
        const chosen = chooseEvictions({ blobs, limitBytes, held, beforeMs });
        const size = (some: readonly { bytes: number }[]): number => some.reduce((sum, { bytes }) => sum + bytes, 0);
        const could = blobs.filter(({ digest, usedAtMs }) => !held.has(digest) && usedAtMs < beforeMs);
        const stays = could.filter((each) => !chosen.includes(each));
        expect(chosen.every((each) => could.includes(each as never))).toBe(true);
        for (const gone of chosen) expect(stays.every((each) => each.usedAtMs >= gone.usedAtMs)).toBe(true);
        const left = size(blobs) - size(chosen);
        if (size(blobs) <= limitBytes) expect(chosen).toEqual([]);
        else expect(left <= limitBytes * 0.9 || stays.length === 0).toBe(true);
        const last = chosen.at(-1);
        if (last) expect(left + last.bytes).toBeGreaterThan(limitBytes * 0.9);
      }),
    );
  });

  it("leaves a twentieth of the disk free, whoever fills it", () => {
    expect(limitNow(500, 100, { totalBytes: 1000, availableBytes: 700 })).toBe(500);
    expect(limitNow(500, 100, { totalBytes: 1000, availableBytes: 20 })).toBe(70);
    expect(limitNow(500, 10, { totalBytes: 1000, availableBytes: 0 })).toBe(0);
  });

  it("is given in sizes as people write them", () => {
    expect(["20GiB", "1.5 T", "500m", "4096", "0", "much", "5 XB"].map(parseBytes)).toEqual([
      20 * 2 ** 30,
      1.5 * 2 ** 40,
      500 * 2 ** 20,
      4096,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

it("a store over its limit loses what nothing runs in, lets go of idle mounts for it, and keeps what only this node has", async () => {
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const content = (name: string): Buffer => Buffer.alloc(100_000, name);
  async function image(...names: string[]): Promise<string> {
    const entries = names.map((name): ManifestEntry => {
      const common = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 };
      return { kind: "file", path: name, digest: sha256(content(name)), size: 100_000, ...common };
    });
    for (const name of names) await store.put(content(name));
    return await store.put(encodeManifest(entries));
  }
  const running = await image("base", "running");
  const idle = await image("base", "idle");
  const lately = await image("lately");
  await store.put(content("loose"));
  await store.put(content("only-here"));
  await store.put(content("project"));
  const partial = await openPartialBlobs(store, { durable: false });
  const pieceBytes = pieceBytesOf(0);
  const large = { digest: sha256("large"), size: 3 * pieceBytes };
  await partial.put(large, 0, Buffer.alloc(pieceBytes, 1));
  utimesSync(partialPath(store.root, large.digest), 900, 900);
  for await (const digest of store.list()) utimesSync(store.path(digest), 1000, 1000);
  const has = (...names: string[]): boolean[] => names.map((name) => store.has(sha256(content(name))));

  const mounted = new Set([running, idle]);
  let nowMs = Date.now() - 3600_000;
  const host: StoreKeeperHost = {
    store,
    limitBytes: 0,
    imagesInUse: () => new Set([running]),
    imagesMounted: () => [...mounted],
    release: async (digest) => void mounted.delete(digest),
    contentsInUse: () => [sha256(content("project"))],
    missingAtControl: async (digests) => digests.filter((digest) => digest === sha256(content("only-here"))),
    clock: { now: () => nowMs },
    log: openLog("store", join(folder, "log")),
  };
  {
    await using keeper = openStoreKeeper({ ...host, limitBytes: 10 << 20 }); // which the piece is within
    keeper.used(idle);
    nowMs += 600_000;
    keeper.used(lately);
    expect(await keeper.look()).toMatchObject({ evicted: 0 });
  }
  nowMs = Date.now();
  {
    // One too many, and one more that control lacks: what was never of an image goes first, and no mount is let go of for it.
    await using keeper = openStoreKeeper({ ...host, limitBytes: 700_000 });
    const { bytes, evicted } = await keeper.look();
    expect(bytes).toBeGreaterThan(700_000 + pieceBytes);
    expect(evicted).toBeGreaterThan(90_000 + pieceBytes);
    expect(partial.arrived(large.digest)).toBe(undefined);
    expect(has("loose", "only-here", "idle", "lately")).toEqual([false, true, true, true]);
    expect([...mounted]).toEqual([running, idle]);
  }
  {
    // A lease holds what is put, or found by a put, since.
    using _lease = openLease(store.root);
    await store.put(content("idle"));
    await using keeper = openStoreKeeper({ ...host, limitBytes: 1 });
    await keeper.look();
    expect([...mounted]).toEqual([running]);
    expect(has("base", "running", "project", "only-here", "idle", "lately")).toEqual([true, true, true, true, true, false]);
  }
  await using keeper = openStoreKeeper({
    ...host,
    limitBytes: 1,
    missingAtControl: () => Promise.reject(new Error("nobody answers")),
  });
  utimesSync(store.path(sha256(content("idle"))), 1000, 1000);
  await expect(keeper.look()).rejects.toThrow(/nobody answers/);
  expect(has("idle")).toEqual([true]);
  expect(existsSync(join(store.root, "uses")) && readFileSync(join(store.root, "uses"), "utf8")).toContain(running);
});

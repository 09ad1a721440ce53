// ⑤ Keeps a node's store within its size: looks at it now and then, lets go of images that nothing runs in, and evicts what the policy chooses.

import { readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { type ContentFolder, type Digest, isDigest } from "../../base/content-folder.ts";
import { errnoOf, type HobError, sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { partialMapPath, partialPath } from "../../base/partial-blob.ts";
import { leasedSince } from "../../base/store-work.ts";
import { sweepNames } from "../../fusefs/erofs/names.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { DIGEST_BYTES } from "../../fusefs/image/manifest.ts";
import { chooseEvictions, limitNow, type StoredBlob } from "./policy.ts";
import { openUses } from "./uses.ts";

export interface StoreKeeperHost {
  store: ContentFolder;
  limitBytes: number;
  /** Images that containers run in or are made for, and that this node has made itself. */
  imagesInUse(): Set<Digest>;
  /** Images that are mounted, used or not. */
  imagesMounted(): Digest[];
  /** Unmounts an image that nothing runs in. */
  release(image: Digest): Promise<void>;
  /** Contents of the snapshots that containers have. */
  contentsInUse(): Iterable<Digest>;
  /** Which of them control lacks: those stay, whatever their age. */
  missingAtControl(digests: Digest[]): Promise<Digest[]>;
  clock: Clock;
  log: Log;
}

export interface StoreKeeper extends AsyncDisposable {
  /** A container of that image begins. */
  used(image: Digest): void;
  /** Looks now, and brings the store within its size as far as that can be. One look at a time. */
  look(): Promise<{ bytes: number; evicted: number }>;
}

const lookEveryMs = 60_000;
/** What came within that time came for something that has not begun, perhaps. */
const youngMs = 10 * 60_000;
const statsInOneTurn = 200;

export function openStoreKeeper(host: StoreKeeperHost): StoreKeeper {
  const { store, clock, log } = host;
  const uses = openUses(store.root);
  let looking: Promise<{ bytes: number; evicted: number }> | undefined;
  let ended = false;

  /** Every blob, with what its images' last use makes of its age. */
  async function take(): Promise<Map<Digest, StoredBlob>> {
    const blobs = new Map<Digest, StoredBlob>();
    let seen = 0;
    for await (const digest of store.list()) {
      if (++seen % statsInOneTurn === 0) await nextTurn();
      const found = await stat(store.path(digest)).catch(() => undefined); // removed since it was listed
      if (found) blobs.set(digest, { digest, bytes: found.blocks * 512, usedAtMs: found.mtimeMs });
    }
    for (const digest of await partialDigests()) {
      const found = await stat(partialPath(store.root, digest)).catch(() => undefined); // whole by now
      if (found && !blobs.has(digest)) blobs.set(digest, { digest, bytes: found.blocks * 512, usedAtMs: found.mtimeMs });
    }
    for (const [image, usedAtMs] of uses.at) {
      if (!blobs.has(image)) uses.forget(image);
      else for (const digest of contentsOf(image)) raise(blobs.get(digest), usedAtMs);
    }
    return blobs;
  }

  /** Large contents of which pieces are here. */
  async function partialDigests(): Promise<Digest[]> {
    try {
      return (await readdir(join(store.root, "partial"))).filter(isDigest);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  function raise(blob: StoredBlob | undefined, usedAtMs: number): void {
    if (blob) blob.usedAtMs = Math.max(blob.usedAtMs, usedAtMs);
  }

  /** The manifest itself and its contents. */
  function contentsOf(image: Digest): Digest[] {
    if (!store.has(image)) return [image];
    try {
      const { digests } = decodeManifest(store.read(image));
      const contents = Array.from({ length: digests.length / DIGEST_BYTES }, (_, index) =>
        digests.toString("hex", index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES),
      );
      return [image, ...contents];
    } catch (error) {
      log.warn({ image, error: sentenceOf(error) }, "a manifest in the store cannot be read");
      return [image];
    }
  }

  function held(): Set<Digest> {
    return new Set([...[...host.imagesInUse(), ...host.imagesMounted()].flatMap(contentsOf), ...host.contentsInUse()]);
  }

  async function lookOnce(): Promise<{ bytes: number; evicted: number }> {
    const nowMs = clock.now();
    uses.note(host.imagesInUse(), nowMs);
    uses.save();
    const blobs = await take();
    const usedBytes = [...blobs.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    const { bavail, blocks, bsize } = await statfs(store.root);
    const limitBytes = limitNow(host.limitBytes, usedBytes, { totalBytes: blocks * bsize, availableBytes: bavail * bsize });
    const beforeMs = Math.min(nowMs - youngMs, leasedSince(store.root));
    const plan = { blobs: [...blobs.values()], limitBytes, beforeMs };
    if (usedBytes <= limitBytes) return { bytes: usedBytes, evicted: 0 };
    // Mounts that nothing runs in are let go of, the oldest first, for as long as the rest does not make room enough.
    for (const image of idleImages(beforeMs)) {
      const freed = chooseEvictions({ ...plan, held: held() }).reduce((sum, { bytes }) => sum + bytes, 0);
      if (usedBytes - freed <= limitBytes) break;
      if (host.imagesInUse().has(image)) continue; // since a moment ago
      await host.release(image);
      log.info({ image }, "an image that nothing runs in has been unmounted: the store is full");
    }
    return { bytes: usedBytes, evicted: await evict(plan) };
  }

  function idleImages(beforeMs: number): Digest[] {
    const inUse = host.imagesInUse();
    const usedAt = (image: Digest): number => uses.at.get(image) ?? 0;
    const idle = host.imagesMounted().filter((image) => !inUse.has(image) && usedAt(image) < beforeMs);
    return idle.sort((a, b) => usedAt(a) - usedAt(b));
  }

  async function evict(plan: { blobs: StoredBlob[]; limitBytes: number; beforeMs: number }): Promise<number> {
    const onlyHere = new Set<Digest>();
    const elsewhere = new Set<Digest>();
    let chosen: StoredBlob[];
    for (;;) {
      chosen = chooseEvictions({ ...plan, held: held().union(onlyHere) });
      const unknown = chosen.flatMap(({ digest }) => (elsewhere.has(digest) ? [] : [digest]));
      if (unknown.length === 0) break;
      const missing = new Set(await host.missingAtControl(unknown));
      for (const digest of unknown) (missing.has(digest) ? onlyHere : elsewhere).add(digest);
    }
    let evicted = 0;
    for (const { digest, bytes } of chosen) {
      // Put again, or mounted, since it was chosen.
      const path = store.has(digest) ? store.path(digest) : partialPath(store.root, digest);
      const found = await stat(path).catch(() => undefined);
      if (!found || found.mtimeMs >= plan.beforeMs) continue;
      await rm(partialMapPath(store.root, digest), { force: true }); // first: without it the pieces are as good as absent
      await rm(path, { force: true });
      evicted += bytes;
    }
    await sweepNames(store);
    log.info({ blobs: chosen.length, bytes: evicted, onlyHere: onlyHere.size }, "blobs evicted: the store is full");
    return evicted;
  }

  function look(): Promise<{ bytes: number; evicted: number }> {
    looking ??= lookOnce()
      .catch((error: unknown) => {
        throw systemError("looking after the store's size", error);
      })
      .finally(() => {
        looking = undefined;
      });
    return looking;
  }

  const timer = setInterval(() => {
    look().catch((error: HobError) => ended || log.warn({ error: error.sentence }, "the store may grow beyond its size"));
  }, lookEveryMs);
  timer.unref();
  return {
    used: (image) => uses.note([image], clock.now()),
    look,
    async [Symbol.asyncDispose]() {
      ended = true;
      clearInterval(timer);
      await looking?.catch(() => {}); // has been said
      uses.note(host.imagesInUse(), clock.now());
      uses.save();
    },
  };
}

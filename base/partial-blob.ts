// Blobs that arrive piece by piece: a sparse file with what is here, beside it a map of one byte a piece. Whole ones move into the store.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { constants, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContentFolder, Digest } from "./content-folder.ts";
import { errnoOf, HobError, systemError } from "./errors.ts";

/** Bytes of a piece; a blob's last one is shorter. */
export const PIECE_BYTES = 4 << 20;

/** ROOT/partial/DIGEST has the pieces, at their offsets and holes between. Its map says 1 for a piece once all of it is there. */
export const partialPath = (root: string, digest: Digest): string => join(root, "partial", digest);
export const partialMapPath = (root: string, digest: Digest): string => `${partialPath(root, digest)}.map`;

/** Whether that piece of a blob that is not whole is here. */
export async function hasPiece(root: string, digest: Digest, piece: number): Promise<boolean> {
  const map = await readFile(partialMapPath(root, digest)).catch(() => undefined); // absent: nothing is here
  return map?.[piece] === 1;
}

export interface PartialBlobs {
  /**
   * Keeps one piece, which the caller has checked; "zeros" takes no space. True once the blob is whole: it then has its digest, or is
   * thrown away with HobError `corrupt`, and lies in the store.
   */
  put(blob: { digest: Digest; size: number }, piece: number, data: Uint8Array | "zeros"): Promise<boolean>;
  /** The pieces that are here, 1 for each; undefined when none is, or all are and the blob is in the store. */
  arrived(digest: Digest): Promise<Uint8Array | undefined>;
  remove(digest: Digest): Promise<void>;
}

/** Those of another boot are removed: what was not written out then may be missing from them. */
export async function openPartialBlobs(store: ContentFolder, options: { durable: boolean }): Promise<PartialBlobs> {
  const { root } = store;
  const folder = join(root, "partial");
  const completing = new Map<Digest, Promise<void>>();
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id");
    const mark = join(folder, "boot");
    const before = await readFile(mark).catch(() => undefined);
    if (!before?.equals(boot)) {
      // Without a mark it is new: another process that opens it at the same time may have put something there already.
      if (before) await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(mark, boot, { mode: 0o600 });
    }
  } catch (error) {
    throw systemError(`opening the partial blobs in ${folder}`, error);
  }

  /** The map goes first: without it the file is as good as empty. */
  async function remove(digest: Digest): Promise<void> {
    await rm(partialMapPath(root, digest), { force: true });
    await rm(partialPath(root, digest), { force: true });
  }

  async function complete(digest: Digest): Promise<void> {
    const path = partialPath(root, digest);
    {
      await using file = await open(path, "r");
      const hash = createHash("sha256");
      const pieces = file.createReadStream({ highWaterMark: 1 << 20, autoClose: false });
      for await (const data of pieces) hash.update(data as Buffer);
      const actual = hash.digest("hex");
      if (actual !== digest) {
        await remove(digest);
        throw new HobError(
          "corrupt",
          `blob ${digest.slice(0, 12)}: its pieces are right, but together they have digest ${actual.slice(0, 12)}`,
        );
      }
      if (options.durable) await file.sync();
    }
    const target = store.path(digest);
    await mkdir(join(target, ".."), { recursive: true, mode: 0o700 });
    await rm(partialMapPath(root, digest), { force: true });
    await rename(path, target);
    if (!options.durable) return;
    await using names = await open(join(target, ".."), "r");
    await names.sync();
  }

  async function write(blob: { digest: Digest; size: number }, piece: number, data: Uint8Array | "zeros"): Promise<boolean> {
    const { digest, size } = blob;
    const count = Math.ceil(size / PIECE_BYTES);
    const bytes = Math.min(PIECE_BYTES, size - piece * PIECE_BYTES);
    if (bytes <= 0 || (data !== "zeros" && data.byteLength !== bytes))
      throw new HobError("usage", `piece ${piece} of blob ${digest.slice(0, 12)} has ${bytes} bytes`);
    const access = constants.O_RDWR | constants.O_CREAT;
    {
      await using file = await open(partialPath(root, digest), access, 0o600);
      await file.truncate(size);
      for (let at = 0; data !== "zeros" && at < bytes; ) {
        at += (await file.write(data, at, bytes - at, piece * PIECE_BYTES + at)).bytesWritten;
      }
    }
    await using map = await open(partialMapPath(root, digest), access, 0o600);
    await map.truncate(count);
    await map.write(Buffer.from([1]), 0, 1, piece);
    const { buffer: arrived, bytesRead } = await map.read(Buffer.alloc(count), 0, count, 0);
    return bytesRead === count && arrived.every((here) => here === 1);
  }

  return {
    async put(blob, piece, data) {
      const { digest } = blob;
      if (completing.has(digest) || store.has(digest)) {
        await completing.get(digest);
        return true;
      }
      try {
        const isLast = await write(blob, piece, data);
        if (!completing.has(digest) && store.has(digest)) {
          await remove(digest); // it became whole while we wrote
          return true;
        }
        if (!isLast) return false;
        // Whoever writes the last pieces at the same time sees all of them.
        let done = completing.get(digest);
        if (!done) {
          done = complete(digest).catch((error) => {
            if (errnoOf(error) !== "ENOENT" || !store.has(digest)) throw error; // else another process has done it
          });
          completing.set(digest, done);
          const settle = (): void => void completing.delete(digest);
          done.then(settle, settle);
        }
        await done;
        return true;
      } catch (error) {
        throw systemError(`keeping piece ${piece} of blob ${digest.slice(0, 12)}`, error, "free some space, then try again");
      }
    },
    arrived: (digest) => readFile(partialMapPath(root, digest)).catch(() => undefined),
    remove,
  };
}

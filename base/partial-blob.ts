// Blobs that arrive piece by piece: a sparse file with what is here, beside it a map of one byte a piece. Whole ones move into the store.

import { createHash } from "node:crypto";
import { closeSync, constants, ftruncateSync, openSync, readFileSync, readSync, write as writeSoon, writeSync } from "node:fs";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ContentFolder, Digest } from "./content-folder.ts";
import { errnoOf, HobError, systemError } from "./errors.ts";

/** Programs and libraries: of them a start reads pages here and there, and 128 KiB is what the kernel reads at once. */
const fineBytes = 128 << 10;
export const FINE_BLOB_BYTES = 128 << 20;
/** Models and archives: read from one end to the other, and as whole as they are large. */
const coarseBytes = 4 << 20;

/** Bytes of a piece of a blob that has so many; its last one is shorter. */
export const pieceBytesOf = (blobBytes: number): number => (blobBytes <= FINE_BLOB_BYTES ? fineBytes : coarseBytes);

/** ROOT/partial/DIGEST has the pieces, at their offsets and holes between. Its map says 1 for a piece once all of it is there. */
export const partialPath = (root: string, digest: Digest): string => join(root, "partial", digest);
export const partialMapPath = (root: string, digest: Digest): string => `${partialPath(root, digest)}.map`;

/** Whether that piece of a blob that is not whole is here. */
export async function hasPiece(root: string, digest: Digest, piece: number): Promise<boolean> {
  const map = await readFile(partialMapPath(root, digest)).catch(() => undefined); // absent: nothing is here
  return map?.[piece] === 1;
}

const writeLarge = promisify(writeSoon);

function openFile(path: string, access: number): { readonly fd: number } & Disposable {
  const fd = openSync(path, access, 0o600);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

export interface PartialBlobs {
  /**
   * Keeps one piece, which the caller has checked; "zeros" takes no space. True once the blob is whole: it then has its digest, or is
   * thrown away with HobError `corrupt`, and lies in the store.
   */
  put(blob: { digest: Digest; size: number }, piece: number, data: Uint8Array | "zeros"): Promise<boolean>;
  /** The pieces that are here, 1 for each; undefined when none is, or all are and the blob is in the store. */
  arrived(digest: Digest): Uint8Array | undefined;
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

  /** True when all pieces are here. On this thread, but for large pieces: a small one takes a tenth of what asking another thread does. */
  async function write(blob: { digest: Digest; size: number }, piece: number, data: Uint8Array | "zeros"): Promise<boolean> {
    const { digest, size } = blob;
    const pieceBytes = pieceBytesOf(size);
    const bytes = Math.min(pieceBytes, size - piece * pieceBytes);
    if (bytes <= 0 || (data !== "zeros" && data.byteLength !== bytes))
      throw new HobError("usage", `piece ${piece} of blob ${digest.slice(0, 12)} has ${bytes} bytes`);
    const access = constants.O_RDWR | constants.O_CREAT;
    using file = openFile(partialPath(root, digest), access);
    ftruncateSync(file.fd, size);
    for (let at = 0; data !== "zeros" && at < bytes; ) {
      const place = piece * pieceBytes + at;
      at +=
        bytes <= fineBytes
          ? writeSync(file.fd, data, at, bytes - at, place)
          : (await writeLarge(file.fd, data, at, bytes - at, place)).bytesWritten;
    }
    const count = Math.ceil(size / pieceBytes);
    using map = openFile(partialMapPath(root, digest), access);
    ftruncateSync(map.fd, count);
    writeSync(map.fd, Buffer.from([1]), 0, 1, piece);
    const arrived = Buffer.alloc(count);
    return readSync(map.fd, arrived, 0, count, 0) === count && arrived.every((here) => here === 1);
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
    arrived(digest) {
      try {
        return readFileSync(partialMapPath(root, digest));
      } catch {
        return undefined; // absent: nothing is here, or all
      }
    },
    remove,
  };
}

// ⑤ What was fetched is read once more before anything is served from it: a wrong digest never is.

import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readFileSync, readSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type ContentFolder, sha256 } from "../base/content-folder.ts";
import { errnoOf, HobError } from "../base/errors.ts";
import { partialMapPath, partialPath, pieceBytesOf } from "../base/partial-blob.ts";
import type { NeededChunk } from "./worker-messages.ts";

const refused = (blob: string, what: string): HobError =>
  new HobError("corrupt", `fetching blob ${blob.slice(0, 12)}: what arrived${what}`);

/** Less is read on this thread: another one costs more than it takes. */
const atOnceBytes = 1 << 20;

async function digestOf(path: string, bytes: number): Promise<string> {
  if (bytes <= atOnceBytes) return sha256(readFileSync(path));
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

/** HobError `unavailable` when it did not arrive, `corrupt` when it is something else; that is thrown away. */
export async function checkBlob(store: ContentFolder, digest: string): Promise<void> {
  if (!store.has(digest)) throw new HobError("unavailable", `fetching blob ${digest.slice(0, 12)}: it did not arrive`);
  const actual = await digestOf(store.path(digest), await store.size(digest));
  if (actual === digest) return;
  await store.remove(digest);
  throw refused(digest, ` has digest ${actual.slice(0, 12)}`);
}

/** The same for a chunk, in the partial file or, when that has become whole, in the store. */
export async function checkChunk(store: ContentFolder, digest: string, chunk: NeededChunk): Promise<void> {
  const data = readChunk(store, digest, chunk);
  const actual = data && sha256(data);
  if (actual === chunk.digest) return;
  await rm(partialMapPath(store.root, digest), { force: true });
  await rm(partialPath(store.root, digest), { force: true });
  await store.remove(digest);
  throw refused(digest, actual ? ` as chunk ${chunk.index} has digest ${actual.slice(0, 12)}` : ` lacks chunk ${chunk.index}`);
}

function readChunk(store: ContentFolder, digest: string, { index, blobBytes }: NeededChunk): Buffer | undefined {
  const chunkBytes = pieceBytesOf(blobBytes);
  // It may become whole between two looks, never the other way round.
  for (const path of [partialPath(store.root, digest), store.path(digest)]) {
    try {
      const fd = openSync(path, "r");
      try {
        const data = Buffer.allocUnsafe(chunkBytes);
        let bytes = 0;
        for (let count = -1; count !== 0 && bytes < chunkBytes; bytes += count) {
          count = readSync(fd, data, bytes, chunkBytes - bytes, index * chunkBytes + bytes);
        }
        return data.subarray(0, bytes);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return undefined;
}

// ④ Blobs of a pool with several controls: each has all of them in its folder, and the object store has what is durable. A blob is kept when both have it.

import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ObjectStore } from "@nats-io/obj";
import { type ContentFolder, type Digest, isDigest } from "../../../base/content-folder.ts";
import { systemError } from "../../../base/errors.ts";

const pieceBytes = 512 << 10;
const storeMs = 20_000; // for one piece
const atOnce = 8;

/** A file as an object of that name. */
export async function storeFile(objects: ObjectStore, name: string, path: string): Promise<void> {
  const pieces = Readable.toWeb(createReadStream(path, { highWaterMark: pieceBytes })) as ReadableStream<Uint8Array>;
  await objects.put({ name, options: { max_chunk_size: pieceBytes } }, pieces, { timeout: storeMs });
}

/** The folder as control uses it while it serves. `stored`: what the object store has. */
export function shareBlobs(folder: ContentFolder, objects: ObjectStore, stored: Set<Digest>): ContentFolder {
  const onTheirWay = new Map<Digest, Promise<void>>();

  async function store(digest: Digest): Promise<void> {
    if (stored.has(digest)) return;
    const work = onTheirWay.get(digest) ?? storeOne(digest).finally(() => onTheirWay.delete(digest));
    onTheirWay.set(digest, work);
    await work;
  }

  async function storeOne(digest: Digest): Promise<void> {
    try {
      await storeFile(objects, digest, folder.path(digest));
      stored.add(digest);
    } catch (error) {
      await folder.remove(digest); // or it would count as kept
      throw systemError(`keeping blob ${digest.slice(0, 12)} in NATS`, error, "try again once most of its servers run");
    }
  }

  return {
    ...folder,
    async put(data, expected) {
      const digest = await folder.put(data, expected);
      await store(digest);
      return digest;
    },
    async putStream(pieces, expected, hash) {
      const put = await folder.putStream(pieces, expected, hash);
      await store(put.digest);
      return put;
    },
    async putFile(path) {
      const put = await folder.putFile(path);
      await store(put.digest);
      return put;
    },
    async remove(digest) {
      await folder.remove(digest);
      if (stored.delete(digest)) await objects.delete(digest);
    },
  };
}

async function storedIn(objects: ObjectStore): Promise<Set<Digest>> {
  const names = (await objects.list()).filter(({ name, deleted }) => !deleted && isDigest(name)).map(({ name }) => name);
  return new Set(names);
}

async function forEach(digests: Iterable<Digest>, work: (digest: Digest) => Promise<void>): Promise<void> {
  const iterator = digests[Symbol.iterator]();
  const workers = Array.from({ length: atOnce }, async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  });
  await Promise.all(workers);
}

/** Makes the folder have what the object store has, and nothing else: what only the folder has was never told to be kept. Resolves with what both have. */
export async function mirrorBlobs(folder: ContentFolder, objects: ObjectStore, signal: AbortSignal): Promise<Set<Digest>> {
  const stored = await storedIn(objects);
  const lacking = new Set(stored);
  for await (const digest of folder.list()) if (!lacking.delete(digest)) await folder.remove(digest);
  await forEach(lacking, async (digest) => {
    signal.throwIfAborted();
    const object = await objects.get(digest);
    if (!object) return void stored.delete(digest); // removed meanwhile
    await folder.putStream(object.data as unknown as AsyncIterable<Uint8Array>, digest);
    const failure = await object.error;
    if (failure) throw failure;
  });
  return stored;
}

/** Puts all that the folder has into the object store; resolves with how many that are. */
export async function storeBlobs(folder: ContentFolder, objects: ObjectStore): Promise<number> {
  const stored = await storedIn(objects);
  const all: Digest[] = [];
  for await (const digest of folder.list()) all.push(digest);
  await forEach(all, async (digest) => {
    if (!stored.has(digest)) await storeFile(objects, digest, folder.path(digest));
  });
  return all.length;
}

// ④ Blobs of a pool with several controls: each has all of them in its folder, and the object store has what is durable. A blob is kept when both have it.

import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ObjectStore } from "@nats-io/obj";
import { type ContentFolder, type Digest, isDigest, sha256 } from "../../../base/content-folder.ts";
import { systemError } from "../../../base/errors.ts";

const pieceBytes = 512 << 10;
const storeMs = 20_000; // for one piece
const fetchedAtOnce = 8;

export function shareBlobs(folder: ContentFolder, objects: ObjectStore): ContentFolder {
  const onTheirWay = new Map<Digest, Promise<void>>();

  function store(digest: Digest): Promise<void> {
    const known = onTheirWay.get(digest);
    if (known) return known;
    const work = storeOne(digest).finally(() => onTheirWay.delete(digest));
    onTheirWay.set(digest, work);
    return work;
  }

  async function storeOne(digest: Digest): Promise<void> {
    try {
      const pieces = Readable.toWeb(
        createReadStream(folder.path(digest), { highWaterMark: pieceBytes }),
      ) as ReadableStream<Uint8Array>;
      await objects.put({ name: digest, options: { max_chunk_size: pieceBytes } }, pieces, { timeout: storeMs });
    } catch (error) {
      await folder.remove(digest); // or it would count as kept
      throw systemError(`keeping blob ${digest.slice(0, 12)} in NATS`, error, "try again once most of its servers run");
    }
  }

  return {
    ...folder,
    async put(data, expected) {
      const named = expected ?? sha256(data);
      const had = folder.has(named) && !onTheirWay.has(named);
      const digest = await folder.put(data, expected);
      if (!had) await store(digest);
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
      const info = await objects.info(digest);
      if (info && !info.deleted) await objects.delete(digest);
    },
  };
}

/** Makes the folder have what the object store has, and nothing else: what only the folder has was never told to be kept. */
export async function mirrorBlobs(folder: ContentFolder, objects: ObjectStore, signal: AbortSignal): Promise<void> {
  const wanted = new Set<Digest>();
  for (const { name, deleted } of await objects.list()) if (!deleted && isDigest(name)) wanted.add(name);
  for await (const digest of folder.list()) {
    if (wanted.has(digest)) wanted.delete(digest);
    else await folder.remove(digest);
  }
  const lacking = wanted.values();
  const fetchers = Array.from({ length: fetchedAtOnce }, async () => {
    for (const digest of lacking) {
      if (signal.aborted) return;
      const object = await objects.get(digest);
      if (!object) continue; // removed meanwhile
      await folder.putStream(object.data as unknown as AsyncIterable<Uint8Array>, digest);
      const failure = await object.error;
      if (failure) throw failure;
    }
  });
  await Promise.all(fetchers);
}

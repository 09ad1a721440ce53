// ⑤ One layer: its tar onto the tree, its files into the store. Small files are stored side by side, large ones as they stream.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { ContentFolder } from "../../../base/content-folder.ts";
import { HobError } from "../../../base/errors.ts";
import type { Lease } from "../../../base/store-work.ts";
import { storeContent } from "../chunks.ts";
import { decompress } from "./compression.ts";
import { readTar, type TarEntry } from "./tar-reader.ts";
import type { ContentSlot, ImageTree } from "./tree.ts";

/** Measured: what a small file costs is waiting for the disk's folders; beyond sixteen at once nothing is gained. */
const atOnce = 16;
const smallBytes = 1 << 20;
/** Thousands of entries may come in one piece of the stream: others of this process wait no longer than this. */
const turnMs = 4;

async function bufferOf(entry: TarEntry): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of entry.content()) parts.push(piece);
  return Buffer.concat(parts, entry.size);
}

/** Runs up to `atOnce` tasks beside the caller; the first failure is thrown to whoever comes next. */
function createCrew() {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  return {
    async add(task: () => Promise<void>): Promise<void> {
      if (running.size >= atOnce) await Promise.race(running);
      if (failure) throw failure.error;
      const done = task()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(done));
      running.add(done);
    },
    async idle(): Promise<void> {
      await Promise.all(running);
      if (failure) throw failure.error;
    },
  };
}

/** `name` of a layer, as errors have it: "layer 2 (sha256 1f2e…)". */
export function inLayer(name: string, error: unknown): unknown {
  if (!(error instanceof HobError) || error.kind === "cancelled") return error;
  return new HobError(error.kind, `${name}: ${error.message}`, {
    cause: error,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
  });
}

/** An error of the tree or the store, with the entry that it is about. */
function atEntry(path: string, error: unknown): unknown {
  return inLayer(`entry "${path}"`, error);
}

/** Damaged data come from a damaged transfer more often than from who packed them: what the rest of the stream says of its digest counts. */
async function causeOf(error: unknown, pieces: AsyncIterator<Uint8Array>): Promise<unknown> {
  if (!(error instanceof HobError) || error.kind !== "corrupt") return error;
  try {
    while (!(await pieces.next()).done);
    return error;
  } catch (cause) {
    return cause;
  }
}

export interface LayerOptions {
  store: ContentFolder;
  /** Of the import that the layer is part of. */
  lease: Lease;
  signal?: AbortSignal | undefined;
}

/**
 * Applies the next layer. Memory is bounded by small files in flight (16 MiB), whatever the layer's size. Errors name the layer and the entry;
 * the tree is of no use after one.
 */
export async function applyLayer(
  tree: ImageTree,
  layer: { name: string; data: AsyncIterable<Uint8Array> },
  { store, lease, signal }: LayerOptions,
): Promise<void> {
  const crew = createCrew();

  /** Resolves with the content of a small file, which is still to be stored. */
  async function place(entry: TarEntry, slot: ContentSlot): Promise<Buffer | undefined> {
    try {
      tree.place(entry, slot);
      if (entry.kind !== "file") return undefined;
      if (entry.size <= smallBytes) return await bufferOf(entry);
      slot.stored = await storeContent(store, entry.content());
      lease.note(slot.stored.digest);
      return undefined;
    } catch (error) {
      throw atEntry(entry.path, error);
    }
  }

  async function keep(entry: TarEntry): Promise<void> {
    const slot: ContentSlot = {};
    const data = await place(entry, slot);
    if (!data) return;
    // What this throws is the failure of an entry before, which has its name already.
    await crew.add(async () => {
      try {
        slot.stored = { digest: await store.put(data), size: data.length };
        lease.note(slot.stored.digest);
      } catch (error) {
        throw atEntry(entry.path, error);
      }
    });
  }

  // Whoever reads the archive gives up at the first fault; the layer's bytes go on to their end, for their digest may be the cause.
  const pieces = layer.data[Symbol.asyncIterator]();
  const data = { [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) };
  tree.beginLayer();
  let turnBeganMs = performance.now();
  try {
    for await (const entry of readTar(decompress(data))) {
      signal?.throwIfAborted();
      await keep(entry);
      if (performance.now() - turnBeganMs < turnMs) continue;
      await nextTurn();
      turnBeganMs = performance.now();
    }
    await crew.idle();
  } catch (error) {
    await crew.idle().catch(() => {}); // the first error is the one to tell
    throw inLayer(layer.name, await causeOf(error, pieces));
  } finally {
    await pieces.return?.();
  }
}

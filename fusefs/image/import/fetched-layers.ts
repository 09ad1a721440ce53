// ⑤ Layers from a registry: several fetched at once, each through a file, applied in their order while they arrive.

import { statfs } from "node:fs/promises";
import { HobError } from "../../../base/errors.ts";
import { applyLayer, inLayer, type LayerOptions } from "./layer.ts";
import type { Descriptor } from "./oci.ts";
import { openSpool, type Spool } from "./spool.ts";
import type { ImageTree } from "./tree.ts";
import { verified } from "./verified.ts";

/** What registries and links bear; more makes none of them faster. */
const atOnce = 3;

export interface FetchOptions extends LayerOptions {
  /** Compressed bytes that have arrived, of all layers. */
  progress?(bytes: number, totalBytes: number): void;
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

async function checkRoom(root: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(root);
  if (bavail * bsize >= bytes) return;
  throw new HobError("exhausted", `its layers have ${megabytes(bytes)}, and ${root} has ${megabytes(bavail * bsize)} left`, {
    remedy: "free some space, for instance with hob images gc",
  });
}

export async function applyFetchedLayers(
  tree: ImageTree,
  layers: readonly Descriptor[],
  fetch: (layer: Descriptor, signal: AbortSignal) => AsyncIterable<Uint8Array>,
  { store, lease, signal, progress }: FetchOptions,
): Promise<void> {
  const totalBytes = layers.reduce((sum, { size }) => sum + size, 0);
  await checkRoom(store.root, totalBytes);
  const end = new AbortController(); // whatever ends one ends all
  const either = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
  const nameOf = (index: number): string => `layer ${index + 1} (sha256 ${layers[index]?.digest.slice(0, 12)})`;
  const spools = layers.map(() => Promise.withResolvers<Spool>());
  for (const { promise } of spools) promise.catch(() => {}); // whoever comes to it hears of it
  either.addEventListener("abort", () => {
    for (const { reject } of spools) reject(either.reason); // those that are open stay so
  });
  let failure: { error: unknown } | undefined;
  let arrived = 0;

  async function* counted(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of stream) {
      arrived += piece.byteLength;
      progress?.(arrived, totalBytes);
      yield piece;
    }
  }

  let next = 0;
  async function fetchNext(): Promise<void> {
    for (let index = next++; index < layers.length && !either.aborted; index = next++) {
      const layer = layers[index] as Descriptor;
      try {
        const spool = await openSpool(store.root);
        spools[index]?.resolve(spool);
        await spool.fill(verified(counted(fetch(layer, either)), layer, "its content"));
      } catch (error) {
        failure ??= { error: inLayer(nameOf(index), error) };
        end.abort(error);
      }
    }
  }

  const fetching = Promise.all(Array.from({ length: Math.min(atOnce, layers.length) }, fetchNext));
  try {
    for (const index of layers.keys()) {
      const spool = await (spools[index]?.promise as Promise<Spool>);
      await applyLayer(tree, { name: nameOf(index), data: spool.read() }, { store, lease, signal: either });
      await spool[Symbol.asyncDispose](); // its room on the disk is wanted
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw failure ? failure.error : error;
  } finally {
    end.abort(new HobError("cancelled", "the import has ended"));
    await fetching;
    for (const { promise } of spools) await promise.then((spool) => spool[Symbol.asyncDispose]()).catch(() => {}); // never opened
  }
}

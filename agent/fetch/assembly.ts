// ⑤ The pieces of one content on their way in: put together, checked, kept. Nothing of a content is in the store before all of it is right.

import { type Channel, createChannel } from "../../base/channel.ts";
import { type ContentFolder, sha256 } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import type { PartialBlobs } from "../../base/partial-blob.ts";

interface Chunk {
  readonly index: number;
  /** sha256 of the chunk alone; of one that was asked for before the image's manifest is here, once it is. */
  readonly digest: string | Promise<string>;
  readonly offset: number;
  /** Of the whole blob. */
  readonly blobBytes: number;
}

/** A blob, or one chunk of it. */
export interface Wanted {
  readonly digest: string;
  /** The image that it belongs to; "" for none. */
  readonly image: string;
  /** Of the blob or the chunk; 0: not known. */
  readonly bytes: number;
  readonly chunk?: Chunk;
}

export interface Keep {
  readonly store: Pick<ContentFolder, "put" | "putStream">;
  /** Keeps chunks that have been checked. */
  readonly partial: Pick<PartialBlobs, "put">;
}

/** What arrives of a content of unknown size is held in memory up to here. */
const heldBytes = 8 << 20;

export interface Assembly {
  /** In any order where the size is known, else one after the other. */
  add(data: Buffer, offset: number, last: boolean): void;
  /** The content is in the store; or HobError `corrupt`, or what the disk said. */
  readonly kept: Promise<void>;
  abandon(): void;
}

export function createAssembly(wanted: Wanted, keep: Keep): Assembly {
  const kept = Promise.withResolvers<void>();
  kept.promise.catch(() => {}); // who waits hears of it
  const settle = (done: Promise<unknown>): void => void done.then(() => kept.resolve(), kept.reject);
  const finish = (data: Buffer): void => settle(keepWhole(wanted, data, keep));

  if (wanted.bytes > 0) {
    let whole: Buffer | undefined;
    let missing = wanted.bytes;
    return {
      add(data, offset) {
        if (offset + data.length > wanted.bytes) return kept.reject(wrong(wanted, "is larger than it should be"));
        if (data.length === wanted.bytes) return finish(data);
        whole ??= Buffer.allocUnsafe(wanted.bytes);
        data.copy(whole, offset);
        missing -= data.length;
        if (missing === 0) finish(whole);
      },
      kept: kept.promise,
      abandon: () => kept.reject(new HobError("cancelled", "its fetch was given up")),
    };
  }

  const parts: Buffer[] = [];
  let held = 0;
  let flow: Channel<Uint8Array> | undefined;
  return {
    add(data, _offset, last) {
      if (flow) flow.offer(data);
      else {
        parts.push(data);
        held += data.length;
        if (last) return finish(parts.length === 1 ? data : Buffer.concat(parts));
        if (held <= heldBytes) return;
        flow = createChannel<Uint8Array>(Number.POSITIVE_INFINITY);
        for (const part of parts.splice(0)) flow.offer(part);
        settle(keep.store.putStream(flow, wanted.digest));
      }
      if (last) flow.close();
    },
    kept: kept.promise,
    abandon() {
      const given = new HobError("cancelled", "its fetch was given up");
      flow?.close(given);
      kept.reject(given);
    },
  };
}

async function keepWhole(wanted: Wanted, data: Buffer, { store, partial }: Keep): Promise<void> {
  const { digest, chunk } = wanted;
  if (!chunk) return void (await store.put(data, digest));
  if (sha256(data) !== (await chunk.digest)) throw wrong(wanted, "has another digest");
  await partial.put({ digest, size: chunk.blobBytes }, chunk.index, data);
}

const wrong = ({ digest, chunk }: Wanted, how: string): HobError =>
  new HobError("corrupt", `blob ${digest.slice(0, 12)}: what arrived${chunk ? ` as chunk ${chunk.index}` : ""} ${how}`);

// ④⑤ What control keeps of images: by key what each step has left, so that no node runs it again; and how the last build of each went.

import type { ContentFolder } from "../../base/content-folder.ts";
import { BuiltStep, ImageRecord } from "../../proto/gen/hob/v1/images.ts";
import type { Records } from "../engine/engine.ts";

const kinds = { step: "image-step", image: "image", trace: "image-trace", removed: "image-removed" };

export interface ImageRecords {
  /** The image that the step of this key has left; undefined when it was never run here, or its image has gone from the store. */
  digestOf(key: string): string | undefined;
  step(key: string): BuiltStep | undefined;
  keepStep(key: string, step: BuiltStep): void;
  forgetStep(key: string): void;
  /** Keys of all steps that are known. */
  steps(): [key: string, digest: string][];
  image(key: string): ImageRecord | undefined;
  images(): ImageRecord[];
  keep(record: ImageRecord): void;
  remove(key: string): void;
  /** Digests of images that were forgotten on purpose and whose blobs are still there. */
  removed(): string[];
  keepRemoved(digest: string): void;
  forgetRemoved(digest: string): void;
  /** Digest of the blob that says what a first start of the image reads; "" while none has been seen. */
  trace(image: string): string;
  traces(): string[];
  keepTrace(image: string, blob: string): void;
}

export function createImageRecords(records: Records, blobs: Pick<ContentFolder, "has">): ImageRecords {
  const images = new Map<string, ImageRecord>();
  for (const { key, value } of records.list(kinds.image)) images.set(key, ImageRecord.decode(value));

  function put(kind: string, key: string, value: Uint8Array): void {
    records.put(kind, key, value, records.get(kind, key)?.revision ?? 0);
  }
  function step(key: string): BuiltStep | undefined {
    const found = records.get(kinds.step, key);
    return found && BuiltStep.decode(found.value);
  }

  return {
    digestOf(key) {
      const digest = step(key)?.digest;
      return digest && blobs.has(digest) ? digest : undefined;
    },
    step,
    keepStep: (key, value) => put(kinds.step, key, BuiltStep.encode(value).finish()),
    forgetStep: (key) => records.remove(kinds.step, key),
    steps: () => records.list(kinds.step).map(({ key, value }) => [key, BuiltStep.decode(value).digest]),
    image: (key) => images.get(key),
    images: () => [...images.values()],
    keep(record) {
      images.set(record.key, record);
      put(kinds.image, record.key, ImageRecord.encode(record).finish());
    },
    remove(key) {
      images.delete(key);
      records.remove(kinds.image, key);
    },
    removed: () => records.list(kinds.removed).map(({ key }) => key),
    keepRemoved: (digest) => put(kinds.removed, digest, new Uint8Array()),
    forgetRemoved: (digest) => records.remove(kinds.removed, digest),
    trace: (image) => Buffer.from(records.get(kinds.trace, image)?.value ?? []).toString(),
    traces: () => records.list(kinds.trace).map(({ value }) => Buffer.from(value).toString()),
    keepTrace: (image, blob) => put(kinds.trace, image, Buffer.from(blob)),
  };
}

// ④⑤ What control keeps of images: by the key of each step what it left, so that no node runs it again.

import { BuiltStep } from "../../proto/gen/hob/v1/images.ts";
import type { Records } from "../engine/engine.ts";

const kinds = { step: "image-step", trace: "image-trace" };

export interface ImageRecords {
  keepStep(key: string, step: BuiltStep): void;
  /** Which blobs a first start of the image reads: a blob of its own. */
  keepTrace(image: string, blob: string): void;
}

export function createImageRecords(records: Records): ImageRecords {
  function put(kind: string, key: string, value: Uint8Array): void {
    records.put(kind, key, value, records.get(kind, key)?.revision ?? 0);
  }

  return {
    keepStep: (key, step) => put(kinds.step, key, BuiltStep.encode(step).finish()),
    keepTrace: (image, blob) => put(kinds.trace, image, Buffer.from(blob)),
  };
}

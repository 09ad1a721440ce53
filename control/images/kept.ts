// ④ Which images and blobs this pool wants kept, and what it tells other pools of the same store of that.

import type { Digest } from "../../base/content-folder.ts";
import { sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Roots } from "../../base/store-roots.ts";
import type { ImageRef } from "../../proto/gen/hob/v1/common.ts";
import { imageKey } from "../../proto/image.ts";
import type { Nodes } from "../nodes.ts";
import type { Registry } from "../registry.ts";
import type { ImageRecords } from "./records.ts";

/** Others leave what is younger than ten minutes, collect.ts: in time for them. */
const sayEveryMs = 60_000;

interface Wanted {
  images: Set<Digest>;
  blobs: Set<Digest>;
}

export interface Kept extends Disposable {
  /** What this pool wants; without images of those keys, and without steps that only they have, for who asks what their end would free. */
  wanted(leaving?: ReadonlySet<string>, used?: ReadonlySet<string>): Wanted;
  /** What other pools of the same store want. */
  byOthers(): Set<Digest>;
  /** Tells them; tried again in a minute where that fails. */
  say(): void;
}

interface KeptParts {
  records: ImageRecords;
  nodes: Pick<Nodes, "all">;
  registry: Pick<Registry, "apps" | "current">;
  roots: Roots;
  /** Blobs of calls. */
  values(): Digest[];
  /** Images that deployments stand upon by their digest. */
  pinned(): Digest[];
  log: Log;
}

/** Of an image and of all that its steps go through. */
export const keysOf = (image: ImageRef): string[] =>
  [...image.steps.keys(), image.steps.length].map((steps) => imageKey(image, steps));

export function createKept({ records, nodes, registry, roots, values, pinned, log }: KeptParts): Kept {
  function wanted(leaving: ReadonlySet<string> = new Set(), used?: ReadonlySet<string>): Wanted {
    const staying = records.images().filter(({ key }) => !leaving.has(key));
    const stepsLeft = new Set(staying.flatMap(({ definition }) => (definition ? keysOf(definition) : [])));
    const steps = records.steps().filter(([key]) => !used || stepsLeft.has(key) || used.has(key));
    const removed = new Set(records.removed());
    const onNodes = [...nodes.all.values()].flatMap((node) => [
      ...node.info.images.map(({ digest }) => digest).filter((digest) => !removed.has(digest)),
      ...[...node.containers.values()].map(({ image }) => image),
    ]);
    const specs = registry.apps().flatMap((app) => registry.current(app).map(({ spec }) => spec));
    const copied = specs.flatMap((spec) => spec?.image?.steps.flatMap(({ files }) => files.map(({ digest }) => digest)) ?? []);
    return {
      images: new Set([...steps.map(([, digest]) => digest), ...staying.map(({ digest }) => digest), ...pinned(), ...onNodes]),
      blobs: new Set([...copied, ...records.traces(), ...values()]),
    };
  }

  function say(): void {
    const { images, blobs } = wanted();
    try {
      roots.keep([...images, ...blobs]);
    } catch (error) {
      log.warn({ error: sentenceOf(error) }, "other pools of this store do not know what to keep for this one");
    }
  }

  const timer = setInterval(say, sayEveryMs);
  timer.unref();
  return { wanted, byOthers: () => roots.ofOthers(), say, [Symbol.dispose]: () => clearInterval(timer) };
}

// A node that builds images without running anything: each step leaves one file more, and all of it is in control's store.

import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { encodeManifest, type ManifestEntry, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import type { ResolveImage } from "../../proto/gen/hob/v1/agents.ts";
import type { ImageRef } from "../../proto/gen/hob/v1/common.ts";
import { buildPlace, imageKey } from "../../proto/image.ts";
import type { AgentScript, TestAgent } from "./agent-double.ts";
import type { Place } from "./harness.ts";

const untold = { firstReadBlobs: 0, firstReadBytes: 0, firstReadHits: 0, firstFetchedBytes: 0 };

export interface ImageBuilder extends AgentScript {
  /** What was run, in order. */
  readonly ran: string[];
  build(agent: TestAgent, resolve: ResolveImage): void;
  /** As far as this step. */
  finish(agent: TestAgent, resolve: ResolveImage, until?: number): void;
}

/** The image that the first `steps` steps leave. */
export async function imageAfter(store: ContentFolder, image: ImageRef, steps: number): Promise<string> {
  const files: ManifestEntry[] = [];
  for (let step = 0; step <= steps; step++) {
    const text = imageKey(image, step);
    const digest = await store.put(Buffer.from(text));
    const more = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
    files.push({ kind: "file", path: `steps/${step}`, digest, size: text.length, ...more });
  }
  return store.put(encodeManifest(files));
}

export function imageBuilder(place: Pick<Place, "store">): ImageBuilder {
  const store = openContentFolder(place.store, { durable: false });
  const ran: string[] = [];

  async function run(agent: TestAgent, { image, stepsDone, from }: ResolveImage, until: number): Promise<void> {
    const requested = image!;
    let digest = from;
    for (let step = from === "" ? 0 : stepsDone + 1; step <= until; step++) {
      ran.push(buildPlace(requested, step).replace(/^step \d+ of \d+ /, ""));
      agent.send({ $case: "buildLog", value: { requested, step, lines: [`step ${step} works`], timeMs: 1 } });
      digest = await imageAfter(store, requested, step);
      agent.send({ $case: "imageStep", value: { requested, stepsDone: step, digest, ms: 5 } });
    }
    if (until < requested.steps.length) return;
    const sizes = { files: until + 1, bytes: 30, storedBytes: 20, localBytes: 20 };
    const info = {
      digest,
      source: "debian bookworm",
      ...sizes,
      node: "node-1",
      view: "tree, read",
      capturedAtMs: 1,
      ...untold,
      sharedBytes: 0,
    };
    agent.send({ $case: "image", value: { requested, image: info, failure: undefined } });
  }

  return {
    ran,
    build: (agent, resolve) => void run(agent, resolve, resolve.image!.steps.length),
    finish: (agent, resolve, until = resolve.image!.steps.length) => void run(agent, resolve, until),
  };
}

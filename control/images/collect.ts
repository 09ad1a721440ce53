// ④ Takes out of the store what only forgotten images hold, what imports that failed have left, and large values of calls that are forgotten. What was never put for an image is left alone,
// whoever put it there.

import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ContentFolder, Digest } from "../../base/content-folder.ts";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { leasedSince, leftBehind } from "../../base/store-work.ts";
import { contentsOf, filesOfSnapshot, kindOf } from "./reach.ts";

const lookedAtInOneTurn = 200; // blobs
/** An image that nobody has recorded, or a value whose call has not come, may be on its way for so long. */
const youngMs = 10 * 60_000;

interface Roots {
  /** Images that are kept. */
  images: ReadonlySet<Digest>;
  /** Images that were forgotten on purpose: these are not waited for. */
  removed: ReadonlySet<Digest>;
  /** Blobs that are wanted for themselves. */
  blobs: ReadonlySet<Digest>;
}

export interface Garbage {
  images: Digest[];
  blobs: Digest[];
  bytes: number;
  /** What is put or found by a put from then on (ms since 1970) is somebody's again. */
  beforeMs: number;
  /** Files of notes that have been seen to: what of theirs stays is under another lease, which notes it too. */
  left: string[];
}

/** What is under lease, or put while this looks, is left. */
export async function findGarbage(blobs: ContentFolder, roots: Roots, nowMs: number): Promise<Garbage> {
  const beforeMs = Math.min(nowMs, leasedSince(blobs.root));
  const kept = new Set<Digest>([...roots.blobs, ...roots.images]);
  const dead: Digest[] = [];
  const values: Digest[] = []; // of calls that are forgotten, or never came
  let seen = 0;
  for await (const digest of blobs.list()) {
    if (++seen % lookedAtInOneTurn === 0) await nextTurn();
    const kind = kindOf(blobs, digest);
    if (kind === "snapshot") for (const file of filesOfSnapshot(blobs, digest)) kept.add(file);
    if (kind === "value" && isOlder(blobs, digest, nowMs - youngMs)) values.push(digest);
    if (kind !== "image" || !isManifest(blobs, digest)) continue;
    const young = nowMs - statSync(blobs.path(digest)).mtimeMs < youngMs;
    if (roots.images.has(digest) || (young && !roots.removed.has(digest))) {
      kept.add(digest);
      for (const content of contentsOf(blobs, digest).digests) kept.add(content);
    } else dead.push(digest);
  }
  const garbage = new Set<Digest>(values.filter((digest) => !kept.has(digest) && isOlder(blobs, digest, beforeMs)));
  for (const image of dead) {
    for (const digest of [image, ...contentsOf(blobs, image).digests]) {
      if (!kept.has(digest) && isOlder(blobs, digest, beforeMs)) garbage.add(digest);
    }
  }
  const left = leftBehind(blobs.root);
  for (const { digests } of left) {
    for (const digest of digests) if (!kept.has(digest) && isOlder(blobs, digest, beforeMs)) garbage.add(digest);
  }
  let bytes = 0;
  for (const digest of garbage) bytes += sizeOf(blobs, digest);
  return { images: dead, blobs: [...garbage], bytes, beforeMs, left: left.map(({ file }) => file) };
}

/** A content of an image may begin as a manifest does, and be none. */
function isManifest(blobs: ContentFolder, digest: Digest): boolean {
  try {
    contentsOf(blobs, digest);
    return true;
  } catch (error) {
    if (error instanceof HobError && error.kind === "corrupt") return false;
    throw error;
  }
}

function isOlder(blobs: ContentFolder, digest: Digest, beforeMs: number): boolean {
  const found = statSync(blobs.path(digest), { throwIfNoEntry: false });
  return found !== undefined && found.mtimeMs < beforeMs;
}

/** Takes them out; a lease that has begun meanwhile finds by `put` what it counts on, and that is left. */
export async function removeGarbage(blobs: ContentFolder, { blobs: digests, beforeMs, left }: Garbage): Promise<void> {
  for (const digest of digests) if (isOlder(blobs, digest, beforeMs)) await blobs.remove(digest);
  for (const file of left) await rm(file, { force: true });
}

/** Bytes of a blob in the store; 0 where it is not, which an image that is fetched as it is read may lack. */
export function sizeOf(blobs: ContentFolder, digest: Digest): number {
  try {
    return statSync(blobs.path(digest)).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw systemError(`looking at blob ${digest.slice(0, 12)}`, error);
  }
}

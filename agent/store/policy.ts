// ⑤ Which blobs leave a store that is too full. Pure.

import type { Digest } from "../../base/content-folder.ts";

export interface StoredBlob {
  digest: Digest;
  /** On the disk. */
  bytes: number;
  /** When it was put, or an image with it was last used, whichever is later: ms since 1970. */
  usedAtMs: number;
}

interface Store {
  blobs: readonly StoredBlob[];
  limitBytes: number;
  /** What is mounted, running or on its way, and what only this node has. */
  held: ReadonlySet<Digest>;
  /** Blobs used since then are under lease, or have just come for something. */
  beforeMs: number;
}

/** Down to there, so that it is not at its limit again with the next blob. */
const lowWater = 0.9;

/** The least recently used first, of those the largest: fewer have to come again. As many as bring the store below its limit, and no more than there are. */
export function chooseEvictions({ blobs, limitBytes, held, beforeMs }: Store): StoredBlob[] {
  let bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0);
  if (bytes <= limitBytes) return [];
  const free = blobs.filter(({ digest, usedAtMs }) => !held.has(digest) && usedAtMs < beforeMs);
  const chosen: StoredBlob[] = [];
  for (const blob of free.sort((a, b) => a.usedAtMs - b.usedAtMs || b.bytes - a.bytes)) {
    if (bytes <= limitBytes * lowWater) break;
    bytes -= blob.bytes;
    chosen.push(blob);
  }
  return chosen;
}

interface Disk {
  totalBytes: number;
  availableBytes: number;
}

/** Of a disk, whatever lies on it, this part stays free: a full one stops more than hob. */
const freeShare = 0.05;

/** The limit that holds now: less than what is allowed where the disk is nearly full. */
export function limitNow(allowedBytes: number, usedBytes: number, { totalBytes, availableBytes }: Disk): number {
  return Math.max(0, Math.min(allowedBytes, usedBytes + availableBytes - totalBytes * freeShare));
}

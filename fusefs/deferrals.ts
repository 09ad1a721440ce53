// ⑤ Requests that wait: for a blob that is being fetched, or for a snapshot that was announced but is not here yet.

import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { errno } from "./wire/constants.ts";
import type { Need, NeededChunk } from "./worker-messages.ts";

/** How long a lookup waits for its snapshot: the load message and addSnapshot are sent together, one may overtake the other. */
const SNAPSHOT_WAIT_MS = 1000;
// An INTERRUPT read by one worker may overtake the deferral sent by another; it is remembered this long.
const EARLY_INTERRUPT_MS = 1000;

interface Deferred {
  worker: number;
  mount: number;
  unique: number;
}

export interface DeferralsOptions {
  /** errno 0 means: try again. */
  resume(request: Deferred, errno: number): void;
  fetchBlob(digest: string): Promise<void>;
  fetchChunk(digest: string, chunk: NeededChunk): Promise<void>;
  hasSnapshot(mount: number, container: string, snapshot: string): boolean;
  log: Log;
}

export interface Deferrals {
  add(request: Deferred, need: Need): void;
  interrupt(mount: number, unique: number): void;
  snapshotAdded(mount: number, container: string, snapshot: string): void;
  mountEnded(mount: number): void;
  close(): void;
}

export function createDeferrals(options: DeferralsOptions): Deferrals {
  const waiting = new Map<string, Deferred & { need: Need; timer?: NodeJS.Timeout }>();
  const interrupted = new Map<string, NodeJS.Timeout>();
  const fetches = new Map<string, Promise<void>>();
  const keyOf = ({ mount, unique }: { mount: number; unique: number }): string => `${mount}:${unique}`;

  function finish(key: string, failed: number): void {
    const entry = waiting.get(key);
    if (!entry) return; // interrupted meanwhile
    waiting.delete(key);
    clearTimeout(entry.timer);
    options.resume(entry, failed);
  }

  /** One fetch of a blob or chunk, however many ask. */
  function fetchOnce(name: string, begin: () => Promise<void>): Promise<void> {
    let fetch = fetches.get(name);
    if (!fetch) {
      fetch = begin().finally(() => fetches.delete(name));
      fetches.set(name, fetch);
    }
    return fetch;
  }

  function fetchNeeded(need: Exclude<Need, { kind: "snapshot" }>): Promise<unknown> {
    const { digest } = need;
    if (need.kind === "blob") return fetchOnce(digest, () => options.fetchBlob(digest));
    return Promise.all(
      need.chunks.map((chunk) => fetchOnce(`${digest}:${chunk.index}`, () => options.fetchChunk(digest, chunk))),
    );
  }

  return {
    add(request, need) {
      const key = keyOf(request);
      const early = interrupted.get(key);
      if (early) {
        clearTimeout(early);
        interrupted.delete(key);
        options.resume(request, errno.EINTR);
        return;
      }
      if (need.kind !== "snapshot") {
        waiting.set(key, { ...request, need });
        fetchNeeded(need).then(
          () => finish(key, 0),
          (error) => {
            options.log.warn({ digest: need.digest, reason: sentenceOf(error) }, "a blob could not be fetched");
            finish(key, errno.EIO);
          },
        );
      } else if (options.hasSnapshot(request.mount, need.container, need.snapshot)) {
        options.resume(request, 0);
      } else {
        const timer = setTimeout(() => finish(key, errno.ENOENT), SNAPSHOT_WAIT_MS);
        waiting.set(key, { ...request, need, timer });
      }
    },
    interrupt(mount, unique) {
      const key = keyOf({ mount, unique });
      if (waiting.has(key)) finish(key, errno.EINTR);
      else {
        interrupted.set(
          key,
          setTimeout(() => interrupted.delete(key), EARLY_INTERRUPT_MS),
        );
      }
    },
    snapshotAdded(mount, container, snapshot) {
      for (const [key, { need, mount: of }] of waiting) {
        if (of === mount && need.kind === "snapshot" && need.container === container && need.snapshot === snapshot)
          finish(key, 0);
      }
    },
    mountEnded(mount) {
      for (const [key, entry] of waiting) {
        if (entry.mount !== mount) continue;
        clearTimeout(entry.timer);
        waiting.delete(key);
      }
    },
    close() {
      for (const { timer } of waiting.values()) clearTimeout(timer);
      for (const timer of interrupted.values()) clearTimeout(timer);
      waiting.clear();
      interrupted.clear();
    },
  };
}

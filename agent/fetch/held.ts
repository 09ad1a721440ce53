// ⑤ Contents that came along with others before their image's first start is over: beside the store, so that who wants one has to ask.
// In the tiered view what is in the store is opened past us, and the trace of that start would lack it.

import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ContentFolder } from "../../base/content-folder.ts";
import { errnoOf, systemError } from "../../base/errors.ts";

export interface Held {
  /** Moves it out of the store. */
  hold(digest: string): void;
  /** Moves it back; false where it is not held. */
  release(digest: string): boolean;
  releaseAll(): void;
  /** Where it is while it is held. */
  pathOf(digest: string): string | undefined;
}

/** What an agent that died has held goes back into the store at once. */
export function openHeld(store: ContentFolder): Held {
  const folder = join(store.root, "held");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const held = new Set(readdirSync(folder));

  function release(digest: string): boolean {
    if (!held.delete(digest)) return false;
    const target = store.path(digest);
    try {
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      renameSync(join(folder, digest), target);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw systemError(`keeping blob ${digest.slice(0, 12)}`, error);
    }
    return true;
  }

  const releaseAll = (): void => {
    for (const digest of [...held]) release(digest);
  };
  releaseAll();
  return {
    hold(digest) {
      try {
        renameSync(store.path(digest), join(folder, digest));
        held.add(digest);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw systemError(`holding blob ${digest.slice(0, 12)}`, error);
      }
    },
    release,
    releaseAll,
    pathOf: (digest) => (held.has(digest) ? join(folder, digest) : undefined),
  };
}

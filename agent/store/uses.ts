// ⑤ When images were last used on this node: a line each in a file of the store, written now and then. Their contents need no note of their own.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, isDigest } from "../../base/content-folder.ts";
import { errnoOf, systemError } from "../../base/errors.ts";
import { workFile } from "../../base/store-work.ts";

export interface Uses {
  /** Of images, manifest's digest → ms since 1970. */
  readonly at: ReadonlyMap<Digest, number>;
  note(images: Iterable<Digest>, nowMs: number): void;
  forget(image: Digest): void;
  /** Writes what is new. */
  save(): void;
}

export function openUses(root: string): Uses {
  const path = join(root, "uses");
  const at = new Map<Digest, number>();
  let changed = false;
  try {
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const [digest = "", ms = ""] = line.split(" ");
      if (isDigest(digest) && Number.isFinite(Number(ms))) at.set(digest, Number(ms));
    }
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw systemError(`reading ${path}`, error);
  }
  return {
    at,
    note(images, nowMs) {
      for (const image of images) at.set(image, nowMs);
      changed = true;
    },
    forget(image) {
      changed = at.delete(image) || changed;
    },
    save() {
      if (!changed) return;
      const temporary = workFile(root, "uses");
      writeFileSync(temporary, [...at].map(([digest, ms]) => `${digest} ${ms}\n`).join(""), { mode: 0o600 });
      renameSync(temporary, path);
      changed = false;
    },
  };
}

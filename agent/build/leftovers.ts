// ⑤ Where steps of images write, on the disk of the node's blobs, and the end of what a killed agent has left there.

import { mkdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ContentFolder } from "../../base/content-folder.ts";
import { errnoOf, systemError } from "../../base/errors.ts";

/**
 * STORE.builds/KEY, empty: several agents may share a store, and this one has only just begun. Beside the store, for overlayfs takes no layer
 * that lies within another.
 */
export function openBuildsFolder({ root }: Pick<ContentFolder, "root">, key: string): { path: string } & Disposable {
  const path = join(`${root}.builds`, key);
  try {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw systemError(`making ${path}`, error, "free some space, then try again");
  }
  return {
    path,
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
      try {
        rmdirSync(dirname(path));
      } catch (error) {
        if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "ENOENT") throw error; // another agent's are in it
      }
    },
  };
}

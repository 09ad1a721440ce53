// ⑤ Keeps a step from filling the node's disk: its writes lie there, and no file system bounds them.

import { lstat, readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.ts";

const lookEveryMs = 500;
const reservedBytes = 512 * 2 ** 20;

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  try {
    for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).blocks * 512;
    }
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error; // it goes on writing, and removing, meanwhile
  }
  return bytes;
}

/**
 * Calls `full` once the folders hold more than `most` bytes or their disk is nearly full. Only when the disk has lost as much space
 * as that since the beginning, to whomever, is there anything to count.
 */
export function watchDisk(folders: readonly string[], most: number, full: (reason: string) => void): Disposable {
  let freeAtFirst: number | undefined;
  let looking = false;

  async function look(): Promise<void> {
    const { bavail, bsize } = await statfs(folders[0] as string);
    const free = bavail * bsize;
    freeAtFirst ??= free;
    if (free < Math.min(reservedBytes, freeAtFirst / 2)) full("the node's disk is nearly full");
    if (freeAtFirst - free < most) return;
    const written = (await Promise.all(folders.map(bytesBelow))).reduce((sum, bytes) => sum + bytes, 0);
    if (written > most) full(`it wrote more than ${Math.round(most / 2 ** 30)} GiB`);
    else freeAtFirst = free + written; // others have taken it
  }

  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch(() => {}) // the folder has gone: the step is over
      .finally(() => {
        looking = false;
      });
  }, lookEveryMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

// ⑤ The store as a node finds it at its start: what the dead have left is swept, and after a crash of the machine what may not have reached the disk
// is looked at.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContentFolder, Digest } from "../../base/content-folder.ts";
import { errnoOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { sweepWork, workFile } from "../../base/store-work.ts";

/** Linux writes what is older than 30 s (vm.dirty_expire_centisecs), ext4 commits every 5 s; four times that. */
const unsureMs = 120_000;

async function hashOf(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

/** Blobs of a node are not synced: a name may have reached the disk before its content. Those of the last minutes are read and compared. */
async function removeDamaged(store: ContentFolder, log: Log): Promise<void> {
  const written = new Map<Digest, number>();
  for await (const digest of store.list()) {
    const found = await stat(store.path(digest)).catch(() => undefined); // removed since it was listed
    if (found) written.set(digest, found.mtimeMs);
  }
  const newest = [...written.values()].reduce((latest, ms) => Math.max(latest, ms), 0);
  let looked = 0;
  for (const [digest, ms] of written) {
    if (ms < newest - unsureMs) continue;
    looked++;
    if ((await hashOf(store.path(digest))) === digest) continue;
    log.warn({ digest }, "a blob was damaged when the machine stopped; it is fetched again");
    await store.remove(digest);
  }
  log.info({ blobs: written.size, looked }, "the store has been looked at after a start of the machine");
}

/** Before anything of the store is used. */
export async function recoverStore(store: ContentFolder, log: Log): Promise<void> {
  const { root } = store;
  const mark = join(root, "boot");
  try {
    sweepWork(root);
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const before = await readFile(mark, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return "";
      throw error;
    });
    if (before === boot) return;
    await removeDamaged(store, log);
    const temporary = workFile(root, "boot");
    await writeFile(temporary, boot, { mode: 0o600 });
    await rename(temporary, mark);
  } catch (error) {
    throw systemError(`looking after the blob store ${root}`, error, "free some space, or mend the disk");
  }
}

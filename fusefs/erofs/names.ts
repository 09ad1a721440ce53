// ⑤ Images of names and attributes on disk: one an image of the store, written once, mounted from its file without a loop device.

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ContentFolder, sha256 } from "../../base/content-folder.ts";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { workFile } from "../../base/store-work.ts";
import type { Manifest } from "../image/manifest.ts";
import { mount } from "../syscalls.ts";
import { errno, mountFlag } from "../wire/constants.ts";
import { erofsOf } from "./write.ts";

/** Counts up when write.ts writes something else for the same manifest: what an older hob has written is not used. */
const WRITER = 1;
const SEAL_BYTES = 32;

/** The file ends with the sha256 of what is before it, which no mount sees: what a crash has left half written is written again. */
const sealOf = (image: Uint8Array): Buffer => Buffer.from(sha256(image), "hex");

function isSealed(bytes: Buffer): boolean {
  const image = bytes.subarray(0, -SEAL_BYTES);
  return bytes.length > SEAL_BYTES && sealOf(image).equals(bytes.subarray(-SEAL_BYTES));
}

const folderOf = (store: ContentFolder): string => join(store.root, "names");

/** Reading all of it also brings it into the page cache: the kernel would read it block by block. */
async function isWritten(file: string): Promise<boolean> {
  try {
    return isSealed(await readFile(file));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw systemError(`reading ${file}`, error);
  }
}

/** The file of an image's names and attributes; written if it is not there. */
async function namesFile(store: ContentFolder, digest: string, manifest: Manifest): Promise<string> {
  const file = join(folderOf(store), `${digest}.${WRITER}`);
  if (await isWritten(file)) return file;
  const image = erofsOf(manifest);
  const temporary = workFile(store.root, "names");
  try {
    await mkdir(folderOf(store), { recursive: true, mode: 0o700 });
    await writeFile(temporary, Buffer.concat([image, sealOf(image)]), { flag: "wx", mode: 0o600 });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw systemError(`writing the names of image ${digest.slice(0, 12)}`, error, "free some space, then try again");
  }
  return file;
}

/** 0, or an errno. */
export const mountErofs = (file: string, mountPoint: string): number =>
  mount(file, mountPoint, "erofs", mountFlag.readOnly | mountFlag.noDev, "");

/** Mounts names and attributes of an image; every file's content is elsewhere, and read from here it is zeros. */
export async function mountNames(store: ContentFolder, digest: string, manifest: Manifest, mountPoint: string): Promise<void> {
  const failed = mountErofs(await namesFile(store, digest, manifest), mountPoint);
  if (failed === 0) return;
  throw new HobError(failed === errno.ENOENT ? "notFound" : "unavailable", `mounting ${mountPoint}: errno ${failed}`);
}

/** Forgets the names of images that the store has no longer. A file that is mounted stays for as long as it is. */
export async function sweepNames(store: ContentFolder): Promise<void> {
  const names = await readdir(folderOf(store)).catch((error) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw systemError(`reading ${folderOf(store)}`, error);
  });
  for (const name of names) {
    const [digest = "", writer] = name.split(".");
    if (writer === String(WRITER) && store.has(digest)) continue;
    await rm(join(folderOf(store), name), { force: true });
  }
}

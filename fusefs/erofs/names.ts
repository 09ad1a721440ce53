// ⑤ Images of names and attributes on disk: one an image of the store, written once, mounted from its file without a loop device.

import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ContentFolder } from "../../base/content-folder.ts";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { workFile } from "../../base/store-work.ts";
import type { Manifest } from "../image/manifest.ts";
import { mount } from "../syscalls.ts";
import { errno, mountFlag } from "../wire/constants.ts";
import { erofsOf } from "./write.ts";

/** Counts up when write.ts writes something else for the same manifest: what an older hob has written is not used. */
const WRITER = 1;
const SEAL_BYTES = 32;

/** Pieces in which files are read; one buffer for all, as one file is read at a time. */
const piece = Buffer.alloc(256 * 1024);

/** What this process has read or written whole, as it was then. */
const checked = new Set<string>();

function isChecked(file: string): boolean {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return stat !== undefined && checked.has(`${file} ${stat.ino} ${stat.size} ${stat.mtimeNs}`);
}

function keepChecked(file: string): string {
  const { ino, size, mtimeNs } = statSync(file, { bigint: true });
  checked.add(`${file} ${ino} ${size} ${mtimeNs}`);
  return file;
}

const folderOf = (store: ContentFolder): string => join(store.root, "names");

/**
 * The file ends with the sha256 of what is before it, which no mount sees: what a crash has left half written is written again. Reading all
 * of it also brings it into the page cache: the kernel would read it block by block.
 */
function isWhole(file: string): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    const imageBytes = fstatSync(fd).size - SEAL_BYTES;
    if (imageBytes <= 0) return false;
    const hash = createHash("sha256");
    for (let at = 0; at < imageBytes; at += piece.length) {
      hash.update(piece.subarray(0, readSync(fd, piece, 0, Math.min(piece.length, imageBytes - at), at)));
    }
    return readSync(fd, piece, 0, SEAL_BYTES, imageBytes) === SEAL_BYTES && hash.digest().equals(piece.subarray(0, SEAL_BYTES));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw systemError(`reading ${file}`, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The file of an image's names and attributes; written if it is not there. */
async function namesFile(store: ContentFolder, digest: string, manifest: Manifest): Promise<string> {
  const file = join(folderOf(store), `${digest}.${WRITER}`);
  if (isChecked(file)) return file;
  if (isWhole(file)) return keepChecked(file);
  const image = erofsOf(manifest);
  const temporary = workFile(store.root, "names");
  try {
    await mkdir(folderOf(store), { recursive: true, mode: 0o700 });
    await using handle = await open(temporary, "wx", 0o600);
    await handle.writeFile(image);
    await handle.writeFile(createHash("sha256").update(image).digest());
    await rename(temporary, file);
    (image.buffer as ArrayBuffer).transfer(0); // megabytes, given back now and not when somebody tidies
  } catch (error) {
    await rm(temporary, { force: true });
    throw systemError(`writing the names of image ${digest.slice(0, 12)}`, error, "free some space, then try again");
  }
  return keepChecked(file);
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

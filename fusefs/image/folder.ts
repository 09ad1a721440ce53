// ⑤ A folder of this machine as the entries of a manifest: every attribute, names of any bytes, hard links, devices; contents go into the store.

import { createReadStream, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { bytesOfText, textOfBytes } from "../../base/byte-text.ts";
import type { ContentFolder } from "../../base/content-folder.ts";
import { systemError } from "../../base/errors.ts";
import { readXattrs } from "../../base/xattrs.ts";
import { fileType } from "../wire/constants.ts";
import { storeContent } from "./chunks.ts";
import type { ManifestEntry } from "./encode.ts";

type FileEntry = Extract<ManifestEntry, { kind: "file" }>;
/** A file of which the content has not been read. */
type ScannedFile = Omit<FileEntry, "digest" | "chunks">;
export type ScannedEntry = Exclude<ManifestEntry, { kind: "file" }> | ScannedFile;

const BILLION = 1_000_000_000n;

/** glibc's makedev, the other way round: sysmacros.h. */
const majorOf = (rdev: bigint): number => Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n));
const minorOf = (rdev: bigint): number => Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n));

function scanOne(path: Buffer, relative: string): ScannedEntry & { device: bigint } {
  const stat = lstatSync(path, { bigint: true });
  const nanoseconds = ((stat.mtimeNs % BILLION) + BILLION) % BILLION; // never negative, before 1970 either
  const xattrs = readXattrs(path);
  const metadata = {
    path: relative,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeSeconds: Number((stat.mtimeNs - nanoseconds) / BILLION),
    mtimeNanoseconds: Number(nanoseconds),
    ...(xattrs ? { xattrs } : {}),
    device: stat.dev,
  };
  const type = Number(stat.mode) & fileType.mask;
  if (type === fileType.directory) return { kind: "directory", ...metadata };
  const linked = stat.nlink > 1n ? { ...metadata, hardLink: `${stat.dev}:${stat.ino}` } : metadata;
  if (type === fileType.regular) return { kind: "file", size: Number(stat.size), ...linked };
  if (type === fileType.symlink) return { kind: "symlink", target: textOfBytes(readlinkSync(path, "buffer")), ...linked };
  if (type === fileType.fifo) return { kind: "fifo", ...linked };
  if (type === fileType.socket) return { kind: "socket", ...linked };
  const numbers = { major: majorOf(stat.rdev), minor: minorOf(stat.rdev) };
  return { kind: "device", type: type === fileType.block ? "block" : "character", ...numbers, ...linked };
}

/** The folder first, then what is in it; of what is mounted below only the mount points. Needs root for attributes called trusted.*. */
export function* scanFolder(root: string): Iterable<ScannedEntry> {
  const base = bytesOfText(root);
  const pathOf = (relative: string): Buffer =>
    relative === "" ? base : Buffer.concat([base, Buffer.from("/"), bytesOfText(relative)]);
  let rootDevice: bigint | undefined;
  const waiting = [""];
  for (let relative = waiting.pop(); relative !== undefined; relative = waiting.pop()) {
    try {
      const { device, ...entry } = scanOne(pathOf(relative), relative);
      rootDevice ??= device;
      if (entry.kind === "directory" && device === rootDevice) {
        for (const name of readdirSync(pathOf(relative), { encoding: "buffer" })) {
          const text = textOfBytes(name);
          waiting.push(relative === "" ? text : `${relative}/${text}`);
        }
      }
      yield entry;
    } catch (error) {
      throw systemError(`reading ${root}/${relative}`, error);
    }
  }
}

export interface CaptureOptions {
  signal?: AbortSignal;
  /** Files whose content is known otherwise: they get the digest "". */
  lacksContent?(file: ScannedFile): boolean;
  progress?(entries: number): void;
}

// Small files wait for the disk's folders rather than for each other.
const FILES_AT_ONCE = 16;
const SMALL_BYTES = 1 << 20;
// The caller has other things to do between so many.
const ENTRIES_A_TURN = 32;

async function storeFile(root: string, file: ScannedFile, store: ContentFolder): Promise<FileEntry> {
  const path = bytesOfText(`${root}/${file.path}`);
  try {
    if (file.size <= SMALL_BYTES) {
      const data = await readFile(path);
      return { ...file, digest: await store.put(data), size: data.length };
    }
    return { ...file, ...(await storeContent(store, createReadStream(path, { highWaterMark: 1 << 20 }))) };
  } catch (error) {
    throw systemError(`storing ${root}/${file.path}`, error, "free some space, then try again");
  }
}

/** Everything below `root` as entries, with contents in the store: those of a file with several names once. */
export async function captureFolder(
  root: string,
  store: ContentFolder,
  { signal, lacksContent, progress }: CaptureOptions = {},
): Promise<ManifestEntry[]> {
  const entries: (ManifestEntry | Promise<ManifestEntry>)[] = [];
  const linked = new Map<string, Promise<FileEntry>>();
  const busy = new Set<Promise<unknown>>();
  for (const entry of scanFolder(root)) {
    if (entry.kind !== "file") entries.push(entry);
    else if (lacksContent?.(entry)) entries.push({ ...entry, digest: "" });
    else {
      const known = entry.hardLink === undefined ? undefined : linked.get(entry.hardLink);
      const stored = known?.then((first) => ({ ...first, path: entry.path })) ?? storeFile(root, entry, store);
      if (entry.hardLink !== undefined && !known) linked.set(entry.hardLink, stored);
      stored.catch(() => {}); // heard below
      entries.push(stored);
      const done = stored.finally(() => busy.delete(done));
      done.catch(() => {});
      busy.add(done);
      if (busy.size >= FILES_AT_ONCE) await Promise.race(busy);
    }
    if (entries.length % ENTRIES_A_TURN !== 0) continue;
    progress?.(entries.length);
    await setImmediate();
    signal?.throwIfAborted();
  }
  const all = await Promise.all(entries);
  progress?.(all.length);
  return all;
}

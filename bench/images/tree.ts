// ⑤ What the image rows measure on: this machine's image in a store, the same tree as plain files, and one large file in both.

import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, copyFileSync, existsSync, linkSync, lutimesSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { bytesOfText } from "../../base/byte-text.ts";
import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";
import { storeContent } from "../../fusefs/image/chunks.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { captureFolder } from "../../fusefs/image/folder.ts";
import { captureHostImage } from "../../fusefs/image/host.ts";

export const largeFile = "large";
const largeBytes = 512 * 2 ** 20;
/** Packages of this checkout with many small files: beside what the host's image has. */
const packages = ["es-toolkit", "lodash", "zod"];

const modules = join(installRoot, "node_modules");

export interface MeasuredTree {
  store: ContentFolder;
  entries: ManifestEntry[];
  /** Of the manifest of `entries`. */
  digest: string;
  /** The same as plain files. */
  native: string;
}

export async function makeMeasuredTree(folder: string): Promise<MeasuredTree> {
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const captured = await captureHostImage({ store, node: process.execPath, progress: () => {} });
  const host = [...entriesOfManifest(decodeManifest(store.read(captured.digest)))];
  const large = { ...(await storeContent(store, incompressible(largeBytes))), mode: 0o644, uid: 0, gid: 0 };
  const times = { mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  const more: ManifestEntry[] = [];
  for (const name of packages.filter((one) => existsSync(join(modules, one)))) {
    const inside = await captureFolder(join(modules, name), store);
    more.push(...inside.map((entry) => ({ ...entry, path: join("srv", name, entry.path) })));
  }
  const entries: ManifestEntry[] = [...host, ...more, { kind: "file", path: largeFile, ...large, ...times }];
  const manifest = encodeManifest(entries);
  const native = join(folder, "native");
  const inOrder = [...entriesOfManifest(decodeManifest(manifest))];
  writePlain(inOrder, store, native);
  return { store, entries: inOrder, digest: await store.put(manifest), native };
}

function* incompressible(bytes: number): Iterable<Buffer> {
  const piece = randomBytes(2 ** 20);
  for (let at = 0; at < bytes; at += piece.length) {
    piece.writeDoubleLE(at, 0); // no two pieces are the same
    yield piece;
  }
}

/** Parents come before what is in them: a manifest's entries are in breadth-first order. */
function writePlain(entries: readonly ManifestEntry[], store: ContentFolder, root: string): void {
  const firstOf = new Map<string, Buffer>();
  const at = (path: string): Buffer => bytesOfText(path === "" ? root : join(root, path));
  for (const entry of entries) {
    const path = at(entry.path);
    if (entry.kind === "directory") mkdirSync(path, { recursive: true });
    else if (entry.kind === "symlink") symlinkSync(bytesOfText(entry.target), path);
    else if (entry.kind === "file") {
      const first = entry.hardLink === undefined ? undefined : firstOf.get(entry.hardLink);
      if (first) linkSync(first, path);
      else if (entry.size === 0) closeSync(openSync(path, "w"));
      else copyFileSync(store.path(entry.digest), path);
      if (entry.hardLink !== undefined) firstOf.set(entry.hardLink, path);
    }
    if (entry.kind !== "symlink") chmodSync(path, entry.mode);
    lutimesSync(path, entry.mtimeSeconds, entry.mtimeSeconds);
  }
}

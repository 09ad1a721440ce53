// ⑤ Image.host(): this machine's Python and Node, and what they need to run, captured into the store as one image.

import { existsSync, lstatSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import { type ContentFolder, sha256 } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { encodeInTurns, type ManifestEntry, TIMELESS_SECONDS } from "./encode.ts";
import { dpkgPaths, hasDpkg } from "./host-dpkg.ts";
import { fileKey, openHostIndex } from "./host-index.ts";
import { librariesOf, loaderPaths } from "./host-loader.ts";
import { folders, writtenFiles, writtenLinks } from "./host-rules.ts";
import { type HostItem, scanHost } from "./host-scan.ts";
import { sizesOf } from "./import/outcome.ts";
import { storeFiles } from "./store-files.ts";

export interface HostImageOptions {
  store: ContentFolder;
  /** The Node binary that the image gets as /usr/local/bin/node. */
  node: string;
  signal?: AbortSignal;
  /** In files; called often while files are stored. */
  progress(done: number, total: number): void;
  /** How to find what belongs to the runtimes; the package database where there is one. */
  source?: "packages" | "loader";
}

export interface HostImage {
  digest: string;
  files: number;
  bytes: number;
  /** After storing each content once. */
  storedBytes: number;
}

const PYTHON = "/usr/bin/python3";
const NODE = "/usr/local/bin/node";

type HostFile = Extract<HostItem, { kind: "file" }>;

/** "cpython-311" of the python3 that /usr/bin has. */
function pythonCacheTag(): string {
  if (!existsSync(PYTHON)) {
    const remedy = "install it, for instance with: apt-get install python3";
    throw new HobError("precondition", `capturing this machine's runtimes: there is no ${PYTHON}`, { remedy });
  }
  const real = realpathSync(PYTHON);
  const version = /python(\d+)\.(\d+)$/.exec(basename(real));
  // A shim of a version manager is a script that runs something below a home folder.
  if (!version || !/^\/usr\/(lib|libexec|bin)\//.test(real)) {
    const remedy = "install the distribution's own, for instance with: apt-get install --reinstall python3-minimal";
    throw new HobError(
      "precondition",
      `capturing this machine's runtimes: ${PYTHON} leads to ${real}, which is not the distribution's`,
      { remedy },
    );
  }
  return `cpython-${version[1]}${version[2]}`;
}

function nodeFile(path: string): HostFile {
  if (!existsSync(path)) throw new HobError("precondition", `capturing this machine's runtimes: there is no Node at ${path}`);
  const real = realpathSync(path);
  const stat = lstatSync(real, { bigint: true });
  return { kind: "file", path: real, mode: 0o755, size: Number(stat.size), mtimeNs: stat.mtimeNs, inode: stat.ino };
}

const timeless = { uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };

function manifestEntry(path: string, item: HostItem, stored: Map<string, { digest: string; bytes: number }>): ManifestEntry {
  const relative = path.slice(1);
  if (item.kind === "directory") return { kind: "directory", path: relative, mode: 0o755, ...timeless };
  if (item.kind === "symlink") return { kind: "symlink", path: relative, target: item.target, mode: 0o777, ...timeless };
  const { digest, bytes } = stored.get(item.path) as { digest: string; bytes: number };
  // Files keep their times: Python compares a source's with the one noted in its bytecode.
  const mtimeSeconds = Number(item.mtimeNs / 1_000_000_000n);
  const mtimeNanoseconds = Number(item.mtimeNs % 1_000_000_000n);
  return { kind: "file", path: relative, digest, size: bytes, mode: item.mode, uid: 0, gid: 0, mtimeSeconds, mtimeNanoseconds };
}

/** The entries that no file of the machine stands behind. */
async function writtenEntries(store: ContentFolder, taken: ReadonlySet<string>): Promise<ManifestEntry[]> {
  const entries: ManifestEntry[] = Object.entries(folders).map(([path, mode]) => ({
    kind: "directory",
    path,
    mode,
    ...timeless,
  }));
  for (const [path, text] of Object.entries(writtenFiles)) {
    await store.put(Buffer.from(text));
    entries.push({ kind: "file", path, digest: sha256(text), size: Buffer.byteLength(text), mode: 0o644, ...timeless });
  }
  for (const [path, target] of Object.entries(writtenLinks)) {
    if (!taken.has(`/${path}`)) entries.push({ kind: "symlink", path, target, mode: 0o777, ...timeless });
  }
  return entries;
}

/**
 * Captures the runtimes and returns the image's manifest digest. The same machine gives the same digest. Unchanged files are known from
 * the store's host-index.json. HobError `precondition` names what is missing; `exhausted` a full disk.
 */
export async function captureHostImage(options: HostImageOptions): Promise<HostImage> {
  const { store, signal } = options;
  const cacheTag = pythonCacheTag();
  const node = nodeFile(options.node);
  const usesPackages = options.source === undefined ? hasDpkg() : options.source === "packages";
  const listed = usesPackages ? dpkgPaths() : await loaderPaths(PYTHON);
  const items = scanHost([PYTHON, ...listed, ...(await librariesOf([node.path]))], cacheTag);
  items.set(NODE, node);
  signal?.throwIfAborted();

  const index = openHostIndex(store.root);
  const present = new Set<string>();
  for await (const digest of store.list()) present.add(digest);
  const stored = new Map<string, { digest: string; bytes: number }>();
  const keys = new Map<string, string>();
  const lacking: HostFile[] = [];
  for (const item of items.values()) {
    if (item.kind !== "file") continue;
    const key = fileKey(item);
    keys.set(item.path, key);
    const known = index.find(item.path, key);
    if (known && present.has(known.digest)) stored.set(item.path, known);
    else lacking.push(item);
  }

  const total = keys.size;
  options.progress(stored.size, total);
  await storeFiles(
    store.root,
    lacking,
    ({ path, digest, bytes }) => {
      stored.set(path, { digest, bytes });
      index.set(path, keys.get(path) as string, { digest, bytes });
      options.progress(stored.size, total);
    },
    signal,
  );
  await index.save();

  const entries = await writtenEntries(store, new Set(items.keys()));
  for (const [path, item] of items) entries.push(manifestEntry(path, item, stored));
  const digest = await store.put(await encodeInTurns(entries));
  return { digest, ...sizesOf(entries) };
}

// ⑤ What the mount tests share: whether this machine can mount, a store with a FUSE server on it, and a wait for a state.

import { existsSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import { detachMounts } from "../../fusefs/detach.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { probeFuse } from "../../fusefs/probe.ts";
import type { FuseServer, FuseServerOptions } from "../../fusefs/server.ts";

export const probe = await probeFuse();
if (!probe.fuse) console.warn(`mount tests are skipped: ${probe.reason}`);
else if (!probe.passthrough) console.warn(`passthrough tests are skipped: ${probe.reason}`);

export interface Mounted extends AsyncDisposable {
  folder: string;
  store: ContentFolder;
  server: FuseServer;
  /** An existing folder to mount at. */
  point(name: string): Promise<string>;
}

export async function startMounted(options: Partial<FuseServerOptions> = {}): Promise<Mounted> {
  const folder = await mkdtemp(join(tmpdir(), "hob-mount-test-"));
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const fetch = (digest: string): Promise<void> => Promise.reject(new Error(`nobody has blob ${digest}`));
  const server = await startFuseServer({ store: store.root, fetch, logFile: join(folder, "fusefs.log"), ...options });
  return {
    folder,
    store,
    server,
    async point(name) {
      await mkdir(join(folder, name), { recursive: true });
      return join(folder, name);
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      detachMounts(folder);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Entries for everything below a folder; file contents go into the store, but for those that `leaveOut` names. */
export async function captureTree(
  store: ContentFolder,
  root: string,
  leaveOut: readonly string[] = [],
): Promise<ManifestEntry[]> {
  const scratch = openContentFolder(`${store.root}-left-out`, { durable: false });
  const entries: ManifestEntry[] = [];
  for (const name of ["", ...(readdirSync(root, { recursive: true }) as string[])].sort()) {
    const path = join(root, name);
    const stat = lstatSync(path, { bigint: true });
    const common = {
      path: relative(root, path),
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtimeSeconds: Number(stat.mtimeNs / 1_000_000_000n),
      mtimeNanoseconds: Number(stat.mtimeNs % 1_000_000_000n),
    };
    if (stat.isDirectory()) entries.push({ kind: "directory", ...common });
    else if (stat.isSymbolicLink()) entries.push({ kind: "symlink", target: readlinkSync(path), ...common });
    else {
      const { digest, bytes: size } = await (leaveOut.includes(name) ? scratch : store).putFile(path);
      entries.push({ kind: "file", digest, size, hardLink: String(stat.ino), ...common });
    }
  }
  return entries;
}

export async function putImage(store: ContentFolder, entries: ManifestEntry[]): Promise<string> {
  return store.put(encodeManifest(entries));
}

const metadata = { uid: 0, gid: 0, mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 123_456_789 };

export function file(path: string, digest: string, size: number): ManifestEntry {
  return { kind: "file", path, digest, size, mode: 0o644, ...metadata };
}

/** Waits until the state holds; fails, naming it, when it never does. */
export async function until(state: string, holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 10_000; !holds(); await delay(5)) {
    if (performance.now() > deadline) throw new Error(`this never came true: ${state}`);
  }
}

export const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

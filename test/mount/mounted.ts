// ⑤ What the mount tests share: what this machine can mount, a store with a FUSE server on it, an image in either view, and a wait for a state.

import { existsSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ImageLayers, mountRoot } from "../../agent/container/root.ts";
import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import { detachMounts } from "../../fusefs/detach.ts";
import { probeTiered } from "../../fusefs/erofs/probe.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { probeFuse } from "../../fusefs/probe.ts";
import type { FuseServer, FuseServerOptions } from "../../fusefs/server.ts";

export const probe = await probeFuse();
if (!probe.fuse) console.warn(`mount tests are skipped: ${probe.reason}`);
else if (!probe.passthrough) console.warn(`passthrough tests are skipped: ${probe.reason}`);

const obstacle = probeTiered(tmpdir());
if (obstacle !== "") console.warn(`tests of tiered images are skipped: ${obstacle}`);

export const hasTiered = obstacle === "";
export const views = (["tree", "tiered"] as const).filter((view) => view === "tree" || hasTiered);
/** Both views, with and without reads that bypass the daemon. */
export const modes = views.flatMap((view) => [true, false].map((passthrough) => ({ view, passthrough })));

export interface Mounted extends AsyncDisposable {
  folder: string;
  store: ContentFolder;
  server: FuseServer;
  /** An existing folder to mount at. */
  point(name: string): Promise<string>;
  /** What a container of an image stands on, in the view of the server. */
  layers(digest: string, name: string): Promise<ImageLayers>;
  /** Shows an image as a container sees it, in the view of the server: where its files are. */
  show(digest: string, name: string): Promise<string>;
}

export async function startMounted(options: Partial<FuseServerOptions> = {}): Promise<Mounted> {
  const folder = await mkdtemp(join(tmpdir(), "hob-mount-test-"));
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const fetch = (digest: string): Promise<void> => Promise.reject(new Error(`nobody has blob ${digest}`));
  const forced = { logFile: join(folder, "fusefs.log"), view: "tree" as const, ...options };
  const server = await startFuseServer({ store: store.root, fetch, run: join(folder, "run"), ...forced });
  const overlays = new AsyncDisposableStack();
  let blobs = "";

  async function point(name: string): Promise<string> {
    await mkdir(join(folder, name), { recursive: true });
    return join(folder, name);
  }

  async function layers(digest: string, name: string): Promise<ImageLayers> {
    if (forced.view === "tiered" && blobs === "") {
      blobs = await point("blobs");
      await server.mountBlobs(blobs);
    }
    const image = await point(`${name}.image`);
    await server.mountImage(digest, image);
    return { image, contents: forced.view === "tiered" ? [store.root, blobs] : [] };
  }

  /** In both views below an overlay with a writable layer, as in a container. */
  async function show(digest: string, name: string): Promise<string> {
    const writable = await point(`${name}.writable`);
    for (const layer of ["upper", "work"]) await mkdir(join(writable, layer), { recursive: true });
    return mountRoot(await point(name), await layers(digest, name), writable, undefined, overlays);
  }

  return {
    folder,
    store,
    server,
    point,
    layers,
    show,
    async [Symbol.asyncDispose]() {
      await overlays.disposeAsync();
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

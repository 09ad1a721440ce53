// ⑤ The daemon's mounts: makes them, tells the workers what they show, and takes them down. All on the daemon's main thread.

import { closeSync } from "node:fs";
import { open, stat, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { type ContentFolder, sha256 } from "../base/content-folder.ts";
import { HobError, systemError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { checkBlob, checkChunk } from "./arrivals.ts";
import { closeBackings } from "./blobs.ts";
import { createDeferrals } from "./deferrals.ts";
import type { ImageView } from "./erofs/choice.ts";
import { mountNames } from "./erofs/names.ts";
import { decodeManifest } from "./image/decode.ts";
import { header, viewManifest } from "./image/manifest.ts";
import type { Method } from "./ipc.ts";
import { newReadLog, seenReads } from "./read-log.ts";
import type { FuseServer } from "./server.ts";
import { cloneSession, openSession } from "./session.ts";
import { createSnapshots } from "./snapshots.ts";
import { detach, write } from "./syscalls.ts";
import { ROOT_NODE } from "./tree-roots.ts";
import { NOTIFY_INVAL_ENTRY } from "./wire/constants.ts";
import { notifyInvalEntryOut, outHeader } from "./wire/structs.ts";
import type { FromWorker, NeededChunk, SharedBinding, Shows } from "./worker-messages.ts";
import { startWorkerThreads } from "./workers.ts";

/** What the agent asks of the daemon, as ipc.ts carries it. */
export type Mounts = Pick<FuseServer, Method> & { close(): Promise<void> };

export interface MountsOptions {
  store: ContentFolder;
  fetch(digest: string, chunk?: number): Promise<void>;
  passthrough: boolean;
  view: ImageView["kind"];
  workers: number;
  log: Log;
  failed(error: Error): void;
}

interface Container {
  number: number;
  snapshots: Map<string, number>; // name → binding
  /** Of removed ones too: the kernel may remember names for ever, and a snapshot that comes back must be what it remembers. */
  bindings: Map<string, number>;
}

interface Mount {
  readonly id: number;
  readonly mountPoint: string;
  readonly fds: number[]; // one for each worker
  readonly backings: Map<number, Int32Array>; // by binding
  live: number; // workers that still serve it
  detached: boolean;
  /** Of an image's mount. */
  shown?: Shown;
}

/** An image, and what was read of it (read-log.ts). */
interface Shown {
  manifest: SharedArrayBuffer;
  reads: SharedArrayBuffer;
}

interface SnapshotsMount extends Mount {
  readonly containers: Map<string, Container>;
}

/** The folder of blobs. Images stay bound for as long as it is mounted: the kernel may remember their contents' nodes for ever. */
interface BlobsMount extends Mount {
  readonly images: Map<string, number>; // digest → binding
}

/** An image's mount has this one only; those of snapshots, and of the folder of blobs, are counted from there. */
const IMAGE_BINDING = 0;

const inodeCount = (manifest: SharedArrayBuffer): number => new DataView(manifest).getUint32(header.inodeCount, true);

/** A file as memory that several threads see, without a copy on the way: manifests are large, and many. */
async function readShared(path: string): Promise<SharedArrayBuffer> {
  try {
    await using handle = await open(path);
    const shared = new SharedArrayBuffer((await handle.stat()).size);
    const target = new Uint8Array(shared);
    for (let at = 0; at < target.length; ) {
      const { bytesRead } = await handle.read(target, at, target.length - at, at);
      if (bytesRead === 0) throw new Error("it became shorter while it was read");
      at += bytesRead;
    }
    return shared;
  } catch (error) {
    throw systemError(`reading blob ${basename(path).slice(0, 12)}`, error);
  }
}

export function createMounts(options: MountsOptions): Mounts {
  const { store, log } = options;
  const mounts = new Map<number, Mount>();
  const manifests = new Map<string, WeakRef<SharedArrayBuffer>>();
  const snapshots = createSnapshots();
  const named = new Map<string, string>(); // by mount point of names and attributes, which the kernel serves by itself: the image
  const tiered = new Map<string, Shown>(); // by image
  let snapshotsMount: SnapshotsMount | undefined;
  let blobsMount: BlobsMount | undefined;
  let nextMount = 1;
  let nextContainer = 0;
  let nextBinding = IMAGE_BINDING + 1;

  const workers = startWorkerThreads({ count: options.workers, store: store.root, heard, failed: options.failed });
  const deferrals = createDeferrals({
    resume: ({ worker, mount, unique }, errno) => workers.send(worker, { kind: "resume", mount, unique, errno }),
    fetchBlob,
    fetchChunk,
    hasSnapshot: (mount, container, snapshot) =>
      snapshotsMount?.id === mount && snapshotsMount.containers.get(container)?.snapshots.has(snapshot) === true,
    log,
  });

  function heard(message: FromWorker): void {
    if (message.kind === "deferred") deferrals.add(message, message.need);
    else if (message.kind === "interrupt") deferrals.interrupt(message.mount, message.unique);
    else if (message.kind === "ended") workerLeft(message.mount);
    else log.error({ worker: message.worker }, message.text);
  }

  /** When the last worker has let go of a mount, the kernel's side of it is closed too. */
  function workerLeft(id: number): void {
    const mount = mounts.get(id);
    if (!mount) return;
    mount.live--;
    if (mount.live > 0) return;
    mounts.delete(id);
    if (mount === snapshotsMount) snapshotsMount = undefined;
    if (mount === blobsMount) blobsMount = undefined;
    deferrals.mountEnded(id);
    for (const fd of mount.fds) closeSync(fd);
    if (!mount.detached) log.warn({ mountPoint: mount.mountPoint }, "a mount was taken down by somebody else");
  }

  async function fetchBlob(digest: string): Promise<void> {
    await options.fetch(digest);
    await checkBlob(store, digest);
  }

  async function fetchChunk(digest: string, chunk: NeededChunk): Promise<void> {
    await options.fetch(digest, chunk.index);
    await checkChunk(store, digest, chunk);
  }

  /** `image`: the manifest of an image's mount. */
  function attach(mountPoint: string, shows: Shows, image?: SharedArrayBuffer): Mount {
    const { passthrough } = options;
    const session = openSession(mountPoint, { passthrough, dynamic: shows === "snapshots" });
    const mount: Mount = {
      id: nextMount++,
      mountPoint,
      fds: [session.fd],
      backings: new Map(),
      live: workers.count,
      detached: false,
    };
    while (mount.fds.length < workers.count) mount.fds.push(cloneSession(session.fd));
    mounts.set(mount.id, mount);
    const binding = image && { ...backed(mount, IMAGE_BINDING, image), reads: newReadLog() };
    if (binding) mount.shown = { manifest: image, reads: binding.reads };
    for (const [worker, fd] of mount.fds.entries())
      workers.send(worker, { kind: "mount", mount: mount.id, fd, passthrough, shows, image: binding });
    return mount;
  }

  /** The manifest with a table of its own for the backing files of its inodes. */
  function backed(mount: Mount, high: number, manifest: SharedArrayBuffer): SharedBinding {
    const backing = new SharedArrayBuffer(inodeCount(manifest) * 4);
    mount.backings.set(high, new Int32Array(backing));
    return { high, manifest, backing, reads: undefined };
  }

  async function imageManifest(digest: string): Promise<SharedArrayBuffer> {
    const known = manifests.get(digest)?.deref();
    if (known) return known;
    if (!store.has(digest)) await fetchBlob(digest);
    const shared = await readShared(store.path(digest));
    const bytes = new Uint8Array(shared);
    if (sha256(bytes) !== digest) throw new HobError("corrupt", `image ${digest.slice(0, 12)}: its manifest has another digest`);
    decodeManifest(bytes);
    manifests.set(digest, new WeakRef(shared));
    return shared;
  }

  /** The image's contents are to be had from the folder of blobs before anybody sees their names. */
  async function mountTiered(digest: string, mountPoint: string): Promise<void> {
    const manifest = await imageManifest(digest);
    if (!blobsMount) throw new HobError("precondition", `mounting ${mountPoint}: the folder of blobs is not mounted`);
    if (!blobsMount.images.has(digest)) {
      const high = IMAGE_BINDING + 1 + blobsMount.images.size;
      blobsMount.images.set(digest, high);
      const reads = newReadLog();
      workers.broadcast({ kind: "bind", mount: blobsMount.id, binding: { ...backed(blobsMount, high, manifest), reads } });
      tiered.set(digest, { manifest, reads });
    }
    await mountNames(store, digest, viewManifest(manifest, 0, manifest.byteLength), mountPoint);
    named.set(mountPoint, digest);
  }

  async function mountTree(digest: string, mountPoint: string): Promise<void> {
    attach(mountPoint, "image", await imageManifest(digest));
    if (!options.passthrough) await lengthenReadahead(mountPoint);
  }

  /** Without passthrough every readahead is a request: longer ones are fewer. */
  async function lengthenReadahead(mountPoint: string): Promise<void> {
    const { dev } = await stat(mountPoint);
    const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)];
    await writeFile(`/sys/class/bdi/${major}:${minor}/read_ahead_kb`, "1024").catch((error) =>
      log.info({ error }, "readahead stays short"),
    );
  }

  function theSnapshots(operation: string): SnapshotsMount {
    if (snapshotsMount) return snapshotsMount;
    throw new HobError("precondition", `${operation}: the snapshots are not mounted`);
  }

  /** The kernel forgets that name and all below it. `parent`: lower half of a node id, tree-roots.ts. */
  function invalidate(mount: SnapshotsMount, parent: number, child: string): void {
    const name = Buffer.from(`${child}\0`, "utf8");
    const message = Buffer.alloc(outHeader.sizeof + notifyInvalEntryOut.sizeof + name.length);
    message.writeUInt32LE(message.length, outHeader.len);
    message.writeInt32LE(NOTIFY_INVAL_ENTRY, outHeader.error);
    message.writeUInt32LE(parent, outHeader.sizeof + notifyInvalEntryOut.parent);
    message.writeUInt32LE(name.length - 1, outHeader.sizeof + notifyInvalEntryOut.namelen);
    name.copy(message, outHeader.sizeof + notifyInvalEntryOut.sizeof);
    write(mount.fds[0] as number, message, message.length); // ENOENT: the kernel never asked for it
  }

  function forget(mount: SnapshotsMount, snapshot: string, high: number): void {
    workers.broadcast({ kind: "unbind", mount: mount.id, high });
    closeBackings(mount.fds[0] as number, mount.backings.get(high) as Int32Array);
    mount.backings.delete(high);
    snapshots.release(snapshot);
  }

  function mountAt(mountPoint: string, operation: string): Mount {
    const mount = [...mounts.values()].find((candidate) => candidate.mountPoint === mountPoint && !candidate.detached);
    if (mount) return mount;
    throw new HobError("notFound", `${operation} ${mountPoint}: nothing of ours is mounted there`);
  }

  async function unmount(mountPoint: string): Promise<void> {
    if (named.delete(mountPoint)) return void detach(mountPoint);
    const mount = mountAt(mountPoint, "unmounting");
    mount.detached = true;
    if (mount === snapshotsMount) snapshotsMount = undefined;
    if (mount === blobsMount) blobsMount = undefined;
    const failed = detach(mountPoint);
    if (failed !== 0) log.warn({ mountPoint, errno: failed }, "the mount was gone already");
  }

  return {
    async mountImage(digest, mountPoint) {
      await (options.view === "tiered" ? mountTiered(digest, mountPoint) : mountTree(digest, mountPoint));
      log.info({ digest, mountPoint, view: options.view }, "image mounted");
    },
    async mountBlobs(mountPoint) {
      if (blobsMount) throw new HobError("precondition", `mounting ${mountPoint}: blobs are mounted at ${blobsMount.mountPoint}`);
      blobsMount = Object.assign(attach(mountPoint, "blobs"), { images: new Map<string, number>() });
      if (!options.passthrough) await lengthenReadahead(mountPoint);
    },
    async mountSnapshots(mountPoint) {
      if (snapshotsMount)
        throw new HobError("precondition", `mounting ${mountPoint}: snapshots are mounted at ${snapshotsMount.mountPoint}`);
      snapshotsMount = Object.assign(attach(mountPoint, "snapshots"), { containers: new Map<string, Container>() });
    },
    async addContainer(container) {
      const mount = theSnapshots(`adding container ${container}`);
      if (mount.containers.has(container)) return;
      const number = nextContainer++;
      mount.containers.set(container, { number, snapshots: new Map(), bindings: new Map() });
      workers.broadcast({ kind: "addContainer", mount: mount.id, container, number });
    },
    async addSnapshot(container, snapshot, base, changed, removed) {
      const mount = theSnapshots(`adding snapshot ${snapshot.slice(0, 12)}`);
      const entry = mount.containers.get(container);
      if (!entry) throw new HobError("notFound", `adding snapshot ${snapshot.slice(0, 12)}: there is no container ${container}`);
      if (entry.snapshots.has(snapshot)) return;
      const manifest = snapshots.acquire(snapshot, base, changed, removed);
      const high = entry.bindings.get(snapshot) ?? nextBinding++;
      entry.bindings.set(snapshot, high);
      entry.snapshots.set(snapshot, high);
      workers.broadcast({ kind: "bind", mount: mount.id, binding: backed(mount, high, manifest) });
      workers.broadcast({ kind: "addSnapshot", mount: mount.id, container, snapshot, high });
      deferrals.snapshotAdded(mount.id, container, snapshot);
    },
    async removeSnapshot(container, snapshot) {
      const mount = theSnapshots(`removing snapshot ${snapshot.slice(0, 12)}`);
      const entry = mount.containers.get(container);
      const high = entry?.snapshots.get(snapshot);
      if (!entry || high === undefined) return;
      entry.snapshots.delete(snapshot);
      workers.broadcast({ kind: "removeSnapshot", mount: mount.id, container, snapshot });
      // Its name is not invalidated: that takes the directory's lock, which a lookup holds that waits for us to add another snapshot.
      forget(mount, snapshot, high);
    },
    async removeContainer(container) {
      const mount = theSnapshots(`removing container ${container}`);
      const entry = mount.containers.get(container);
      if (!entry) return;
      mount.containers.delete(container);
      workers.broadcast({ kind: "removeContainer", mount: mount.id, container });
      for (const [snapshot, high] of entry.snapshots) forget(mount, snapshot, high);
      invalidate(mount, ROOT_NODE, container);
    },
    unmount,
    async reads(mountPoint) {
      // In the folder of blobs a content is an inode of the first image that has it.
      const shown = named.has(mountPoint) ? [...tiered.values()] : [mountAt(mountPoint, "looking what was read of").shown];
      return shown.flatMap((each) =>
        each ? seenReads(each.reads, viewManifest(each.manifest, 0, each.manifest.byteLength)) : [],
      );
    },
    stats: async () => {
      const attached = [...mounts.values()].filter(({ detached }) => !detached).length;
      return { ...workers.counts(), mounts: attached + named.size };
    },
    async close() {
      for (const mountPoint of [...named.keys()]) await unmount(mountPoint);
      for (const mount of mounts.values()) if (!mount.detached) await unmount(mount.mountPoint);
      deferrals.close();
      await workers[Symbol.asyncDispose]();
    },
  };
}

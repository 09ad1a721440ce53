// ⑤ The daemon's mounts: makes them, tells the workers what they show, and takes them down. All on the daemon's main thread.

import { closeSync } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import type { ContentFolder } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { createBound, type Shown, type Tables } from "./bound.ts";
import { createDeferrals } from "./deferrals.ts";
import type { ImageView } from "./erofs/choice.ts";
import { mountNames } from "./erofs/names.ts";
import { viewManifest } from "./image/manifest.ts";
import type { Before, Call, HeldMount, Method } from "./ipc.ts";
import { forgetName, resendRequests } from "./notify.ts";
import { seenReads } from "./read-log.ts";
import { type Container, type Counters, containersOf, type Keeper, readRecords, recordKeys, rootsOf } from "./records.ts";
import type { FuseServer } from "./server.ts";
import { cloneSession, openSession } from "./session.ts";
import { createSnapshots } from "./snapshots.ts";
import { detach } from "./syscalls.ts";
import { ROOT_NODE } from "./tree-roots.ts";
import { createWants } from "./wants.ts";
import type { FormerRoots, FromWorker, SharedBinding, Shows } from "./worker-messages.ts";
import { startWorkerThreads } from "./workers.ts";

/** What the agent asks of the daemon, as ipc.ts carries it. */
export interface Mounts extends Pick<FuseServer, Method> {
  /** Goes on where a daemon before us was killed. Once, before any call. */
  takeOver(before: Before): Promise<void>;
  /** Whether a call is done that a daemon before us may have done. What it left half done is cleared away. */
  isDone(call: Call): boolean;
  close(): Promise<void>;
}

export interface MountsOptions {
  store: ContentFolder;
  fetch(digest: string, chunk?: number): Promise<void>;
  passthrough: boolean;
  view: ImageView["kind"];
  workers: number;
  /** A folder for what we leave to the daemon after us, beside what the keeper is told. */
  run: string;
  keeper: Keeper;
  log: Log;
  failed(error: Error): void;
}

interface Mount {
  readonly id: number;
  readonly mountPoint: string;
  readonly fds: number[]; // one for each worker
  readonly tables: Tables;
  live: number; // workers that still serve it
  detached: boolean;
  /** Of an image's mount. */
  shown?: Shown;
}

interface SnapshotsMount extends Mount {
  readonly containers: Map<string, Container>;
}

/** The folder of blobs. Images stay bound for as long as it is mounted: the kernel may remember their contents' nodes for ever. */
interface BlobsMount extends Mount {
  readonly images: Map<string, number>; // digest → binding
}

/** Without passthrough every readahead is a request: longer ones are fewer. */
const longReadaheadKib = 1024;
/** With it we are asked only for what has not arrived: of a program that is mapped the kernel would want what is around each page, which nobody reads. */
const shortReadaheadKib = 32;

/** An image's mount has this one only; all others are counted from there. */
const IMAGE_BINDING = 0;

export function createMounts(options: MountsOptions): Mounts {
  const { store, log, keeper } = options;
  const mounts = new Map<number, Mount>();
  const wants = createWants(store, options.fetch);
  const bound = createBound(options.run);
  const snapshots = createSnapshots(options.run);
  const named = new Map<string, string>(); // by mount point of names and attributes, which the kernel serves by itself: the image
  const tiered = new Map<string, Shown>(); // by image
  let snapshotsMount: SnapshotsMount | undefined;
  let blobsMount: BlobsMount | undefined;
  let next: Counters = { mount: 1, container: 0, binding: IMAGE_BINDING + 1 };

  const workers = startWorkerThreads({ count: options.workers, store: store.root, heard, failed: options.failed });
  const deferrals = createDeferrals({
    resume: ({ worker, mount, unique }, errno) => workers.send(worker, { kind: "resume", mount, unique, errno }),
    fetchBlob: wants.blob,
    fetchChunk: wants.chunk,
    hasSnapshot: (mount, container, snapshot) =>
      snapshotsMount?.id === mount && snapshotsMount.containers.get(container)?.snapshots.has(snapshot) === true,
    log,
  });

  /** The number, which is never given again. */
  function number(what: keyof Counters): number {
    const given = next[what];
    next = { ...next, [what]: given + 1 };
    keeper.keep(recordKeys.counters, next);
    return given;
  }

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
    else if (mount === blobsMount) blobsMount = undefined;
    deferrals.mountEnded(id);
    for (const fd of mount.fds) closeSync(fd);
    bound.forget(mount);
    keeper.letGo(id);
    keeper.forget(recordKeys.detached(id));
    if (!mount.detached) log.warn({ mountPoint: mount.mountPoint }, "a mount was taken down by somebody else");
  }

  /** `image`: digest of an image's manifest, or "". */
  async function attach(mountPoint: string, shows: Shows, image = ""): Promise<Mount> {
    const { passthrough } = options;
    const manifest = image === "" ? undefined : await wants.manifest(image);
    const session = openSession(mountPoint, { passthrough, dynamic: shows === "snapshots" });
    const fds = [session.fd];
    while (fds.length < workers.count) fds.push(cloneSession(session.fd));
    const mount = adopt({ id: number("mount"), mountPoint, shows, image, fds }, false);
    await keeper.hold({ id: mount.id, mountPoint, shows, image, fds }, session.resend ? "" : "the kernel is older than 6.9");
    serve(mount, shows, manifest ? [showImage(mount, manifest)] : []);
    return mount;
  }

  function adopt({ id, mountPoint, fds }: HeldMount, detached: boolean): Mount {
    const mount: Mount = { id, mountPoint, fds, tables: new Map(), live: workers.count, detached };
    mounts.set(id, mount);
    return mount;
  }

  function serve({ id, fds }: Mount, shows: Shows, bindings: SharedBinding[], roots?: FormerRoots): void {
    const { passthrough } = options;
    const message = { kind: "mount" as const, mount: id, passthrough, shows, bindings, ...(roots ? { roots } : {}) };
    for (const [worker, fd] of fds.entries()) workers.send(worker, { ...message, fd });
  }

  function showImage(mount: Mount, manifest: SharedArrayBuffer): SharedBinding {
    const { binding, shown } = bound.bindLogged(mount, IMAGE_BINDING, manifest);
    mount.shown = shown;
    return binding;
  }

  function showTiered(mount: Mount, high: number, digest: string, manifest: SharedArrayBuffer): SharedBinding {
    const { binding, shown } = bound.bindLogged(mount, high, manifest);
    tiered.set(digest, shown);
    return binding;
  }

  /** The image's contents are to be had from the folder of blobs before anybody sees their names. */
  async function mountTiered(digest: string, mountPoint: string): Promise<void> {
    const manifest = await wants.manifest(digest);
    if (!blobsMount) throw new HobError("precondition", `mounting ${mountPoint}: the folder of blobs is not mounted`);
    if (!blobsMount.images.has(digest)) {
      const high = number("binding");
      blobsMount.images.set(digest, high);
      keeper.keep(recordKeys.image(digest), high);
      workers.broadcast({ kind: "bind", mount: blobsMount.id, binding: showTiered(blobsMount, high, digest, manifest) });
    }
    await mountNames(store, digest, viewManifest(manifest, 0, manifest.byteLength), mountPoint);
    named.set(mountPoint, digest);
    keeper.keep(recordKeys.named(mountPoint), digest);
  }

  async function mountTree(digest: string, mountPoint: string): Promise<void> {
    await attach(mountPoint, "image", digest);
    if (!options.passthrough) await setReadahead(mountPoint, longReadaheadKib);
  }

  async function setReadahead(mountPoint: string, kib: number): Promise<void> {
    const { dev } = await stat(mountPoint);
    const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)];
    await writeFile(`/sys/class/bdi/${major}:${minor}/read_ahead_kb`, String(kib)).catch((error) =>
      log.info({ error }, "readahead stays as it is"),
    );
  }

  function theSnapshots(operation: string): SnapshotsMount {
    if (snapshotsMount) return snapshotsMount;
    throw new HobError("precondition", `${operation}: the snapshots are not mounted`);
  }

  function forget(mount: SnapshotsMount, snapshot: string, high: number): void {
    workers.broadcast({ kind: "unbind", mount: mount.id, high });
    bound.unbind(mount, high);
    snapshots.release(snapshot);
  }

  function mountAt(mountPoint: string, operation: string): Mount {
    const mount = [...mounts.values()].find((candidate) => candidate.mountPoint === mountPoint && !candidate.detached);
    if (mount) return mount;
    throw new HobError("notFound", `${operation} ${mountPoint}: nothing of ours is mounted there`);
  }

  async function unmount(mountPoint: string): Promise<void> {
    if (named.delete(mountPoint)) {
      detach(mountPoint);
      keeper.forget(recordKeys.named(mountPoint));
      return;
    }
    const mount = mountAt(mountPoint, "unmounting");
    mount.detached = true;
    keeper.keep(recordKeys.detached(mount.id), true);
    if (mount === snapshotsMount) {
      snapshotsMount = undefined;
      for (const key of recordKeys.ofSnapshots) keeper.forget(key);
    } else if (mount === blobsMount) {
      blobsMount = undefined;
      keeper.forget(recordKeys.image(""));
    }
    const failed = detach(mountPoint);
    if (failed !== 0) log.warn({ mountPoint, errno: failed }, "the mount was gone already");
  }

  async function takeOver({ mounts: held, records }: Before): Promise<void> {
    const former = readRecords(records);
    next = former.counters;
    for (const { mountPoint, image } of former.named) named.set(mountPoint, image);
    // Workers begin with all that a mount shows: until then nobody reads from it.
    const digests = new Set([...held.map(({ image }) => image), ...former.images.map(({ digest }) => digest)]);
    const images = new Map<string, SharedArrayBuffer>();
    for (const digest of digests) if (digest !== "") images.set(digest, await wants.manifest(digest));
    const manifestOf = (digest: string): SharedArrayBuffer => images.get(digest) as SharedArrayBuffer;
    for (const record of held) {
      const { shows, image } = record;
      const mount = adopt(record, former.detached.has(record.id));
      const bindings: SharedBinding[] = image === "" ? [] : [showImage(mount, manifestOf(image))];
      let roots: FormerRoots | undefined;
      if (shows === "blobs" && !mount.detached) {
        const highs = new Map(former.images.map(({ digest, high }) => [digest, high]));
        blobsMount = Object.assign(mount, { images: highs });
        for (const [digest, high] of highs) bindings.push(showTiered(mount, high, digest, manifestOf(digest)));
      } else if (shows === "snapshots" && !mount.detached) {
        snapshotsMount = Object.assign(mount, { containers: containersOf(former) });
        roots = rootsOf(former);
        for (const { snapshot, high } of roots.snapshots)
          bindings.push(bound.bind(mount, high, snapshots.acquire(snapshot, "", [], [])));
      }
      const failed = resendRequests(mount.fds[0] as number);
      if (failed !== 0) log.warn({ mountPoint: mount.mountPoint, errno: failed }, "a mount has ended meanwhile");
      serve(mount, shows, bindings, roots);
    }
  }

  function isDone({ method, args }: Call): boolean {
    const [first = "", second = ""] = args as string[];
    if (method === "unmount") return !isMounted(first);
    if (method !== "mountImage" && method !== "mountBlobs" && method !== "mountSnapshots") return false; // they look for themselves
    const mountPoint = method === "mountImage" ? second : first;
    if (!isMounted(mountPoint)) detach(mountPoint);
    return isMounted(mountPoint);
  }

  const isMounted = (mountPoint: string): boolean =>
    named.has(mountPoint) || [...mounts.values()].some((mount) => mount.mountPoint === mountPoint && !mount.detached);

  return {
    takeOver,
    isDone,
    async mountImage(digest, mountPoint) {
      let { view } = options;
      if (view === "tiered") {
        try {
          await mountTiered(digest, mountPoint);
        } catch (error) {
          if (!(error instanceof HobError) || error.kind !== "exhausted") throw error;
          log.warn({ digest, reason: error.sentence }, "the image has no tiered view, and is shown as a tree");
          view = "tree";
        }
      }
      if (view === "tree") await mountTree(digest, mountPoint);
      log.info({ digest, mountPoint, view }, "image mounted");
    },
    async mountBlobs(mountPoint) {
      if (blobsMount) throw new HobError("precondition", `mounting ${mountPoint}: blobs are mounted at ${blobsMount.mountPoint}`);
      blobsMount = Object.assign(await attach(mountPoint, "blobs"), { images: new Map<string, number>() });
      await setReadahead(mountPoint, options.passthrough ? shortReadaheadKib : longReadaheadKib);
    },
    async mountSnapshots(mountPoint) {
      if (snapshotsMount)
        throw new HobError("precondition", `mounting ${mountPoint}: snapshots are mounted at ${snapshotsMount.mountPoint}`);
      snapshotsMount = Object.assign(await attach(mountPoint, "snapshots"), { containers: new Map<string, Container>() });
    },
    async addContainer(container) {
      const mount = theSnapshots(`adding container ${container}`);
      if (mount.containers.has(container)) return;
      const given = number("container");
      keeper.keep(recordKeys.container(container), given);
      mount.containers.set(container, { number: given, snapshots: new Map(), bindings: new Map() });
      workers.broadcast({ kind: "addContainer", mount: mount.id, container, number: given });
    },
    async addSnapshot(container, snapshot, base, changed, removed) {
      const mount = theSnapshots(`adding snapshot ${snapshot.slice(0, 12)}`);
      const entry = mount.containers.get(container);
      if (!entry) throw new HobError("notFound", `adding snapshot ${snapshot.slice(0, 12)}: there is no container ${container}`);
      if (entry.snapshots.has(snapshot)) return;
      const manifest = snapshots.acquire(snapshot, base, changed, removed);
      const high = entry.bindings.get(snapshot) ?? number("binding");
      keeper.keep(recordKeys.snapshot(container, snapshot), { high, shown: true });
      entry.bindings.set(snapshot, high);
      entry.snapshots.set(snapshot, high);
      workers.broadcast({ kind: "bind", mount: mount.id, binding: bound.bind(mount, high, manifest) });
      workers.broadcast({ kind: "addSnapshot", mount: mount.id, container, snapshot, high });
      deferrals.snapshotAdded(mount.id, container, snapshot);
    },
    async removeSnapshot(container, snapshot) {
      const mount = theSnapshots(`removing snapshot ${snapshot.slice(0, 12)}`);
      const entry = mount.containers.get(container);
      const high = entry?.snapshots.get(snapshot);
      if (!entry || high === undefined) return;
      entry.snapshots.delete(snapshot);
      keeper.keep(recordKeys.snapshot(container, snapshot), { high, shown: false });
      workers.broadcast({ kind: "removeSnapshot", mount: mount.id, container, snapshot });
      // Its name is not invalidated: that takes the directory's lock, which a lookup holds that waits for us to add another snapshot.
      forget(mount, snapshot, high);
    },
    async removeContainer(container) {
      const mount = theSnapshots(`removing container ${container}`);
      const entry = mount.containers.get(container);
      if (!entry) return;
      mount.containers.delete(container);
      keeper.forget(recordKeys.snapshot(container, ""));
      keeper.forget(recordKeys.container(container));
      workers.broadcast({ kind: "removeContainer", mount: mount.id, container });
      for (const [snapshot, high] of entry.snapshots) forget(mount, snapshot, high);
      forgetName(mount.fds[0] as number, ROOT_NODE, container);
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

// ⑤ What the agent asks of the FUSE daemon, a process of its own. daemon.ts answers, connect.ts starts it and speaks to it.

import type { FileEntry } from "../proto/gen/hob/v1/common.ts";
import type { ImageView } from "./erofs/choice.ts";
import type { SeenRead } from "./read-log.ts";

export interface FuseStats {
  /** Requests answered, by opcode name ("READ", "OPEN", …), over all mounts. */
  requests: Record<string, number>;
  /** OPENs answered with a backing file: the kernel then reads without us. */
  passthroughOpens: number;
  mounts: number;
}

export interface FuseServer extends AsyncDisposable {
  /** Whether reads of local blobs bypass the daemon, and if not, why ("the kernel is older than 6.9"). */
  readonly passthrough: { used: boolean; reason: string };
  readonly idmap: boolean;
  /** Of the present daemon: another takes over from one that dies. */
  readonly pid: number;
  /** How `mountImage` shows images. */
  readonly view: ImageView;
  /**
   * Shows the manifest (a file in the blob store) at `mountPoint`, an existing folder; read-only. In the tiered view it shows names and attributes,
   * and is the lowest layer with names of an overlay whose data-only layers are the store and, behind it, what `mountBlobs` shows.
   */
  mountImage(manifestDigest: string, mountPoint: string): Promise<void>;
  /** One mount for the contents of all images that are mounted after it: MOUNTPOINT/ab/abcd…, fetched when they are opened. For the tiered view. */
  mountBlobs(mountPoint: string): Promise<void>;
  /** One mount for all snapshots: MOUNTPOINT/CONTAINER/SNAPSHOT/path. */
  mountSnapshots(mountPoint: string): Promise<void>;
  /** Makes MOUNTPOINT/CONTAINER, empty. */
  addContainer(container: string): Promise<void>;
  /**
   * Makes MOUNTPOINT/CONTAINER/SNAPSHOT show these files. `base` names a snapshot added before to any container; then `changed` and
   * `removed` are what differs. A lookup of a snapshot that is not there yet waits for up to a second before it fails.
   */
  addSnapshot(container: string, snapshot: string, base: string, changed: FileEntry[], removed: string[]): Promise<void>;
  /** The container lacks that snapshot from now on, even for somebody who stands in it. Nothing happens where it lacks it already. */
  removeSnapshot(container: string, snapshot: string): Promise<void>;
  removeContainer(container: string): Promise<void>;
  unmount(mountPoint: string): Promise<void>;
  /**
   * What has been opened or read of an image's mount, each content once, in the order in which it was first wanted; up to some thousands. In the
   * tiered view what came by the folder of blobs, contents of other images among them.
   */
  reads(mountPoint: string): Promise<SeenRead[]>;
  stats(): Promise<FuseStats>;
  /**
   * Puts another daemon in the place of this one, from the files that are installed now. Who reads waits for some tens of milliseconds. One that
   * does not start changes nothing.
   */
  replace(): void;
  /** Resolves when no daemon takes over any more, with the reason; every mount answers ENOTCONN from then on. */
  readonly closed: Promise<string>;
}

export interface FuseServerOptions {
  /** Root of the blob store (base/content-folder.ts). */
  store: string;
  /**
   * Fetches a blob that an OPEN needs and the store lacks, or one chunk that a READ needs of a large blob, into the store's partial file
   * (base/partial-blob.ts); a rejection becomes EIO. Concurrent requests for the same are asked once.
   */
  fetch(digest: string, chunk?: number): Promise<void>;
  logFile: string;
  /** A folder of this server alone, made and removed by it: what a daemon leaves to the one that takes over from it. */
  run: string;
  /** Another daemon takes over, with this pid. */
  replaced?(pid: number): void;
  /** A daemon died and another one takes over, or why none could; `replace` has been done, or why the daemon was kept. */
  turn?(what: { kind: "died" | "obstacle" | "upgraded" | "kept"; reason: string }): void;
  /** False: every read goes through the daemon, whatever the kernel can do. Default true. */
  passthrough?: boolean;
  /** Default HOB_IMAGE_VIEW, and without that the best that this machine can do. */
  view?: ImageView["kind"];
  /** Threads that answer the kernel; by default one, or two where reads go through them. */
  workers?: number;
}

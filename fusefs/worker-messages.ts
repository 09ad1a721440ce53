// ⑤ What the daemon's main thread and its FUSE workers say to each other. A worker is woken by its eventfd.

/** What a request waits for, when it cannot be answered at once. */
export type Need =
  | { kind: "blob"; digest: string }
  | { kind: "chunks"; digest: string; chunks: NeededChunk[] }
  | { kind: "snapshot"; container: string; snapshot: string };

export interface NeededChunk {
  index: number;
  digest: string;
  /** Of the whole content. */
  blobBytes: number;
}

/** Node ids with `high` in their upper half are this manifest's. `backing`: Int32 for each inode, see blobs.ts. */
export interface SharedBinding {
  high: number;
  manifest: SharedArrayBuffer;
  backing: SharedArrayBuffer;
  /** Of an image: read-log.ts. */
  reads: SharedArrayBuffer | undefined;
  /** What is entered in `backing` is written there too. */
  backingFile: string;
}

/** Containers and snapshots that a mount shows from its beginning. */
export interface FormerRoots {
  containers: { name: string; number: number }[];
  snapshots: { container: string; snapshot: string; high: number }[];
}

export type Shows = "image" | "snapshots" | "blobs";

export type ToWorker =
  /** What it shows comes in the same message: no request may find the mount without it. */
  | {
      kind: "mount";
      mount: number;
      fd: number;
      passthrough: boolean;
      shows: Shows;
      bindings: SharedBinding[];
      roots?: FormerRoots;
    }
  | { kind: "bind"; mount: number; binding: SharedBinding }
  | { kind: "unbind"; mount: number; high: number }
  | { kind: "addContainer"; mount: number; container: string; number: number }
  | { kind: "removeContainer"; mount: number; container: string }
  | { kind: "addSnapshot"; mount: number; container: string; snapshot: string; high: number }
  | { kind: "removeSnapshot"; mount: number; container: string; snapshot: string }
  /** Answers a deferred request: with that errno, or by trying once more when it is 0. */
  | { kind: "resume"; mount: number; unique: number; errno: number }
  | { kind: "stop" };

export type FromWorker =
  | { kind: "deferred"; worker: number; mount: number; unique: number; need: Need }
  | { kind: "interrupt"; mount: number; unique: number }
  /** The kernel has ended the connection: nobody uses the mount any more. */
  | { kind: "ended"; worker: number; mount: number }
  | { kind: "fault"; worker: number; text: string };

export interface WorkerData {
  worker: number;
  store: string;
  eventfd: number;
  /** Float64 for each opcode, then one for passthrough opens; written by the worker, read by the main thread. */
  counts: SharedArrayBuffer;
}

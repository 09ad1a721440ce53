// A folder of blobs by sha256: a blob is complete or absent, whatever dies while it is written.

import { createHash, hash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  existsSync,
  fsync,
  mkdirSync,
  open as openDescriptor,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, HobError, systemError } from "./errors.ts";
import { workFile } from "./store-work.ts";

export type Digest = string;

export function sha256(data: Uint8Array | string): Digest {
  return hash("sha256", data); // without a stream for it
}

export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export interface ContentHash {
  update(data: Uint8Array): void;
  /** In hex; called once. */
  digest(): Digest;
}

function sha256Hash(): ContentHash {
  const hash = createHash("sha256");
  return { update: (data) => void hash.update(data), digest: () => hash.digest("hex") };
}

async function syncedAndClosed(descriptor: number, first = (): void => {}): Promise<void> {
  try {
    first();
    await sync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const ZEROS = Buffer.alloc(32 * 1024);

/** The stretches of `data`, which lies at `offset` of a file, that are not blocks of zeros: those become holes. */
function* written(data: Uint8Array, offset: number): Iterable<{ from: number; to: number }> {
  let from = 0; // of the stretch
  for (let at = 0; at < data.length; ) {
    const end = Math.min(data.length, at + ZEROS.length - ((offset + at) % ZEROS.length));
    if (end - at === ZEROS.length && ZEROS.equals(data.subarray(at, end))) {
      if (at > from) yield { from, to: at };
      from = end;
    }
    at = end;
  }
  if (data.length > from) yield { from, to: data.length };
}

const [openLater, sync] = [promisify(openDescriptor), promisify(fsync)];

/** Written faster than another thread is told to. */
const smallBytes = 64 << 10;

export interface ContentFolder {
  readonly root: string;
  /** Where the blob lies or would lie: ROOT/ab/abcd… */
  path(digest: Digest): string;
  has(digest: Digest): boolean;
  read(digest: Digest): Buffer;
  /** Keeps `data`; with `digest` given, refuses data of another digest. Returns the digest. */
  put(data: Uint8Array, digest?: Digest): Promise<Digest>;
  /** Keeps a stream; memory is bounded by the stream's own pieces. `hash`: one that its caller looks into; it must give the sha256. */
  putStream(
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    digest?: Digest,
    hash?: ContentHash,
  ): Promise<{ digest: Digest; bytes: number }>;
  putFile(path: string): Promise<{ digest: Digest; bytes: number }>;
  size(digest: Digest): Promise<number>;
  remove(digest: Digest): Promise<void>;
  list(): AsyncIterable<Digest>;
}

/**
 * Opens (and makes) the folder. With `durable`, a blob and its name are synced before `put` returns: for content that nobody
 * else has. A blob appears under its name by rename only, so readers never see half of one.
 */
export function openContentFolder(root: string, options: { durable: boolean }): ContentFolder {
  const temporary = join(root, "tmp");
  try {
    mkdirSync(temporary, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw systemError(`opening the blob store ${root}`, error);
  }

  const path = (digest: Digest): string => {
    if (!isDigest(digest)) throw new HobError("usage", `"${digest}" is not a sha256 digest`);
    return join(root, digest.slice(0, 2), digest);
  };

  /** Absent and unreadable are the same to a caller that would fetch it. */
  const has = (digest: Digest): boolean => isDigest(digest) && existsSync(path(digest));

  /** As `has`; a blob that is there counts as put now, so that whoever collects what is old leaves it (store-work.ts, openLease). */
  function touch(digest: Digest): boolean {
    const now = Date.now() / 1000;
    try {
      utimesSync(path(digest), now, now);
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw systemError(`looking for blob ${digest.slice(0, 12)}`, error);
    }
  }

  function read(digest: Digest): Buffer {
    try {
      return readFileSync(path(digest));
    } catch (error) {
      throw systemError(`reading blob ${digest.slice(0, 12)}`, error);
    }
  }

  async function settle(handle: FileHandle, from: string, digest: Digest): Promise<void> {
    if (durable) await handle.sync();
    await handle.close();
    const target = path(digest);
    const folder = join(root, digest.slice(0, 2));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await rename(from, target);
    if (!durable) return;
    await using directory = await open(folder, "r");
    await directory.sync();
  }

  async function putStream(
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    expected?: Digest,
    hash: ContentHash = sha256Hash(),
  ) {
    const from = workFile(root, "blob");
    let bytes = 0;
    let end = 0; // of what is written
    let handle: FileHandle | undefined;
    try {
      handle = await open(from, "wx", 0o600);
      for await (const piece of pieces) {
        hash.update(piece);
        for (const { from: first, to } of written(piece, bytes)) {
          for (let at = first; at < to; ) at += (await handle.write(piece, at, to - at, bytes + at)).bytesWritten;
          end = bytes + to;
        }
        bytes += piece.byteLength;
      }
      if (end < bytes) await handle.truncate(bytes);
      const digest = hash.digest();
      if (expected !== undefined && digest !== expected) {
        throw new HobError("corrupt", `blob ${expected.slice(0, 12)}: what arrived has digest ${digest.slice(0, 12)}`);
      }
      await settle(handle, from, digest);
      return { digest, bytes };
    } catch (error) {
      await handle?.close().catch(() => {}); // already closed when the rename failed
      await rm(from, { force: true });
      throw systemError(`writing blob ${expected?.slice(0, 12) ?? ""}`.trimEnd(), error, "free some space, then try again");
    }
  }

  async function put(data: Uint8Array, expected?: Digest): Promise<Digest> {
    const digest = sha256(data);
    if (expected !== undefined && digest !== expected) {
      throw new HobError("corrupt", `blob ${expected.slice(0, 12)}: what arrived has digest ${digest.slice(0, 12)}`);
    }
    if (touch(digest)) return digest;
    if (data.byteLength > smallBytes) await putStream([data], digest);
    else if (durable) await putSmallDurably(data, digest);
    else putSmall(data, digest);
    return digest;
  }

  /** At once, on this thread: a third of what four trips to the thread pool cost, and images have ten thousands of such. */
  function putSmall(data: Uint8Array, digest: Digest): void {
    const from = workFile(root, "blob");
    const target = path(digest);
    try {
      writeFileSync(from, data, { flag: "wx", mode: 0o600 });
      try {
        renameSync(from, target);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
        mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
        renameSync(from, target);
      }
    } catch (error) {
      rmSync(from, { force: true });
      throw systemError(`writing blob ${digest.slice(0, 12)}`, error, "free some space, then try again");
    }
  }

  /** Only what may wait for the disk goes to the thread pool: four trips instead of nine, each of which wakes two threads. */
  async function putSmallDurably(data: Uint8Array, digest: Digest): Promise<void> {
    const from = workFile(root, "blob");
    const target = path(digest);
    try {
      const file = await openLater(from, "wx", 0o600);
      await syncedAndClosed(file, () => writeFileSync(file, data));
      try {
        await rename(from, target);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
        mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
        await rename(from, target);
      }
      await syncedAndClosed(openSync(dirname(target), "r"));
    } catch (error) {
      rmSync(from, { force: true });
      throw systemError(`writing blob ${digest.slice(0, 12)}`, error, "free some space, then try again");
    }
  }

  const { durable } = options;
  return {
    root,
    path,
    has,
    read,
    put,
    putStream,
    putFile: (file) => putStream(createReadStream(file, { highWaterMark: 1 << 20 })),
    size: async (digest) => (await stat(path(digest))).size,
    remove: (digest) => rm(path(digest), { force: true }),
    async *list() {
      for (const folder of await readdir(root)) {
        if (folder.length !== 2) continue;
        for (const name of await readdir(join(root, folder))) if (isDigest(name)) yield name;
      }
    },
  };
}

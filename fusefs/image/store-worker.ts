// ⑤ Entry of a thread that puts files into the store: reads, hashes and writes without waiting for anybody. From store-files.ts.

import { createHash, hash } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { openContentFolder } from "../../base/content-folder.ts";
import { errnoOf, sentenceOf, systemError } from "../../base/errors.ts";
import { workFile } from "../../base/store-work.ts";
import type { StoreAnswer, StoreRequest } from "./store-files.ts";

if (!parentPort) throw new Error("fusefs/image/store-worker runs as a worker thread");
const port = parentPort;
const store = openContentFolder((workerData as { root: string }).root, { durable: false });
// The thread writes one file at a time.
const temporary = workFile(store.root, "capture");
const WHOLE_BYTES = 4 << 20;
const piece = Buffer.allocUnsafe(1 << 20);

function keep(digest: string): void {
  mkdirSync(dirname(store.path(digest)), { recursive: true, mode: 0o700 });
  renameSync(temporary, store.path(digest));
}

function isKept(digest: string): boolean {
  const now = Date.now() / 1000;
  try {
    utimesSync(store.path(digest), now, now); // as a put does
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

function putSmall(path: string): { digest: string; bytes: number } {
  const data = readFileSync(path);
  const digest = hash("sha256", data, "hex");
  if (!isKept(digest)) {
    writeFileSync(temporary, data, { mode: 0o600 });
    keep(digest);
  }
  return { digest, bytes: data.length };
}

/** Large files are copied while they are hashed: one pass. */
function putLarge(path: string): { digest: string; bytes: number } {
  const from = openSync(path, "r");
  const to = openSync(temporary, "w", 0o600);
  try {
    const state = createHash("sha256");
    let bytes = 0;
    for (let count = readSync(from, piece); count > 0; count = readSync(from, piece)) {
      const data = piece.subarray(0, count);
      state.update(data);
      writeSync(to, data);
      bytes += count;
    }
    const digest = state.digest("hex");
    keep(digest);
    return { digest, bytes };
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

port.on("message", ({ paths }: StoreRequest) => {
  try {
    const files = paths.map((path) => (statSync(path).size > WHOLE_BYTES ? putLarge(path) : putSmall(path)));
    port.postMessage({ files } satisfies StoreAnswer);
  } catch (error) {
    rmSync(temporary, { force: true });
    const failure = systemError("storing the files of this machine", error, "free some space, then try again");
    port.postMessage({ failure: { kind: failure.kind, message: sentenceOf(failure) } } satisfies StoreAnswer);
  }
});

// ⑤ Puts many files into the store quickly, on two threads beside the caller's.

import { Worker } from "node:worker_threads";
import { type ErrorKind, HobError } from "../../base/errors.ts";
import { entryFile } from "../../base/install.ts";

export interface StoreRequest {
  paths: string[];
}
/** In the order of the request. */
export type StoreAnswer = { files: { digest: string; bytes: number }[] } | { failure: { kind: ErrorKind; message: string } };

export interface StoredFile {
  path: string;
  digest: string;
  bytes: number;
}

// Measured: thousands of small files are bound by system calls on their way to the disk; two cores keep two threads busy.
const THREADS = 2;
const BATCH_FILES = 128;
const BATCH_BYTES = 16 << 20;

/** Batches of bounded size; the largest files first, so that no thread is left alone with one. */
function batches(files: readonly { path: string; size: number }[]): string[][] {
  const result: string[][] = [];
  let current: string[] = [];
  let bytes = 0;
  for (const { path, size } of [...files].sort((a, b) => b.size - a.size)) {
    if (current.length > 0 && (current.length >= BATCH_FILES || bytes + size > BATCH_BYTES)) {
      result.push(current);
      [current, bytes] = [[], 0];
    }
    current.push(path);
    bytes += size;
  }
  if (current.length > 0) result.push(current);
  return result;
}

function askWorker(worker: Worker, paths: string[]): Promise<StoreAnswer> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      worker.off("message", answered);
      worker.off("error", failed);
      worker.off("exit", ended);
      settle();
    };
    const answered = (answer: StoreAnswer): void => done(() => resolve(answer));
    const failed = (error: Error): void => done(() => reject(error));
    const ended = (): void => done(() => reject(new HobError("cancelled", "storing files: a thread was ended")));
    worker.on("message", answered).on("error", failed).on("exit", ended);
    worker.postMessage({ paths } satisfies StoreRequest);
  });
}

/** Stores every file below `root`'s store; `stored` hears of each. A file that cannot be read or written is a HobError. */
export async function storeFiles(
  root: string,
  files: readonly { path: string; size: number }[],
  stored: (file: StoredFile) => void,
  signal?: AbortSignal,
): Promise<void> {
  const queue = batches(files);
  const entry = entryFile("fusefs/image/store-worker");
  const workers = queue.slice(0, THREADS).map(() => new Worker(entry, { workerData: { root }, name: "store" }));
  const end = (): void => {
    for (const worker of workers) void worker.terminate();
  };
  signal?.addEventListener("abort", end, { once: true });
  try {
    await Promise.all(
      workers.map(async (worker) => {
        for (let paths = queue.shift(); paths; paths = queue.shift()) {
          signal?.throwIfAborted();
          const answer = await askWorker(worker, paths);
          if ("failure" in answer) throw new HobError(answer.failure.kind, answer.failure.message);
          for (const [index, file] of answer.files.entries()) stored({ path: paths[index] as string, ...file });
        }
      }),
    );
  } finally {
    signal?.removeEventListener("abort", end);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

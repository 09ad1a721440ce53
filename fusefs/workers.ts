// ⑤ The FUSE worker threads, from the daemon's side: starts them, speaks to them, adds up what they count.

import { closeSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { HobError } from "../base/errors.ts";
import { entryFile } from "../base/install.ts";
import type { FuseStats } from "./server.ts";
import { COUNT_SLOTS, PASSTHROUGH_SLOT } from "./session-loop.ts";
import { eventfd } from "./syscalls.ts";
import { eventfdFlag } from "./wire/constants.ts";
import { opcodeTable } from "./wire/opcodes.ts";
import type { FromWorker, ToWorker, WorkerData } from "./worker-messages.ts";

export interface WorkerThreads extends AsyncDisposable {
  readonly count: number;
  send(worker: number, message: ToWorker): void;
  broadcast(message: ToWorker): void;
  counts(): Pick<FuseStats, "requests" | "passthroughOpens">;
}

export interface WorkerThreadsOptions {
  count: number;
  store: string;
  heard(message: FromWorker): void;
  /** A worker died: the daemon cannot go on. */
  failed(error: Error): void;
}

const one = Buffer.from(new BigUint64Array([1n]).buffer);

export function startWorkerThreads(options: WorkerThreadsOptions): WorkerThreads {
  const threads = Array.from({ length: options.count }, (_, worker) => {
    const wake = eventfd(eventfdFlag.nonblock | eventfdFlag.cloexec);
    if (wake < 0) throw new HobError("unavailable", "starting FUSE workers: no eventfd to be had");
    const counts = new SharedArrayBuffer(COUNT_SLOTS * 8);
    const workerData: WorkerData = { worker, store: options.store, eventfd: wake, counts };
    const thread = new Worker(entryFile("fusefs/worker"), { workerData, name: `fuse-${worker}` });
    let stopping = false;
    const ended = new Promise<void>((resolve) => {
      thread.on("message", options.heard);
      thread.on("error", options.failed);
      thread.on("exit", () => {
        if (!stopping) options.failed(new Error(`FUSE worker ${worker} ended by itself`));
        resolve();
      });
    });
    const send = (message: ToWorker): void => {
      thread.postMessage(message);
      writeSync(wake, one);
    };
    // The thread blocks in epoll_wait, where terminate() cannot reach it: it has to be told.
    async function stop(): Promise<void> {
      stopping = true;
      send({ kind: "stop" });
      await ended;
      closeSync(wake);
    }
    return { send, stop, counts: new Float64Array(counts) };
  });

  return {
    count: threads.length,
    send: (worker, message) => threads[worker]?.send(message),
    broadcast(message) {
      for (const thread of threads) thread.send(message);
    },
    counts() {
      const sum = (slot: number): number => threads.reduce((total, { counts }) => total + (counts[slot] as number), 0);
      const requests: Record<string, number> = {};
      for (const { opcode, name } of opcodeTable) if (sum(opcode) > 0) requests[name] = sum(opcode);
      return { requests, passthroughOpens: sum(PASSTHROUGH_SLOT) };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map((thread) => thread.stop()));
    },
  };
}

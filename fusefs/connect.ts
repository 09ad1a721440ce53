// ⑤ Starts the FUSE daemon, by way of the thread that outlives it (holder.ts), and speaks to it. A daemon's death is mended there; its end is noticed here.

import { mkdirSync, rmSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { HobError, systemError } from "../base/errors.ts";
import { entryFile } from "../base/install.ts";
import {
  type Call,
  type DaemonOptions,
  type FromDaemon,
  type FromHolder,
  fromWire,
  type Method,
  type ToHolder,
  toWire,
} from "./ipc.ts";
import type { SeenRead } from "./read-log.ts";
import type { FuseServer, FuseServerOptions, FuseStats } from "./server.ts";

/** The thread, in an empty folder for what daemons leave to each other. */
function launch(options: DaemonOptions): Worker {
  try {
    rmSync(options.run, { recursive: true, force: true });
    mkdirSync(options.run, { recursive: true, mode: 0o700 });
    return new Worker(entryFile("fusefs/holder"), { workerData: options, name: "fuse-holder" });
  } catch (error) {
    throw systemError("starting the FUSE daemon", error);
  }
}

/**
 * A running daemon. HobError `precondition`, in one sentence, when the machine has no /dev/fuse, or hob is not root, or the kernel is
 * too old. Disposing of it unmounts all that it mounted.
 */
export async function startFuseServer(options: FuseServerOptions): Promise<FuseServer> {
  const { store, logFile, run, passthrough = true, workers = 0, view = process.env["HOB_IMAGE_VIEW"] ?? "" } = options;
  const holder = launch({ store, logFile, run, passthrough, workers, view });
  const answers = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  const ready = Promise.withResolvers<Extract<FromDaemon, { kind: "ready" }>>();
  const closed = Promise.withResolvers<string>();
  let nextId = 1;
  let gone: HobError | undefined;
  let pid = 0;

  const send = (message: ToHolder): void => holder.postMessage(message);

  function fetch({ digest, chunk }: Extract<FromDaemon, { kind: "fetch" }>): void {
    const what = { kind: "fetched" as const, digest, ...(chunk === undefined ? {} : { chunk }) };
    options.fetch(digest, chunk).then(
      () => send(what),
      (error) => send({ ...what, failure: toWire(error) }),
    );
  }

  holder.on("message", (message: FromHolder) => {
    if (message.kind === "fetch") fetch(message);
    else if (message.kind === "ready") ready.resolve(message);
    else if (message.kind === "refused") ready.reject(fromWire(message.failure));
    else if (message.kind === "answer") answered(message);
    else if (message.kind === "began") {
      if (pid !== 0) options.replaced?.(message.pid);
      pid = message.pid;
    } else if (message.kind === "ended") ended(message.reason);
    else options.turn?.(message);
  });
  function answered({ id, result, failure }: Extract<FromDaemon, { kind: "answer" }>): void {
    const answer = answers.get(id);
    answers.delete(id);
    if (failure) answer?.reject(fromWire(failure));
    else answer?.resolve(result);
  }
  function ended(reason: string): void {
    gone = new HobError("unavailable", `the FUSE daemon has ended: ${reason}`);
    ready.reject(gone);
    for (const answer of answers.values()) answer.reject(gone);
    answers.clear();
    closed.resolve(reason);
  }
  holder.on("error", (error) => ended(error.message));

  function call<M extends Method>(method: M, args: Parameters<FuseServer[M]>): Promise<unknown> {
    if (gone) return Promise.reject(gone);
    const id = nextId++;
    return new Promise((resolve, reject) => {
      answers.set(id, { resolve, reject });
      send({ kind: "call", id, method, args } as Call);
    });
  }

  async function dispose(): Promise<void> {
    if (!gone) send({ kind: "end" });
    await closed.promise;
    await holder.terminate();
    rmSync(run, { recursive: true, force: true });
  }

  const started = await ready.promise.catch(async (error) => {
    await dispose();
    throw error;
  });
  return {
    passthrough: started.passthrough,
    idmap: started.idmap,
    view: started.view,
    get pid() {
      return pid;
    },
    replace: () => send({ kind: "replace" }),
    mountImage: async (...args) => void (await call("mountImage", args)),
    mountBlobs: async (...args) => void (await call("mountBlobs", args)),
    mountSnapshots: async (...args) => void (await call("mountSnapshots", args)),
    addContainer: async (...args) => void (await call("addContainer", args)),
    addSnapshot: async (...args) => void (await call("addSnapshot", args)),
    removeSnapshot: async (...args) => void (await call("removeSnapshot", args)),
    removeContainer: async (...args) => void (await call("removeContainer", args)),
    unmount: async (...args) => void (await call("unmount", args)),
    reads: async (...args) => (await call("reads", args)) as SeenRead[],
    stats: async () => (await call("stats", [])) as FuseStats,
    closed: closed.promise,
    [Symbol.asyncDispose]: dispose,
  };
}

// ⑤ Starts the FUSE daemon as a child of the agent and speaks to it. Its death is noticed, and what it leaves can be detached.

import { type ChildProcess, fork } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { HobError, systemError } from "../base/errors.ts";
import { entryFile } from "../base/install.ts";
import { type FromDaemon, fromWire, type Method, type ToDaemon, toWire } from "./ipc.ts";
import type { SeenRead } from "./read-log.ts";
import type { FuseServer, FuseServerOptions, FuseStats } from "./server.ts";

// The daemon needs milliseconds, and ends itself after 2 s: this is for one that is stuck in the kernel.
const END_TIMEOUT_MS = 5000;

function launch(logFile: string): ChildProcess {
  try {
    if (logFile !== "-") mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
    const stderr = logFile === "-" ? 2 : openSync(logFile, "a", 0o600);
    try {
      // A small young generation: the daemon makes little that it throws away, and its memory is to be as small as that.
      const execArgv = ["--max-semi-space-size=2"];
      // "ignore", not pipes: nothing of the daemon may keep a terminal or a pipe of the agent's caller open.
      return fork(entryFile("fusefs/daemon"), [], { stdio: ["ignore", "ignore", stderr, "ipc"], execArgv, cwd: "/" });
    } finally {
      if (stderr !== 2) closeSync(stderr);
    }
  } catch (error) {
    throw systemError("starting the FUSE daemon", error);
  }
}

/**
 * A running daemon. HobError `precondition`, in one sentence, when the machine has no /dev/fuse, or hob is not root, or the kernel is
 * too old. Disposing of it unmounts all that it mounted.
 */
export async function startFuseServer(options: FuseServerOptions): Promise<FuseServer> {
  const child = launch(options.logFile);
  const answers = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  const ready = Promise.withResolvers<Extract<FromDaemon, { kind: "ready" }>>();
  const closed = Promise.withResolvers<string>();
  let nextId = 1;
  let gone: HobError | undefined;

  const send = (message: ToDaemon): void => {
    if (child.connected) child.send(message);
  };

  function fetch({ digest, chunk }: Extract<FromDaemon, { kind: "fetch" }>): void {
    const what = { kind: "fetched" as const, digest, ...(chunk === undefined ? {} : { chunk }) };
    options.fetch(digest, chunk).then(
      () => send(what),
      (error) => send({ ...what, failure: toWire(error) }),
    );
  }

  child.on("message", (message: FromDaemon) => {
    if (message.kind === "fetch") fetch(message);
    else if (message.kind === "ready") ready.resolve(message);
    else if (message.kind === "refused") ready.reject(fromWire(message.failure));
    else {
      const answer = answers.get(message.id);
      answers.delete(message.id);
      if (message.failure) answer?.reject(fromWire(message.failure));
      else answer?.resolve(message.result);
    }
  });
  function ended(reason: string): void {
    gone = new HobError("unavailable", `the FUSE daemon has ended: ${reason}`);
    ready.reject(gone);
    for (const answer of answers.values()) answer.reject(gone);
    answers.clear();
    closed.resolve(reason);
  }
  child.on("error", (error) => ended(error.message));
  child.on("exit", (code, signal) => ended(signal ? `it was ended by ${signal}` : `it exited with code ${code}`));

  function call<M extends Method>(method: M, args: Parameters<FuseServer[M]>): Promise<unknown> {
    if (gone) return Promise.reject(gone);
    const id = nextId++;
    return new Promise((resolve, reject) => {
      answers.set(id, { resolve, reject });
      send({ kind: "call", id, method, args } as ToDaemon);
    });
  }

  async function dispose(): Promise<void> {
    if (child.connected) child.disconnect();
    const kill = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
    await closed.promise;
    clearTimeout(kill);
  }

  const { store, logFile, passthrough = true, workers = 0, view = process.env["HOB_IMAGE_VIEW"] ?? "" } = options;
  send({ kind: "start", options: { store, logFile, passthrough, workers, view } });
  const started = await ready.promise.catch(async (error) => {
    await dispose();
    throw error;
  });
  return {
    passthrough: started.passthrough,
    idmap: started.idmap,
    view: started.view,
    pid: child.pid as number,
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

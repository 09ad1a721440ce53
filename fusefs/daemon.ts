// ⑤ Entry of the FUSE daemon: a child of the agent, told what to do over Node's IPC. It ends, unmounting all, when that channel closes. When it is
// killed, its mounts stay, and another takes over (holder.ts).

import { openContentFolder } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import { openLog } from "../base/log.ts";
import { chooseView } from "./erofs/choice.ts";
import { sweepNames } from "./erofs/names.ts";
import { probeTiered } from "./erofs/probe.ts";
import { type Before, type DaemonOptions, type FromDaemon, fromWire, type ToDaemon, toWire } from "./ipc.ts";
import { createMounts, type Mounts } from "./mounts.ts";
import { probeFuse } from "./probe.ts";
import type { Keeper } from "./records.ts";
import { startWorkerThreads } from "./workers.ts";

// Measured on two cores, whole trees read by one and by four readers: a second thread gains nothing while reads bypass us. Where they
// do not, it keeps answering while the first waits for the disk.
const defaultWorkers = (passthrough: boolean): number => (passthrough ? 1 : 2);

// Should a worker not hear that it is to stop, the process ends all the same, and the kernel takes its mounts down.
const EXIT_TIMEOUT_MS = 2000;

let mounts: Mounts | undefined;
const fetching = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();

function send(message: FromDaemon): void {
  if (process.connected) process.send?.(message);
}

const fetchKey = (digest: string, chunk: number | undefined): string => `${digest}:${chunk ?? ""}`;

function fetchFromAgent(digest: string, chunk?: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fetching.set(fetchKey(digest, chunk), { resolve, reject });
    send({ kind: "fetch", digest, ...(chunk === undefined ? {} : { chunk }) });
  });
}

/** What this machine can do: found out by the first daemon, and known to those after it. */
async function findOut(options: DaemonOptions): Promise<Before["ready"]> {
  const probe = await probeFuse(`${options.store}/tmp`);
  if (!probe.fuse) throw new HobError("precondition", probe.reason);
  const used = options.passthrough && probe.passthrough;
  const view = chooseView(options.view, options.view === "tree" ? "" : probeTiered(`${options.store}/tmp`));
  const reason = used ? "" : options.passthrough ? probe.reason : "it was switched off";
  return { kind: "ready", passthrough: { used, reason }, idmap: probe.idmap, view };
}

async function start({ options, before }: Extract<ToDaemon, { kind: "start" }>): Promise<void> {
  const log = openLog("fusefs", options.logFile);
  const store = openContentFolder(options.store, { durable: false });
  const ready = before?.ready ?? (await findOut(options));
  if (!before) await sweepNames(store);
  const failed = (error: Error): void => {
    log.fatal({ error: error.stack }, "a worker died");
    process.kill(process.pid, "SIGKILL"); // mounts stay, for the daemon after us
  };
  const passthrough = ready.passthrough.used;
  const serving = createMounts({
    store,
    fetch: fetchFromAgent,
    passthrough,
    view: ready.view.kind,
    workers: options.workers || defaultWorkers(passthrough),
    run: options.run,
    keeper,
    log,
    failed,
  });
  if (before) await serving.takeOver(before);
  mounts = serving;
  log.info({ ...ready, tookOver: before?.mounts.length }, "ready");
  send(ready);
}

/** Before the daemon that serves is ended for us: all that can fail of what is installed should fail here. */
async function rehearse({ store }: DaemonOptions): Promise<void> {
  openContentFolder(store, { durable: false });
  let failure: Error | undefined;
  const failed = (error: Error): void => {
    failure ??= error;
  };
  await startWorkerThreads({ count: 1, store, heard: () => {}, failed })[Symbol.asyncDispose]();
  if (failure) throw failure;
  send({ kind: "rehearsed" });
}

let nextHold = 1;
const holding = new Map<number, () => void>();
const keeper: Keeper = {
  hold(mount, obstacle) {
    const id = nextHold++;
    return new Promise((resolve) => {
      holding.set(id, resolve);
      send({ kind: "hold", id, mount, obstacle });
    });
  },
  letGo: (mount) => send({ kind: "letGo", mount }),
  keep: (key, value) => send({ kind: "keep", key, value }),
  forget: (key) => send({ kind: "forget", key }),
};

async function end(code: number): Promise<void> {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), EXIT_TIMEOUT_MS).unref();
  await mounts?.close();
  process.exit(code);
}

async function call(message: Extract<ToDaemon, { kind: "call" }>): Promise<void> {
  try {
    if (!mounts) throw new HobError("internal", `${message.method} was called before the FUSE daemon was ready`);
    if (message.again && mounts.isDone(message)) return send({ kind: "answer", id: message.id });
    const method = mounts[message.method] as (...args: unknown[]) => Promise<unknown>;
    send({ kind: "answer", id: message.id, result: await method(...message.args) });
  } catch (error) {
    send({ kind: "answer", id: message.id, failure: toWire(error) });
  }
}

function fetched({ digest, chunk, failure }: Extract<ToDaemon, { kind: "fetched" }>): void {
  const waiting = fetching.get(fetchKey(digest, chunk));
  fetching.delete(fetchKey(digest, chunk));
  if (failure) waiting?.reject(fromWire(failure));
  else waiting?.resolve();
}

process.on("message", (message: ToDaemon) => {
  if (message.kind === "call") void call(message);
  else if (message.kind === "fetched") fetched(message);
  else if (message.kind === "held") {
    holding.get(message.id)?.();
    holding.delete(message.id);
  } else {
    const begun = message.kind === "rehearse" ? rehearse(message.options) : start(message);
    begun.catch((error) => {
      send({ kind: "refused", failure: toWire(error) });
    });
  }
});
process.on("disconnect", () => void end(0));
if (!process.connected) void end(0); // while we were being loaded
// The terminal's signals reach the whole foreground group: the agent decides when we end.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

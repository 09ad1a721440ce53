// ⑤ Entry of a thread of the agent that outlives the FUSE daemon: it starts the daemon, keeps the kernel's descriptors, and starts another when one dies.
// A thread of its own, for the agent's main thread may itself wait for a file of a mount whose daemon has just died.

import { type ChildProcess, fork } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { sentenceOf } from "../base/errors.ts";
import { entryFile } from "../base/install.ts";
import type { Before, Call, DaemonOptions, FromDaemon, FromHolder, HeldMount, ToDaemon, ToHolder } from "./ipc.ts";
import { close, copyDescriptors } from "./syscalls.ts";

if (!parentPort) throw new Error("fusefs/holder runs as a worker thread of the agent");
const port = parentPort;
const options = workerData as DaemonOptions;

// The daemon needs milliseconds, and ends itself after 2 s: this is for one that is stuck in the kernel.
const END_TIMEOUT_MS = 5000;
/** After its channel has ended, for the word of how it ended. */
const EXIT_GRACE_MS = 20;
/** One that lived as long is started again whatever was before; of those that did not, so many. */
const SETTLED_MS = 1000;
const DEATHS_ALLOWED = 20;
/** For one that is to take over to load: a tenth of a second where the machine has nothing else to do. */
const REHEARSAL_MS = 10_000;
/** What a process has before what it inherits: stdin, stdout, stderr, and Node's channel. */
const INHERITED = 4;

const held = new Map<number, HeldMount>(); // with descriptors of ours
const records = new Map<string, unknown>();
const pending = new Map<number, Call>();
/** Counts up with `held`: a daemon inherits what was held at its birth. */
let changes = 0;
let child: ChildProcess | undefined;
let ready: Before["ready"] | undefined; // what the first daemon found
let serves = false; // the present one
let bornMs = 0;
let deaths = 0;
let ending = false;
/** Why the daemon's death would be the end of its mounts; "" when it would not. */
let obstacle = "";

const tell = (message: FromHolder): void => port.postMessage(message);

function send(message: ToDaemon): void {
  if (child?.connected) child.send(message);
}

interface Born {
  process: ChildProcess;
  /** With the numbers that the descriptors have there. */
  mounts: HeldMount[];
  asOf: number; // of `changes`
}

/** A daemon's process, from the files that are installed now. */
function bear(): Born {
  let next = INHERITED;
  const mounts = [...held.values()].map((mount) => ({ ...mount, fds: mount.fds.map(() => next++) }));
  if (options.logFile !== "-") mkdirSync(dirname(options.logFile), { recursive: true, mode: 0o700 });
  const stderr = options.logFile === "-" ? 2 : openSync(options.logFile, "a", 0o600);
  // "ignore", not pipes: nothing of the daemon may keep a terminal or a pipe of the agent's caller open.
  const stdio = ["ignore" as const, "ignore" as const, stderr, "ipc" as const, ...[...held.values()].flatMap(({ fds }) => fds)];
  // A small young generation: the daemon makes little that it throws away, and its memory is to be as small as that.
  const execArgv = ["--max-semi-space-size=2"];
  try {
    return { process: fork(entryFile("fusefs/daemon"), [], { stdio, execArgv, cwd: "/" }), mounts, asOf: changes };
  } finally {
    if (stderr !== 2) closeSync(stderr);
  }
}

/** From here on it is the node's daemon. */
function employ({ process: born, mounts }: Born): void {
  child = born;
  bornMs = performance.now();
  born.on("message", (message: FromDaemon) => heard(message));
  // Of what it has said before it died all is heard before another begins: the end of its channel is its end. Its exit may be told late: the kernel
  // wakes the agent's main thread for it (SIGCHLD), and that may wait for this very mount.
  let reason = "";
  let told = false;
  const tellDeath = (): void => {
    if (told) return;
    told = true;
    died(reason || "its channel ended");
  };
  born.on("exit", (code, signal) => {
    reason = endOf(code, signal);
    if (!born.connected) tellDeath();
  });
  born.on("disconnect", () => {
    if (reason !== "") return tellDeath();
    if (ending) return; // it unmounts, then exits
    born.kill("SIGKILL"); // dead already, or to die
    // Where none takes over, whoever hears of it finds the mounts without a daemon: this one has to be gone.
    setTimeout(tellDeath, obstacle === "" ? EXIT_GRACE_MS : END_TIMEOUT_MS);
  });
  born.on("error", (error) => {
    if (born.pid === undefined) died(error.message); // it never began; otherwise it is a message that came too late for it
  });
  tell({ kind: "began", pid: born.pid ?? 0 });
  const before = ready && { ready, mounts, records: [...records] };
  send({ kind: "start", options, ...(before ? { before } : {}) });
}

const endOf = (code: number | null, signal: NodeJS.Signals | null): string =>
  signal ? `it was ended by ${signal}` : `it exited with code ${code}`;

/** One that is to take over from a daemon that serves. It waits for that one's end once it has shown that it starts. */
interface Heir {
  born: Born;
  isReady: boolean;
  leave(): void;
}
let heir: Heir | undefined;

const keep = (reason: string): void => tell({ kind: "kept", reason });
const startsNot = (reason: string): void => keep(`the one that is installed now does not start: ${reason}`);

/** Ends the daemon for another, but not before that one is known to start: a half-written installation must not be the end of the containers. */
function replace(): void {
  if (!child || !serves || heir || ending) return;
  if (obstacle === "") rehearse();
  else keep(`its end would be that of all containers: ${obstacle}`);
}

function rehearse(): void {
  let born: Born;
  try {
    born = bear();
  } catch (error) {
    startsNot(sentenceOf(error));
    return;
  }
  const fail = (reason: string): void => {
    mine.leave();
    born.process.kill("SIGKILL");
    heir = undefined;
    startsNot(reason);
  };
  const onMessage = (message: FromDaemon): void => {
    if (message.kind === "rehearsed") {
      clearTimeout(timer);
      mine.isReady = true;
      child?.kill("SIGKILL");
    } else fail(message.kind === "refused" ? message.failure.message : "it is another version's");
  };
  const onExit = (code: number | null, signal: NodeJS.Signals | null): void => fail(endOf(code, signal));
  const onError = (error: Error): void => fail(error.message);
  const timer = setTimeout(() => fail(`it was not ready after ${REHEARSAL_MS / 1000} s`), REHEARSAL_MS);
  const mine: Heir = {
    born,
    isReady: false,
    leave() {
      clearTimeout(timer);
      born.process.off("message", onMessage).off("exit", onExit).off("error", onError);
      born.process.on("error", () => {}); // what it is told no more is no loss
    },
  };
  heir = mine;
  born.process.on("message", onMessage).on("exit", onExit).on("error", onError);
  born.process.send({ kind: "rehearse", options } satisfies ToDaemon);
}

/** The heir, if it is ready and has inherited all; else it ends. */
function inherit(): Born | undefined {
  const before = heir;
  heir = undefined;
  before?.leave();
  if (before?.isReady && before.born.asOf === changes && !ending) return before.born;
  before?.born.process.kill("SIGKILL");
  return undefined;
}

function heard(message: FromDaemon): void {
  if (message.kind === "hold") hold(message);
  else if (message.kind === "letGo") letGo(message.mount);
  else if (message.kind === "keep") records.set(message.key, message.value);
  else if (message.kind === "forget") {
    records.delete(message.key);
    if (message.key.endsWith("/")) for (const key of records.keys()) if (key.startsWith(message.key)) records.delete(key);
  } else if (message.kind === "ready") {
    serves = true;
    if (!ready) tell(message);
    ready ??= message;
    // What the one before was asked may be done or not.
    for (const call of pending.values()) send({ ...call, again: true });
  } else if (message.kind === "refused" && ready) {
    obstacle = message.failure.message;
    child?.disconnect(); // it ends
  } else if (message.kind !== "rehearsed") {
    if (message.kind === "answer") pending.delete(message.id);
    tell(message);
  }
}

/** The daemon waits with its mount for this: from here on the mount does not end with it. */
function hold({ id, mount, obstacle: named }: Extract<FromDaemon, { kind: "hold" }>): void {
  const before = obstacle;
  obstacle ||= named;
  try {
    if (obstacle === "") held.set(mount.id, { ...mount, fds: copyDescriptors(child?.pid ?? 0, mount.fds) });
    changes++;
  } catch (error) {
    obstacle = sentenceOf(error);
  }
  if (obstacle !== before) tell({ kind: "obstacle", reason: obstacle });
  send({ kind: "held", id });
}

function letGo(mount: number): void {
  for (const fd of held.get(mount)?.fds ?? []) close(fd);
  held.delete(mount);
  changes++;
}

function died(reason: string): void {
  child = undefined;
  const wasServing = serves;
  serves = false;
  const born = inherit();
  if (born) {
    deaths = 0;
    tell({ kind: "upgraded", reason: "" });
    employ(born);
    return;
  }
  deaths = performance.now() - bornMs < SETTLED_MS ? deaths + 1 : 0;
  if (ending || !ready || obstacle !== "" || deaths > DEATHS_ALLOWED || (!wasServing && deaths > 2)) {
    finish(wasServing || obstacle === "" ? reason : `${reason}: ${obstacle}`);
  } else {
    tell({ kind: "died", reason });
    employ(bear());
  }
}

function finish(reason: string): void {
  for (const mount of [...held.keys()]) letGo(mount);
  tell({ kind: "ended", reason });
  port.close();
}

function end(): void {
  ending = true;
  if (!child) return;
  if (child.connected) child.disconnect();
  const stuck = child;
  setTimeout(() => stuck.kill("SIGKILL"), END_TIMEOUT_MS).unref();
}

port.on("message", (message: ToHolder) => {
  if (message.kind === "end") end();
  else if (message.kind === "replace") replace();
  else if (message.kind === "call") {
    pending.set(message.id, message);
    if (serves) send(message);
  } else send(message);
});

try {
  employ(bear());
} catch (error) {
  finish(sentenceOf(error));
}

// ③ Finds this installation's control, or starts it: one pool for each checkout and state folder, whoever comes first.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { entryFile, installRoot } from "../base/install.ts";
import { type PoolPaths, poolPaths } from "../base/paths.ts";
import { unixAddress } from "../proto/address.ts";
import { requireMachine } from "./prerequisites.ts";
import { decodeReport } from "./start-report.ts";
import { takeTurn } from "./start-turn.ts";

/** A former control may take this long to end, and a new one this long to listen. */
const startTimeoutMs = 20_000;

export interface EmbeddedOptions {
  /** How long the pool stays after its last client has gone, when this client is the one that starts it. */
  lingerMs: number;
}

/** A function that gives the address of a control that answers, starting one where there is none. */
export function connectEmbedded(options: EmbeddedOptions): () => Promise<string> {
  const paths = poolPaths(installRoot);
  let pending: Promise<string> | undefined;
  return () => {
    pending ??= findOrStart(paths, options.lingerMs).finally(() => {
      pending = undefined;
    });
    return pending;
  };
}

/** Whether somebody listens on this socket. */
export function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

async function findOrStart(paths: PoolPaths, lingerMs: number): Promise<string> {
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    if (await answers(paths.socket)) return unixAddress(paths.socket);
    requireMachine();
    using turn = await takeTurn(paths.key, deadline - performance.now());
    if (!turn) continue; // another client had it until now: look again
    try {
      if (await answers(paths.socket)) return unixAddress(paths.socket);
      await startControl(paths, lingerMs);
      return unixAddress(paths.socket);
    } catch (error) {
      // A control that is on its way out holds the state until it is gone: then it is our turn.
      const held = error instanceof HobError && error.kind === "precondition" && holderLives(paths.state);
      if (!held || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Whether the control that last opened this state still runs; a zombie does not. */
export function holderLives(state: string): boolean {
  try {
    const pid = readFileSync(join(state, "control.pid"), "utf8").trim();
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return false;
    throw systemError(`looking for the control of ${state}`, error);
  }
}

async function startControl(paths: PoolPaths, lingerMs: number): Promise<void> {
  const logs = join(paths.state, "logs");
  const outputFile = join(logs, "control.out");
  const child = spawnControl(logs, outputFile, lingerMs);
  const report = decodeReport(await firstReport(child));
  if (report?.state === "ready") return;
  if (report) throw new HobError(report.kind, report.message);
  throw new HobError("unavailable", `control did not start${lastLine(outputFile)}`, { remedy: `see ${outputFile}` });
}

/**
 * For the pool's processes (the agent gets them from control): most of their code runs seldom and has to be quick when it does, so it is compiled at
 * once, and by the middle compiler after 8 calls, not 400 (a save takes a sixth less): as in bin/hob, for those that are started by hand. One thread does
 * that; it is done with a save's code before anybody saves (proto/practice.ts). A small young generation, for what they make is short-lived (50 MB less
 * after 1,000 saves). One thread marks and one optimises, and memory is given back after a minute of less work: else those take both of two cores at
 * once. The heap grows by 30 % before it is looked at: left to itself it would double, all of it garbage.
 */
const daemonFlags = [
  "--always-sparkplug",
  "--maglev",
  "--invocation-count-for-maglev=8",
  "--minimum-invocations-after-ic-update=8",
  "--concurrent-maglev-max-threads=1",
  "--max-semi-space-size=2",
  "--heap-growing-percent=30",
  "--concurrent-marking-max-worker-num=1",
  "--concurrent-turbofan-max-threads=1",
  "--gc-memory-reducer-start-delay-ms=60000",
];

function spawnControl(logs: string, outputFile: string, lingerMs: number): ChildProcess {
  let output: number;
  try {
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    output = openSync(outputFile, "w", 0o600);
  } catch (error) {
    throw systemError(`making ${logs}`, error, "hob keeps its state there; XDG_STATE_HOME moves it");
  }
  try {
    const flags = ["control", "--embedded", "--linger", String(lingerMs / 1000)];
    return spawn(process.execPath, [...process.execArgv, ...daemonFlags, entryFile("cli/main"), ...flags], {
      cwd: "/", // the client's folder may be deleted long before control ends
      detached: true, // a session of its own: the terminal's ctrl-c is the client's alone
      stdio: ["ignore", output, output, "pipe"],
      env: { ...process.env, HOB_START_REPORT_FD: "3" },
    });
  } finally {
    closeSync(output);
  }
}

/** What the child says of its start; "" when it ended without a word. Afterwards nothing ties the two together. */
async function firstReport(child: ChildProcess): Promise<string> {
  const pipe = child.stdio[3] as Readable;
  const failed = new Promise<never>((_, reject) =>
    child.once("error", (error) => reject(systemError("starting control", error))),
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new HobError("unavailable", `control has not started within ${startTimeoutMs / 1000} s`);
    timer = setTimeout(() => reject(error), startTimeoutMs);
  });
  try {
    return await Promise.race([text(pipe), failed, late]);
  } finally {
    clearTimeout(timer);
    pipe.destroy();
    child.unref();
  }
}

function lastLine(file: string): string {
  const line = readFileSync(file, "utf8").trimEnd().split("\n").at(-1);
  return line ? `: ${line}` : "";
}

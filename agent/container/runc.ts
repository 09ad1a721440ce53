// ⑤ runc: creates a container's process, lets it start, forgets it. Everything between is ours.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { errnoOf, HobError } from "../../base/errors.ts";
import type { CgroupPaths } from "./cgroup.ts";
import type { ProcessId } from "./process.ts";

export interface Created {
  init: ProcessId;
  cgroups: CgroupPaths;
  /** The other end of the runner's fd 3. */
  socket: Duplex;
  /** What the runner itself writes to its stdout and stderr. */
  output: Readable[];
  /** Lets the process go on. What it returns is kept until the runner is heard. */
  begin(): Disposable;
}

export interface RuncPlace {
  /** RUN/runc: a folder a container, with its state.json. */
  root: string;
  /** The container's folder, with config.json. */
  bundle: string;
  id: string;
}

interface RuncState {
  init_process_pid: number;
  init_process_start: number;
  cgroup_paths: CgroupPaths;
}

export function readRuncState(folder: string): { init: ProcessId; cgroups: CgroupPaths } | undefined {
  try {
    const state = JSON.parse(readFileSync(join(folder, "state.json"), "utf8")) as RuncState;
    return { init: { pid: state.init_process_pid, startTime: state.init_process_start }, cgroups: state.cgroup_paths };
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined; // runc was killed before it had written it
    throw error;
  }
}

/** The last thing that runc said, from its log of JSON lines. */
export function lastComplaint(log: string): string {
  const line = log.trimEnd().split("\n").at(-1) ?? "";
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === "string" ? msg : line;
  } catch {
    return line; // not JSON: runc itself could not start, and the line is the message
  }
}

/**
 * Creates the process, stopped just before its first instruction. Rejects with runc's own last words. It is never interrupted: a runc
 * that is killed half-way leaves a process that nobody knows.
 */
export async function createProcess(place: RuncPlace, spec: unknown): Promise<Created> {
  const { root, bundle, id } = place;
  const logFile = join(bundle, "runc.log");
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const args = [
    "--root",
    root,
    "--log",
    logFile,
    "--log-format",
    "json",
    "create",
    "--bundle",
    bundle,
    "--preserve-fds",
    "1",
    id,
  ];
  const runc = spawn("runc", args, { stdio: ["ignore", "pipe", "pipe", "pipe"] });
  const socket = runc.stdio[3] as Duplex;
  const output = [runc.stdout as Readable, runc.stderr as Readable];
  const [code, killed] = (await once(runc, "exit")) as [number | null, string | null];
  if (code !== 0) {
    for (const stream of [socket, ...output]) stream.destroy();
    const log = await readFile(logFile, "utf8").catch(() => ""); // runc may have ended before it made one
    const words = lastComplaint(log) || (killed ? `killed by ${killed}` : `exit code ${code}`);
    throw new HobError("unavailable", `runc create ${id}: ${words}`, { remedy: "hob doctor says what this machine lacks" });
  }
  const state = readRuncState(join(root, id));
  if (!state) throw new HobError("internal", `runc create ${id}: it succeeded but left no state.json`);
  return { ...state, socket, output, begin: () => openStart(place) };
}

/** The process waits for a reader of its fifo (0.2 ms, where `runc start` takes 4.5), which must be there until it has written. */
function openStart({ root, id }: RuncPlace): Disposable {
  const fd = openSync(join(root, id, "exec.fifo"), constants.O_RDONLY | constants.O_NONBLOCK);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** In runc's records the container has this first process from now on, and runs: `runc exec` joins it. */
export function replaceInit({ root, id }: RuncPlace, init: ProcessId): void {
  const file = join(root, id, "state.json");
  const state = JSON.parse(readFileSync(file, "utf8")) as RuncState;
  writeFileSync(file, JSON.stringify({ ...state, init_process_pid: init.pid, init_process_start: init.startTime }));
  rmSync(join(root, id, "exec.fifo"));
}

/** Makes runc forget a container whose processes are dead: what `runc delete` does, without starting a process for it. */
export async function forgetContainer({ root, id }: RuncPlace): Promise<void> {
  await rm(join(root, id), { recursive: true, force: true });
}

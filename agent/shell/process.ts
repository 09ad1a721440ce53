// ⑥ One process in a running container by `runc exec`: its terminal or its pipes, its signals, and its end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ReadStream } from "node:tty";
import { errnoOf, HobError } from "../../base/errors.ts";
import { type Ended, endOf, identify, kill, type ProcessId, signalName } from "../container/process.ts";
import { lastComplaint, type RuncPlace } from "../container/runc.ts";
import { listenForConsole, memoryFile, resizeTerminal } from "./console.ts";

export interface ShellProcess extends AsyncDisposable {
  /** stdout and stderr, or one terminal. Read only as fast as they are asked to. */
  readonly outputs: readonly { kind: "data" | "errors"; stream: Readable }[];
  /** Resolves when it has been taken. What a process that is gone was to read is dropped. */
  write(data: Uint8Array): Promise<void>;
  endInput(): void;
  resize(columns: number, rows: number): void;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
  /** Kills what the process has left behind in its session: its output then ends. */
  endSession(): void;
}

/** Starts the process that `spec` (an OCI process) describes in the container of `place`. Disposing kills all of its session. */
export async function startProcess(place: RuncPlace, id: string, spec: object & { terminal?: boolean }): Promise<ShellProcess> {
  return spec.terminal ? startInTerminal(place, id, spec) : startWithPipes(place, id, spec);
}

interface Files {
  log: string;
  pid: string;
  console: string;
}

const filesOf = ({ bundle }: RuncPlace, id: string): Files => ({
  log: join(bundle, `${id}.log`),
  pid: join(bundle, `${id}.pid`),
  console: join(bundle, `${id}.sock`),
});

// The process is described by a file in memory (fd 3): its environment may hold secrets.
const argumentsOf = ({ root }: RuncPlace, files: Files): string[] =>
  ["--root", root, "--log", files.log, "--log-format", "json", "exec", "--process", "/proc/self/fd/3"].concat([
    "--pid-file",
    files.pid,
  ]);

async function refused(files: Files, id: string, code: number | null): Promise<HobError> {
  const log = await readFile(files.log, "utf8").catch(() => ""); // runc may have ended before it made one
  const words = lastComplaint(log) || `exit code ${code}`;
  // "exec failed: unable to start container process: exec: "nano": executable file not found in $PATH"
  return new HobError("precondition", `starting a shell in container ${id}: ${words.replace(/^.*container process: /, "")}`);
}

async function removeFiles(files: Files): Promise<void> {
  for (const file of Object.values(files)) await rm(file, { force: true });
}

async function startInTerminal(place: RuncPlace, id: string, spec: object): Promise<ShellProcess> {
  const files = filesOf(place, id);
  const description = memoryFile(JSON.stringify(spec));
  let master: number;
  let leader: ProcessId | undefined;
  try {
    using socket = listenForConsole(files.console);
    const args = [...argumentsOf(place, files), "--tty", "--detach", "--console-socket", files.console, place.id];
    const runc = spawn("runc", args, { stdio: ["ignore", "ignore", "ignore", description] });
    const [code] = (await once(runc, "exit")) as [number | null];
    if (code !== 0) throw await refused(files, place.id, code);
    leader = identify(Number(await readFile(files.pid, "utf8")));
    master = socket.receive();
  } finally {
    closeSync(description);
    await removeFiles(files);
  }
  const terminal = new ReadStream(master);
  terminal.on("error", () => {}); // EIO: nobody has the other end open any more
  const ended = leader ? endOf(leader) : Promise.resolve({ code: 0, signal: "" });
  return {
    outputs: [{ kind: "data", stream: terminal }],
    write: (data) => writeTerminal(terminal, master, data),
    endInput() {},
    resize: (columns, rows) => {
      if (!terminal.destroyed) resizeTerminal(master, columns, rows);
    },
    signal() {},
    ended,
    endSession: () => {
      if (leader) killSession(leader);
    },
    async [Symbol.asyncDispose]() {
      terminal.destroy();
      if (leader) killSession(leader);
      await ended;
    },
  };
}

const fullPauseMs = 10;

/** libuv would write to a terminal's master with blocking calls: a program that reads nothing would hold up the node. */
async function writeTerminal(terminal: ReadStream, master: number, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length && !terminal.destroyed; ) {
    try {
      at += writeSync(master, data, at);
    } catch (error) {
      if (errnoOf(error) === "EIO") return; // nobody is there to read it
      if (errnoOf(error) !== "EAGAIN") throw error;
      await new Promise((resolve) => setTimeout(resolve, fullPauseMs)); // its queue of 4 KiB is full: the kernel says no more than that
    }
  }
}

async function startWithPipes(place: RuncPlace, id: string, spec: object): Promise<ShellProcess> {
  const files = filesOf(place, id);
  const description = memoryFile(JSON.stringify(spec));
  // In the foreground, so that runc makes pipes that belong to the container: /dev/stdout can be opened then.
  const runc = spawn("runc", [...argumentsOf(place, files), place.id], { stdio: ["pipe", "pipe", "pipe", description] });
  closeSync(description);
  const input = runc.stdin as Writable;
  input.on("error", () => {}); // it does not read to the end, which is its own affair
  const exited = once(runc, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const leader = (): ProcessId | undefined => {
    try {
      return identify(Number(readFileSync(files.pid, "utf8")));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined; // not started yet, or never
      throw error;
    }
  };
  const ended = exited.then(async ([code]) => {
    const began = leader() !== undefined || (await readFile(files.pid, "utf8").catch(() => "")) !== "";
    if (!began) throw await refused(files, place.id, code).finally(() => removeFiles(files));
    await removeFiles(files);
    const number = (code ?? 0) - 128;
    return { code: code ?? 1, signal: number > 0 ? signalName(number) : "" };
  });
  ended.catch(() => {}); // whoever waits for it hears of it
  return {
    outputs: [
      { kind: "data", stream: runc.stdout as Readable },
      { kind: "errors", stream: runc.stderr as Readable },
    ],
    write: (data) => (input.destroyed ? Promise.resolve() : new Promise((resolve) => input.write(data, () => resolve()))),
    endInput: () => void input.end(),
    resize() {},
    signal: (name) => {
      const target = leader();
      if (target) process.kill(target.pid, name);
    },
    ended,
    endSession() {}, // runc ends when its output has
    async [Symbol.asyncDispose]() {
      input.destroy();
      const target = leader();
      if (target) killSession(target);
      runc.kill("SIGKILL");
      await exited;
      await removeFiles(files);
    },
  };
}

/** Kills the processes of a session: runc makes each process that it starts the leader of one. */
function killSession(leader: ProcessId): void {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const session = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);
      if (session !== leader.pid) continue;
      const target = identify(Number(name));
      if (target) kill(target);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ESRCH") throw error; // it ended meanwhile
    }
  }
}

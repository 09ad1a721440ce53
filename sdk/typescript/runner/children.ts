// ⑥ The parent's view of a process: how one is started, what it was given, what it wrote.

import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { createFrameDecoder, type Frame, type Heads } from "./frames.ts";
import { createLineCutter, type LineCutter, type Lines } from "./output.ts";
import { openProgressFile, type ProgressFile } from "./progress.ts";
import type { Work } from "./work.ts";

export interface Child {
  readonly process: ChildProcess;
  readonly socket: Duplex;
  readonly cutters: Record<"stdout" | "stderr", LineCutter>;
  readonly serves: Map<string, Set<string>>; // snapshot → its versions; none while it is a spare
  loads: PendingLoad[]; // not answered yet
  readonly progress: ProgressFile;
  readonly running: Map<string, Work>; // what it was given, by its keys
  readonly dropped: Map<string, number>; // bytes of its output, by the same
  readonly ran: Set<string>; // functions whose calls may have left state behind
  queue: Work[];
  patched: boolean; // its code is no longer that of one snapshot
  ending: boolean; // is given nothing more
  expected: boolean; // we asked it to end
}

/** What one process was asked of a load. `patch`: it may be done by another process instead. */
export interface PendingLoad {
  load: number; // 0 is one that the agent did not ask for
  patch: boolean;
  head: Pick<Heads["load"], "snapshot" | "versions">;
}

export interface ChildEvents {
  frame(child: Child, frame: Frame): void;
  output(child: Child, stream: "stdout" | "stderr", lines: Lines[]): void;
  /** After the last of its output. */
  ended(child: Child, kind: "exit" | "signal", how: string): void;
}

/** From SIGTERM to SIGKILL. */
const graceMs = 2_000;
const entry = fileURLToPath(new URL("./process.ts", import.meta.url));

export function startChild(events: ChildEvents): Child {
  const progress = openProgressFile();
  const started = spawn(process.execPath, ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning", entry], {
    stdio: ["ignore", "pipe", "pipe", "pipe", progress.fd < 0 ? "ignore" : progress.fd],
    detached: true, // a process group of its own, with what it starts
  });
  const child: Child = {
    process: started,
    socket: started.stdio[3] as Duplex,
    cutters: { stdout: createLineCutter(), stderr: createLineCutter() },
    serves: new Map(),
    progress,
    loads: [],
    running: new Map(),
    dropped: new Map(),
    ran: new Set(),
    queue: [],
    patched: false,
    ending: false,
    expected: false,
  };
  const decode = createFrameDecoder();
  child.socket.on("data", (piece: Buffer) => {
    try {
      for (const frame of decode(piece)) events.frame(child, frame);
    } catch {
      killChild(child); // user code wrote to a descriptor that is not its own; the call's failure says that it was killed
    }
  });
  child.socket.on("error", () => {}); // its end comes as "exit"
  for (const stream of ["stdout", "stderr"] as const) {
    started[stream]?.on("data", (data: Buffer) => events.output(child, stream, child.cutters[stream].feed(data)));
    started[stream]?.on("error", () => {});
  }
  started.on("error", (error) => events.ended(child, "exit", `could not be started: ${error.message}`));
  started.on("exit", (code, signal) => {
    killGroup(child, "SIGKILL"); // what it started and left behind
    // Twice: a result that is read in the first round is itself passed on a round later.
    const afterResult = (then: () => void): void => afterOutput(() => afterOutput(then));
    afterResult(() => {
      for (const stream of [started.stdout, started.stderr, child.socket]) stream?.destroy(); // something else may hold them open
      if (signal) events.ended(child, "signal", `was ended by signal ${signalText(signal)}`);
      else events.ended(child, "exit", `exited with code ${code}`);
    });
  });
  return child;
}

/**
 * Runs `then` when all that the process had written before this moment has been read: in the second check phase from now a whole
 * poll phase lies between, and in it libuv reads every descriptor that has something.
 */
export function afterOutput(then: () => void): void {
  setImmediate(() => setImmediate(then));
}

/** Asks for its end, and makes sure of it. */
export function stopChild(child: Child, how: "in order" | "SIGTERM"): void {
  child.ending = true;
  child.expected = true;
  if (how === "in order") child.socket.end();
  else killGroup(child, "SIGTERM");
  const timer = setTimeout(() => killGroup(child, "SIGKILL"), graceMs);
  child.process.once("exit", () => clearTimeout(timer));
}

export function killChild(child: Child): void {
  child.ending = true;
  killGroup(child, "SIGKILL");
}

function killGroup(child: Child, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.process.pid === undefined) return;
  try {
    process.kill(-child.process.pid, signal);
  } catch {
    // Nothing is left of the group.
  }
}

const signalNumbers: Record<string, string> = {
  SIGSEGV: "11 (segmentation fault)",
  SIGBUS: "7 (bus error)",
  SIGFPE: "8 (arithmetic error)",
  SIGILL: "4 (illegal instruction)",
  SIGABRT: "6 (abort)",
  SIGTRAP: "5 (trap)",
  SIGKILL: "9 (killed)",
  SIGTERM: "15 (terminated)",
};

function signalText(signal: string): string {
  return signalNumbers[signal] ?? signal;
}

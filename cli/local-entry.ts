// ⑧ `hob run FILE`: runs the file's @app.local() entry on this machine; the calls that it makes go to the pool.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createChildMaps } from "../agent/child-maps.ts";
import { createFrameDecoder, encodeFrame, type Frame, type FrameHeads } from "../agent/runner/frames.ts";
import { exitCode, HobError, sentenceOf } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { silentLog } from "../base/log.ts";
import type { Failure } from "../proto/gen/hob/v1/common.ts";
import type { Caller } from "./caller.ts";
import { failureExitCode, failureText } from "./outcome.ts";
import { printJson } from "./output.ts";
import { findExecutable } from "./prerequisites.ts";

interface LocalEntry {
  root: string;
  path: string; // of the file, in the project
  entry: string; // "" for the only one
  positional: unknown[];
  keywords: Record<string, unknown>;
}

type Outcome = Pick<FrameHeads["result"], "failure"> & { json: Buffer };

/** Its output goes to stderr, its result, unless it is null, to stdout as JSON. Sets the exit code. */
export async function runLocalEntry(entry: LocalEntry, openCaller: () => Promise<Caller>, signal: AbortSignal): Promise<void> {
  const child = startPython(entry);
  const interrupt = (): void => void child.kill("SIGINT");
  signal.addEventListener("abort", interrupt, { once: true });
  const exited = once(child, "close");
  const outcome = await converse(child.stdio[3] as Duplex, openCaller);
  const [code, ending] = (await exited) as [number | null, NodeJS.Signals | null];
  signal.removeEventListener("abort", interrupt);
  if (outcome?.failure) {
    process.stderr.write(failureText(entry.entry || entry.path, outcome.failure));
    process.exitCode = failureExitCode(outcome.failure);
  } else if (outcome) {
    const value: unknown = JSON.parse(outcome.json.toString("utf8"));
    if (value !== null) printJson(value);
  } else if (signal.aborted) {
    throw new HobError("cancelled", `${entry.path} was cancelled`);
  } else if (code !== 0) {
    throw new HobError("function", `${entry.path} ended with ${ending ?? `exit code ${code}`}`);
  }
}

/** HOB_PYTHON, the virtual environment that is active, the distribution's Python, or the first on PATH. */
function findPython(): string {
  const environment = process.env["VIRTUAL_ENV"];
  const active = environment && findExecutable("python3", join(environment, "bin"));
  const found = process.env["HOB_PYTHON"] || active || findExecutable("python3", "/usr/bin") || findExecutable("python3");
  if (found) return found;
  throw new HobError("precondition", "there is no python3", {
    remedy: "a local entry runs on this machine's Python: install it",
  });
}

function startPython({ root, path, entry, positional, keywords }: LocalEntry): ChildProcess {
  const sdk = join(installRoot, "sdk", "python");
  const modules = [sdk, process.env["PYTHONPATH"]].filter(Boolean).join(":");
  return spawn(
    findPython(),
    ["-m", "hob._local", join(root, path), entry, JSON.stringify(positional.length > 0 ? positional : keywords)],
    {
      cwd: root, // as in a container, and where imports begin
      stdio: ["inherit", 2, "inherit", "pipe"],
      env: { ...process.env, PYTHONPATH: modules, PYTHONUNBUFFERED: "1" },
    },
  );
}

/** Answers the entry's calls until it closes its end; resolves with its own outcome, undefined when it has said none. */
async function converse(socket: Duplex, openCaller: () => Promise<Caller>): Promise<Outcome | undefined> {
  const decode = createFrameDecoder();
  const started = new Map<string, string>(); // the entry's ids → the pool's
  let caller: Promise<Caller> | undefined; // opened by the first call: an entry that makes none needs no pool
  let outcome: Outcome | undefined;

  const answer = (id: string, json: Uint8Array, failure?: Failure): void => {
    for (const piece of encodeFrame("childResult", failure ? { id, failure } : { id }, [json])) socket.write(piece);
  };

  const maps = createChildMaps({
    async dial(app, name, map) {
      caller ??= openCaller();
      return (await caller).dialMap(app, name, map);
    },
    tell: (head, payload) => {
      for (const piece of encodeFrame("mapNews", head, payload)) socket.write(piece);
    },
    appOf: () => "",
    log: silentLog,
  });

  async function call({ head, payload }: Extract<Frame, { name: "childCall" }>): Promise<void> {
    try {
      caller ??= openCaller();
      const pool = await caller;
      await pool.project;
      const positional = JSON.parse(payload.toString("utf8", 0, head.positional)) as unknown[];
      const keywords = JSON.parse(payload.toString("utf8", head.positional) || "{}") as Record<string, unknown>;
      const { id, finished } = pool.call(head.app, head.function, positional, keywords);
      started.set(head.id, id);
      const { result, failure } = await finished;
      answer(head.id, result?.json ?? new Uint8Array(), failure);
    } catch (error) {
      answer(head.id, new Uint8Array(), { kind: kindOf(error), type: "", message: sentenceOf(error), traceback: "", frames: [] });
    } finally {
      started.delete(head.id);
    }
  }

  function take(frame: Frame): void {
    if (frame.name === "childCall") void call(frame);
    else if (frame.name === "childCancel") cancel(frame.head.id);
    else if (frame.name === "map" || frame.name === "mapInputs" || frame.name === "mapTake" || frame.name === "mapCancel")
      maps.hear(frame);
    else if (frame.name === "result")
      outcome = { json: frame.payload, ...(frame.head.failure ? { failure: frame.head.failure } : {}) };
  }

  function cancel(id: string): void {
    const own = started.get(id);
    if (own) void caller?.then((pool) => pool.cancel(own));
  }

  try {
    for await (const piece of socket) for (const frame of decode(piece as Buffer)) take(frame);
    return outcome;
  } finally {
    maps.close();
    const pool = await caller?.catch(() => undefined); // whoever made the call has been told why
    for (const id of started.values()) pool?.cancel(id);
    await pool?.[Symbol.asyncDispose]();
  }
}

const kindOf = (error: unknown): string => (exitCode(error) === 2 ? "arguments" : "infrastructure");

// ⑤ The process of which Python runners are forks (sdk/python/hob/_runner/forerunner.py): its start, and what is asked of it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { HobError } from "../../base/errors.ts";
import { openFilesLimit } from "../../base/open-files.ts";
import { awaitEnd, identify, kill, type ProcessId } from "./process.ts";
import { type Created, type RuncPlace, replaceInit } from "./runc.ts";
import { oomScoreAdj, openFilesOf } from "./spec.ts";

export interface Forerunner extends AsyncDisposable {
  /** It has loaded all that it hands on. */
  readonly ready: boolean;
  /** A process that is pid 1 of a new pid namespace, which that user namespace owns; it waits there for its container. */
  make(userFd: number): Promise<ProcessId>;
  /** Puts it where runc's first process is: same namespaces, descriptors 0 to 3, rights and system calls. */
  enter(made: ProcessId, first: ProcessId, openFiles: number): Promise<void>;
  /** Ends it, unless it has entered its container. */
  drop(made: ProcessId): void;
}

interface Answer {
  id: number;
  pid?: number;
  error?: string;
}

export interface ForerunnerOptions {
  /** The image's root, with the SDK in it at /hob: as containers see it. */
  root: string;
  env: Record<string, string>;
  /** It has ended though nobody disposed of it, or does not do what it is asked. */
  failed(reason: string): void;
}

/** In a row: a container that is stopped while it is made fails, too. */
const failuresMost = 3;

const python = ["/usr/bin/python3", "/hob/python/hob/_runner/forerunner.py"];

/**
 * Only of an image that the node has made of its own files: it runs as the node's root. It ends with the agent, and what waits in it with it.
 */
export function startForerunner({ root, env, failed }: ForerunnerOptions): Forerunner {
  const child = spawn("unshare", [`--root=${root}`, "--wd=/", ...python], { env, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  child.stdout?.resume(); // a pipe, as the runners' own will be: what their stream objects know of it stays true
  const link = child.stdio[3] as Duplex;
  const answers = new Map<number, (answer: Answer) => void>();
  let next = 1;
  let ready = false;
  let failures = 0;
  let gone: HobError | undefined;

  link.on("error", () => {}); // its exit tells more
  answers.set(0, ({ error }) => {
    ready = error === undefined;
  });
  createInterface(link).on("line", (line) => {
    const answer = JSON.parse(line) as Answer;
    answers.get(answer.id)?.(answer);
    answers.delete(answer.id);
  });
  function end(reason: string): void {
    gone = new HobError("unavailable", `the process that runners are forks of has ended ${reason}`);
    for (const [id, answer] of answers) answer({ id, error: gone.message });
    answers.clear();
  }
  void endOf(child).then((reason) => {
    if (gone) return; // it was disposed of
    end(reason);
    failed(`it has ended ${reason}`);
  });

  async function ask(what: "make" | "enter" | "drop", order: object): Promise<Answer> {
    if (gone) throw gone;
    const id = next++;
    const answer = await new Promise<Answer>((resolve) => {
      answers.set(id, resolve);
      link.write(`${JSON.stringify({ do: what, id, ...order })}\n`);
    });
    failures = answer.error === undefined ? 0 : failures + 1;
    if (answer.error === undefined) return answer;
    if (failures === failuresMost && !gone) failed(answer.error);
    throw new HobError("unavailable", `${what} a runner: ${answer.error}`);
  }

  return {
    get ready() {
      return ready;
    },
    async make(userFd) {
      const { pid = 0 } = await ask("make", { user: userFd });
      const made = identify(pid);
      if (!made) throw new HobError("unavailable", `a runner's process, ${pid}, has ended before its container was made`);
      return made;
    },
    enter: async (made, first, openFiles) => void (await ask("enter", { pid: made.pid, first: first.pid, openFiles })),
    drop: ({ pid }) => void ask("drop", { pid }).catch(() => {}), // it is gone already
    async [Symbol.asyncDispose]() {
      end("with the agent's part of it");
      link.end();
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

/** Resolves with how it ended: its last words, if it had any. */
async function endOf(child: ChildProcess): Promise<string> {
  const words = text(child.stderr!);
  const [code, signal] = await Promise.race([
    once(child, "exit"),
    once(child, "error").then(([error]) => [(error as Error).message]),
  ]);
  return (await words).trim().split("\n").at(-1) || (signal ? `by ${signal}` : `with ${code}`);
}

/**
 * The made process becomes the container's first: in its cgroups, in its namespaces, in runc's records. runc's own, which waited for its
 * start, ends.
 */
export async function takePlace(forerunner: Forerunner, made: ProcessId, created: Created, place: RuncPlace): Promise<Created> {
  for (const folder of Object.values(created.cgroups)) writeFileSync(join(folder, "cgroup.procs"), `${made.pid}`);
  writeFileSync(`/proc/${made.pid}/oom_score_adj`, `${oomScoreAdj}`);
  await forerunner.enter(made, created.init, openFilesOf(openFilesLimit()));
  replaceInit(place, made);
  kill(created.init);
  await awaitEnd(created.init);
  const begin = (): Disposable => {
    created.socket.write("\n");
    return { [Symbol.dispose]() {} };
  };
  return { ...created, init: made, begin };
}

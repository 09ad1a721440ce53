// ⑤ One agent a run folder: an abstract unix socket named by the folder's inode, which ends with its holder, whatever kills that.

import { mkdirSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { errnoOf, systemError } from "../base/errors.ts";

/** What the holder is doing with the folder: one that sweeps or ends lets go of it by itself. */
type Use = "serves" | "sweeps" | "ends";

export interface RunLock extends AsyncDisposable {
  use(use: Use): void;
}

export interface Holder {
  pid: number;
  use: Use;
}

const answerMs = 1_000;

/** Abstract names have no file that could be left behind (unix(7)); they belong to the network namespace, which is the node's. */
function lockName(run: string): string {
  const { dev, ino } = statSync(run, { bigint: true });
  return `\0hob-run-${dev}-${ino}`;
}

/** Takes the folder, made where there is none; says who holds it, when somebody does ("unknown" when they do not answer). */
export async function lockRunFolder(run: string, use: Use): Promise<RunLock | Holder | "unknown"> {
  for (;;) {
    mkdirSync(run, { recursive: true, mode: 0o711 });
    const name = lockName(run);
    const taken = await listenAt(name, use);
    if (!taken) return holderOf(name);
    if (statSync(run, { throwIfNoEntry: false }) && lockName(run) === name) return taken;
    await taken[Symbol.asyncDispose](); // a predecessor removed the folder between our look and our lock
  }
}

export const isLock = (found: RunLock | Holder | "unknown"): found is RunLock => found !== "unknown" && !("pid" in found);

function listenAt(name: string, first: Use): Promise<RunLock | undefined> {
  let current = first;
  const server = createServer((socket) => {
    socket.on("error", () => {}); // who asked has left
    socket.end(JSON.stringify({ pid: process.pid, use: current } satisfies Holder));
  });
  server.unref();
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE") resolve(undefined);
      else reject(systemError("locking the run folder", error));
    });
    server.listen(name, () =>
      resolve({
        use(next) {
          current = next;
        },
        [Symbol.asyncDispose]: () => new Promise((closed) => server.close(() => closed())),
      }),
    );
  });
}

function holderOf(name: string): Promise<Holder | "unknown"> {
  return new Promise((resolve) => {
    const socket = connect(name);
    let text = "";
    socket.setTimeout(answerMs, () => socket.destroy());
    socket.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      try {
        resolve(JSON.parse(text) as Holder);
      } catch {
        resolve("unknown"); // it has let go just now, or is stuck
      }
    });
  });
}

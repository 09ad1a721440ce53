// The command line as a process of its own, from its sources, with folders of its own; and what it said.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { installRoot } from "../../base/install.ts";

const main = join(installRoot, "cli/main.ts");
const node = join(installRoot, "node_modules/node/bin/node");

export interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Place extends Disposable {
  folder: string;
  environment: Record<string, string>;
}

/** Folders for one test; nothing of the person's own is read or written. */
export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), "hob-cli-"));
  return {
    folder,
    environment: {
      XDG_STATE_HOME: join(folder, "state"),
      XDG_CACHE_HOME: join(folder, "cache"),
      XDG_CONFIG_HOME: join(folder, "config"),
      HOB_RUN_DIR: join(folder, "run"),
      HOB_LINGER_MS: "500",
      NO_COLOR: "1",
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** `before`: a command that runs the rest of its line, such as `setpriv …` or `unshare …`. `input`: its stdin, whole. */
export function startHob(
  place: Place,
  args: string[],
  before: string[] = [],
  input?: string,
): { child: ChildProcess; said: Promise<Said> } {
  const [file = "", ...rest] = [...before, node, main, ...args];
  const child = spawn(file, rest, {
    cwd: place.folder,
    env: { ...process.env, ...place.environment },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(input);
  const code = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const said = Promise.all([code, text(child.stdout!), text(child.stderr!)]);
  return { child, said: said.then(([code, stdout, stderr]) => ({ code, stdout, stderr })) };
}

export function hob(place: Place, args: string[], before: string[] = []): Promise<Said> {
  return startHob(place, args, before).said;
}

/** Calls `then` once all of `words` have been written, in whichever order. */
export function onceSaid(stream: Readable | null, words: string | string[], then: () => void): void {
  let seen = "";
  const look = (data: Buffer): void => {
    seen += data.toString("utf8");
    if (![words].flat().every((each) => seen.includes(each))) return;
    stream?.off("data", look);
    then();
  };
  stream?.on("data", look);
}

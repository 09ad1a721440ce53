// A real `hob dev --json` on a project, as a process of its own, and its lines as events.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { installRoot } from "../../base/install.ts";

export interface DevLine {
  event: string;
  [field: string]: unknown;
}

export interface DevProcess extends AsyncDisposable {
  child: ChildProcess;
  /** The next line that `accept` takes, with the moment (performance.now()) at which it was read; lines before it are passed over. */
  next(what: string, accept: (line: DevLine) => boolean): Promise<{ line: DevLine; atMs: number }>;
}

/** Less than the tests that use this have, so that what they waited for is said. */
const patienceMs = 100_000;

/** Starts `hob dev --json PROJECT …`. `environment` should give it folders of its own (XDG_*, HOB_RUN_DIR). */
export function startDev(project: string, options: string[], environment: Record<string, string>): DevProcess {
  const child = spawn(join(installRoot, "bin/hob"), ["dev", "--json", project, ...options], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  const lines: { line: DevLine; atMs: number }[] = [];
  const listeners = new Set<() => void>();
  let ended: string | undefined;
  let errors = "";
  createInterface({ input: child.stdout! }).on("line", (text) => {
    lines.push({ line: JSON.parse(text), atMs: performance.now() });
    for (const listener of listeners) listener();
  });
  child.stderr!.on("data", (data) => {
    errors = (errors + data).slice(-4000);
  });
  child.on("close", (code, signal) => {
    ended = `hob dev ended with ${signal ?? code}: ${errors.trim()}`;
    for (const listener of listeners) listener();
  });

  function next(what: string, accept: (line: DevLine) => boolean): Promise<{ line: DevLine; atMs: number }> {
    return new Promise((resolve, reject) => {
      const passed: string[] = [];
      const silent = () =>
        new Error(`${what}: not in ${patienceMs / 1000} s; what came: ${passed.slice(-20).join(", ")}. ${errors}`);
      const limit = setTimeout(() => finish(() => reject(silent())), patienceMs);
      const finish = (settle: () => void) => {
        clearTimeout(limit);
        listeners.delete(look);
        settle();
      };
      const look = () => {
        while (lines.length > 0) {
          const entry = lines.shift()!;
          // Not an end by itself: a pool that mends itself says what had failed.
          if (entry.line.event === "error") errors = `${errors}\n${JSON.stringify(entry.line)}`.slice(-4000);
          if (accept(entry.line)) return finish(() => resolve(entry));
          passed.push(entry.line.event);
        }
        if (ended !== undefined) finish(() => reject(new Error(`${what}: ${ended}`)));
      };
      listeners.add(look);
      look();
    });
  }

  return {
    child,
    next,
    async [Symbol.asyncDispose]() {
      if (ended !== undefined) return;
      const gone = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGTERM");
      await gone;
    },
  };
}

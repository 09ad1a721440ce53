// ⑧ The promise that the terminal comes back: whatever ends the process, the screen is left first.

import { appendFileSync, mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { stateFolder } from "../../base/paths.ts";

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

// Reports of the focus and bracketed paste off, attributes off, alternate screen left, cursor shown: harmless when it was already so.
const restore = "\x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?1049l\x1b[?25h";

const parentEveryMs = 500;
const graceMs = 1_000;

export interface Ending {
  readonly code: number;
  /** What the person reads once the terminal is theirs again. */
  readonly sentence: string | undefined;
}

/** Calls `onEnd` once for the first signal or uncaught error. Disposed, the process behaves as before. */
export function guardTerminal(onEnd: (ending: Ending) => void): Disposable {
  const stack = new DisposableStack();

  function listen(event: string, listener: (value: unknown) => void): void {
    process.on(event, listener);
    stack.defer(() => process.off(event, listener));
  }
  // Others' listeners print (Node's warnings, the command line's faults), on a screen that the painter thinks it knows, or end the process before the screen is left.
  function alone(event: "warning" | "uncaughtException" | "unhandledRejection", listener: (value: unknown) => void): void {
    const others = process.listeners(event as "warning");
    process.removeAllListeners(event);
    stack.defer(() => {
      for (const other of others) process.on(event, other);
    });
    listen(event, listener);
  }

  for (const [signal, code] of Object.entries(signals)) {
    listen(signal, () => onEnd({ code, sentence: `hob was ended by ${signal}` }));
  }
  // The launcher (bin/hob) restores what this process no longer can; who kills the launcher leaves the screen to a shell that reads beside it.
  const launcher = process.ppid;
  const looking = setInterval(() => {
    if (process.ppid === launcher) return;
    onEnd({ code: 129, sentence: "hob's launcher was killed" });
    setTimeout(() => process.exit(129), graceMs).unref(); // the shell has the terminal already: what waits for it waits for ever
  }, parentEveryMs);
  looking.unref();
  stack.defer(() => clearInterval(looking));
  alone("uncaughtException", (error) => onEnd(crashed(error)));
  alone("unhandledRejection", (error) => onEnd(crashed(error)));
  listen("exit", () => restoreTerminal());
  alone("warning", (warning) => void note(warning));
  return stack;
}

/** Writes the fault where it can be read later, and says where that is. */
export function crashed(error: unknown): Ending {
  const reason = error instanceof Error ? error.message : String(error);
  return { code: 1, sentence: `hob's screen failed: ${reason}; ${note(error)}` };
}

function note(error: unknown): string {
  const file = join(stateFolder(), "screen.log");
  const reason = error instanceof Error ? error.message : String(error);
  const entry = { time: new Date().toISOString(), message: reason, stack: error instanceof Error ? error.stack : undefined };
  let where = `details are in ${file}`;
  try {
    mkdirSync(stateFolder(), { recursive: true, mode: 0o700 });
    appendFileSync(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
  } catch (cause) {
    where = `${file} could not be written: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
  return where;
}

/** Past Ink, for the case that Ink is what failed. */
export function restoreTerminal(): void {
  try {
    if (process.stdout.isTTY) writeSync(1, restore);
    // Last: where the shell has taken the terminal back, it has set its own modes, and the kernel lets no other do so.
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
  } catch {
    // The terminal itself is gone, or somebody else's: there is nothing left to restore.
  }
}

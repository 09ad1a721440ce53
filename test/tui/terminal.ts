// A real terminal for the tests: the bundled screen in a pseudo-terminal, its output read by xterm's own parser.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Terminal as XtermTerminal } from "@xterm/headless";
import { build } from "esbuild";
import { spawn } from "node-pty";
import { installRoot } from "../../base/install.ts";
import { recordings } from "./recording.ts";

// Both are CommonJS whose names Node cannot see.
const load = createRequire(import.meta.url);
const { Terminal } = load("@xterm/headless") as typeof import("@xterm/headless");
const { Unicode11Addon } = load("@xterm/addon-unicode11") as typeof import("@xterm/addon-unicode11");

const folder = join(installRoot, "dist", "test", `tui-${process.pid}`);

/** Bundles the stage as the product is bundled; the file to run. */
export async function buildStage(): Promise<string> {
  const outfile = join(folder, "stage.js");
  await build({
    entryPoints: [join(import.meta.dirname, "stage.tsx")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    jsx: "automatic",
    logLevel: "warning",
    external: ["koffi", "esbuild", "blessed", "blessed-contrib"],
    alias: { "react-devtools-core": join(installRoot, "scripts/react-devtools-stub.ts") },
    define: { "process.env.NODE_ENV": '"production"' },
    banner: { js: 'import { createRequire as hobRequire } from "node:module"; const require = hobRequire(import.meta.url);' },
  });
  return outfile;
}

export function removeStage(): void {
  rmSync(folder, { recursive: true, force: true });
}

export interface StageOptions {
  stage: string;
  recording: string;
  columns?: number;
  rows?: number;
  env?: Record<string, string>;
}

export interface Stage extends Disposable {
  readonly xterm: XtermTerminal;
  /** The visible rows, without trailing blanks. */
  rows(): string[];
  text(): string;
  press(keys: string): void;
  resize(columns: number, rows: number): void;
  kill(signal: string): void;
  /** Resolves once `holds` is true of the screen; checked after every write that the terminal has taken in. */
  until(what: string, holds: (text: string) => boolean): Promise<string>;
  /** What the screen asked of the workbench, one array a call. */
  asked(): unknown[][];
  readonly pid: number;
  /** Characters that the screen has written. */
  written(): number;
  /** The screen's use of one CPU since it started. */
  cpuShare(): number;
  readonly raw: () => string;
  readonly exited: Promise<number>;
}

const patienceMs = 15_000;
let stages = 0;

export function openStage({ stage, recording, columns = 120, rows = 36, env = {} }: StageOptions): Stage {
  stages += 1;
  mkdirSync(folder, { recursive: true });
  const calls = join(folder, `asked-${stages}.jsonl`);
  writeFileSync(calls, "");
  const xterm = new Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 0 });
  xterm.loadAddon(new Unicode11Addon());
  xterm.unicode.activeVersion = "11";
  const pty = spawn(process.execPath, [stage], {
    name: env["TERM"] ?? "xterm-256color",
    cols: columns,
    rows,
    cwd: folder,
    env: {
      PATH: process.env["PATH"] ?? "",
      TZ: "UTC",
      LANG: "C.UTF-8",
      CI: "",
      XDG_CONFIG_HOME: join(folder, `config-${stages}`),
      XDG_STATE_HOME: join(folder, `state-${stages}`),
      HOB_STAGE: recording,
      HOB_STAGE_FOLDER: recordings,
      HOB_STAGE_CALLS: calls,
      ...env,
    },
  });

  const startedMs = performance.now();
  let raw = "";
  let written = 0;
  const watchers = new Set<() => void>();
  pty.onData((data) => {
    written += data.length;
    raw = (raw + data).slice(-200_000);
    xterm.write(data, () => {
      for (const watcher of watchers) watcher();
    });
  });
  // Everything written before the end has been parsed when `exited` resolves.
  const exited = new Promise<number>((resolve) => {
    pty.onExit(({ exitCode }) => xterm.write("", () => resolve(exitCode)));
  });

  const visible = (): string[] => {
    const buffer = xterm.buffer.active;
    return Array.from(
      { length: xterm.rows },
      (_, row) =>
        buffer
          .getLine(buffer.viewportY + row)
          ?.translateToString(true, 0, xterm.cols)
          .trimEnd() ?? "",
    );
  };
  const text = (): string => visible().join("\n");

  return {
    xterm,
    rows: visible,
    text,
    raw: () => raw,
    exited,
    press: (keys) => pty.write(keys),
    resize: (width, height) => {
      xterm.resize(width, height);
      pty.resize(width, height);
    },
    kill: (signal) => pty.kill(signal),
    until: (what, holds) =>
      new Promise((resolve, reject) => {
        const done = (): void => {
          watchers.delete(check);
          clearTimeout(timer);
          clearInterval(looking);
        };
        const check = (): void => {
          const now = text();
          if (!holds(now)) return;
          done();
          resolve(now);
        };
        const timer = setTimeout(() => {
          done();
          reject(new Error(`the screen never showed ${what}:\n${text()}`));
        }, patienceMs);
        // Not all that is waited for is on the screen: what the screen asked of the workbench makes no frame.
        const looking = setInterval(check, 20);
        watchers.add(check);
        check();
      }),
    pid: pty.pid,
    written: () => written,
    cpuShare: () => {
      // proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms.
      const [, ...fields] = readFileSync(`/proc/${pty.pid}/stat`, "utf8").split(") ");
      const [utime = 0, stime = 0] = fields.join(") ").split(" ").slice(11, 13).map(Number);
      return ((utime + stime) * 10) / (performance.now() - startedMs);
    },
    asked: () =>
      readFileSync(calls, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as unknown[]),
    [Symbol.dispose]: () => {
      try {
        pty.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      xterm.dispose();
    },
  };
}

/** Opened, with a whole frame shown. */
export async function openWhole(options: StageOptions): Promise<Stage> {
  const shown = openStage(options);
  await shown.until("a whole frame", (text) => text.includes("q quit") || text.includes("too small"));
  return shown;
}

/** The screen with all of the recording "working" taken in: the save's receipt comes last. */
export async function openWorked(stage: string, options: Partial<StageOptions> = {}): Promise<Stage> {
  const shown = await openWhole({ stage, recording: "working", ...options });
  await shown.until("the last save", (text) => text.includes("app.py → embed") && text.includes("64 dimensions"));
  return shown;
}

// A real pseudo-terminal with a terminal emulator behind it: what a person at the keyboard would see and type.

import unicode11 from "@xterm/addon-unicode11";
import headless from "@xterm/headless";
import { type IPty, spawn } from "node-pty";

export interface Screen extends AsyncDisposable {
  pty: IPty;
  /** The visible lines, right-trimmed. */
  lines(): string[];
  text(): string;
  press(keys: string): void;
  /** Waits until the screen's text satisfies `accept`; fails with the screen in the message. */
  waitFor(what: string, accept: (text: string) => boolean, limitMs?: number): Promise<string>;
  resize(columns: number, rows: number): Promise<void>;
  /** True while the program shows the alternate screen. */
  alternate(): boolean;
  /** What the program has set the terminal to. */
  modes(): { cursor: boolean; focusReports: boolean };
  readonly ended: Promise<{ exitCode: number; signal: number | undefined }>;
}

export interface ScreenOptions {
  columns: number;
  rows: number;
  environment: Record<string, string>;
  cwd?: string;
}

export function openScreen(file: string, argv: string[], options: ScreenOptions): Screen {
  const terminal = new headless.Terminal({ cols: options.columns, rows: options.rows, allowProposedApi: true, scrollback: 200 });
  terminal.loadAddon(new unicode11.Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  const pty = spawn(file, argv, {
    name: "xterm-256color",
    cols: options.columns,
    rows: options.rows,
    cwd: options.cwd ?? process.cwd(),
    // CI makes Ink believe that nobody watches.
    env: { ...process.env, CI: "", TERM: "xterm-256color", ...options.environment } as Record<string, string>,
  });
  const watchers = new Set<() => void>();
  pty.onData((data) => terminal.write(data, () => notify()));
  let over = false;
  const ended = new Promise<{ exitCode: number; signal: number | undefined }>((resolve) => {
    pty.onExit(({ exitCode, signal }) =>
      // What was written before the end has been parsed then.
      terminal.write("", () => {
        over = true;
        resolve({ exitCode, signal });
        notify();
      }),
    );
  });
  const notify = () => {
    for (const watcher of watchers) watcher();
  };

  function lines(): string[] {
    const buffer = terminal.buffer.active;
    return Array.from(
      { length: terminal.rows },
      (_, row) =>
        buffer
          .getLine(buffer.viewportY + row)
          ?.translateToString(true, 0, terminal.cols)
          .trimEnd() ?? "",
    );
  }
  const text = () => lines().join("\n");
  let cursor = true;
  for (const [final, shown] of [
    ["h", true],
    ["l", false],
  ] as const) {
    terminal.parser.registerCsiHandler({ prefix: "?", final }, ([mode]) => {
      if (mode === 25) cursor = shown;
      return false;
    });
  }

  function waitFor(what: string, accept: (text: string) => boolean, limitMs = 60_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(limit);
        watchers.delete(look);
        settle();
      };
      const limit = setTimeout(
        () => finish(() => reject(new Error(`${what}: not seen in ${limitMs} ms. The screen:\n${text()}`))),
        limitMs,
      );
      const look = () => {
        const seen = text();
        if (accept(seen)) finish(() => resolve(seen));
        else if (over) finish(() => reject(new Error(`${what}: the program ended first. The screen:\n${seen}`)));
      };
      watchers.add(look);
      look();
    });
  }

  return {
    pty,
    lines,
    text,
    press: (keys) => pty.write(keys),
    waitFor,
    resize: (columns, rows) => {
      pty.resize(columns, rows);
      terminal.resize(columns, rows);
      return Promise.resolve();
    },
    alternate: () => terminal.buffer.active.type === "alternate",
    modes: () => ({ cursor, focusReports: terminal.modes.sendFocusMode }),
    ended,
    async [Symbol.asyncDispose]() {
      if (!over) pty.kill("SIGTERM");
      await ended;
      terminal.dispose();
    },
  };
}

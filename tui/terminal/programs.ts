// ⑧ The person's own programs on the terminal that the screen lends: editor, pager, and their shell when the screen is suspended.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { HobError } from "../../base/errors.ts";

/** The arguments that open `file` at `line`: editors do not agree on them. */
function editorCommand(editor: string, file: string, line: number): string[] {
  const words = editor.split(" ").filter((word) => word !== "");
  const [program = "vi"] = words;
  const name = basename(program);
  if (/^(code|codium|cursor)/.test(name)) return [...words, "--goto", `${file}:${line}`];
  if (/^(subl|zed|hx|helix|micro)/.test(name)) return [...words, `${file}:${line}`];
  return [...words, `+${line}`, file];
}

/** What Node's terminal streams read with. Pausing the stream leaves a read pending, and that takes the first key from the program. */
interface Reader {
  readStop(): void;
  readStart(): void;
}

async function run(command: readonly string[], what: string): Promise<void> {
  const [program = "", ...rest] = command;
  const reader = (process.stdin as { _handle?: Reader })._handle;
  await new Promise(setImmediate); // the key that led here has been read, and with it what begins the next read
  reader?.readStop();
  try {
    await ended(program, rest, what);
  } finally {
    reader?.readStart();
  }
}

function ended(program: string, rest: readonly string[], what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: "inherit" });
    child.on("error", (error) =>
      reject(
        new HobError("usage", `${program} could not be started: ${error.message}`, {
          remedy: `set ${what} to a program that is there`,
        }),
      ),
    );
    child.on("close", () => resolve());
  });
}

export function edit(file: string, line: number, env: NodeJS.ProcessEnv): Promise<void> {
  return run(editorCommand(env["VISUAL"] || env["EDITOR"] || "vi", file, line), "EDITOR");
}

/** In $BROWSER or the desktop's; on a machine without either the copied address is what there is. */
export function openInBrowser(url: string, env: NodeJS.ProcessEnv): void {
  const words = (env["BROWSER"] || "xdg-open").split(" ").filter((word) => word !== "");
  const [program = "xdg-open", ...rest] = words;
  const child = spawn(program, [...rest, url], { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}

/** The text in the person's pager, by a file that is gone afterwards. */
export async function page(text: string, name: string, env: NodeJS.ProcessEnv): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "hob-page-"));
  const file = join(folder, name);
  try {
    writeFileSync(file, text, { mode: 0o600 });
    const words = (env["PAGER"] || "less").split(" ").filter((word) => word !== "");
    await run([...words, file], "PAGER");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Stops this process and its launcher, the whole of the shell's job, as ctrl-z stops others; resolves when the shell lets it go on. */
export function stopUntilContinued(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGCONT", () => resolve());
    process.kill(0, "SIGSTOP");
  });
}

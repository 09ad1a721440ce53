// ⑤ Puts the SDK and the runners where containers can read them, whatever the permissions of the installation are.

import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemError } from "../base/errors.ts";
import { runnerCommand } from "./runner/command.ts";

export function copySdk(from: string, to: string): void {
  try {
    cpSync(from, to, { recursive: true, dereference: true, filter: (path) => !path.endsWith("__pycache__") });
    chmodSync(to, 0o755);
    mkdirSync(join(to, "bin"));
    writeFileSync(join(to, "bin/node"), ""); // the agent's Node is mounted upon it where an image has none: nodePoint
    for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
    }
  } catch (error) {
    throw systemError(`copying the SDK to ${to}`, error, "install hob again if files of it are missing");
  }
}

/** The import statements with which the Python runner's modules begin, of the copy at `sdk`. */
export function runnerImports(sdk: string): string {
  const folder = join(sdk, "python/hob/_runner");
  const sources = readdirSync(folder).filter((name) => name.endsWith(".py"));
  const lines = sources.flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"));
  return [...new Set(lines.filter((line) => /^(import|from) /.test(line)))].join("\n");
}

/**
 * Compiles the copy's Python, once for all containers: without it each runner compiles itself when it starts, 60 ms of CPU. It goes on beside
 * everything else; a container whose interpreter is another, or that starts before it is done, compiles its own as before.
 */
export function compileSdk(sdk: string): Disposable {
  // Not checked against the sources again: nothing writes into the copy. `-d` would be wrong: __file__ is where the importer finds it.
  const args = ["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", join(sdk, "python")];
  const compiler = spawn(runnerCommand("python").args[0]!, args, { stdio: "ignore" });
  compiler.on("error", () => {}); // no such interpreter on the node
  return { [Symbol.dispose]: () => void compiler.kill() };
}

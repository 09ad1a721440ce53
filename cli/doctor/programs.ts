// ⑤ The programs that hob starts, and the runtimes that Image.host() captures.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { installSentence, thisManager } from "../distribution.ts";
import { findExecutable } from "../prerequisites.ts";
import type { Finding } from "./finding.ts";
import { atLeast, versionIn } from "./version.ts";

const run = promisify(execFile);
const pythonPath = "/usr/bin/python3";

export function checkRoot(): Finding {
  const row = { check: "root", title: "root" };
  if (process.getuid?.() === 0) return { ...row, state: "ok", found: "yes", meaning: "mounts and containers are allowed" };
  const meaning = "a pool cannot start here; a client of another pool can";
  return { ...row, state: "missing", found: `uid ${process.getuid?.()}`, meaning, remedy: "run the same command with sudo" };
}

export async function checkRunc(): Promise<Finding> {
  const row = { check: "runc", title: "runc" };
  const path = findExecutable("runc");
  if (!path) {
    return {
      ...row,
      state: "missing",
      found: "not in PATH",
      meaning: "containers cannot start",
      remedy: installSentence("runc", thisManager()),
    };
  }
  const { stdout } = await run(path, ["--version"]);
  const version = versionIn(stdout);
  const found = `${version.join(".")} at ${path}`;
  if (atLeast(version, [1, 1])) return { ...row, state: "ok", found, meaning: "starts the containers" };
  return { ...row, state: "limited", found, meaning: "hob is tested with 1.1 and later", remedy: "use a newer release of it" };
}

export function checkUnshare(): Finding {
  const row = { check: "unshare", title: "unshare" };
  const path = findExecutable("unshare");
  if (path) return { ...row, state: "ok", found: path, meaning: "the agent's mounts end with it" };
  const remedy = installSentence("util-linux", thisManager());
  return { ...row, state: "missing", found: "not in PATH", meaning: "the agent cannot have mounts of its own", remedy };
}

export function checkNode(): Finding {
  const row = { check: "node", title: "Node", found: process.version };
  if (atLeast(versionIn(process.version), [24])) return { ...row, state: "ok", meaning: "runs hob, and TypeScript functions" };
  return { ...row, state: "missing", meaning: "hob needs 24", remedy: "start hob with bin/hob, which brings its own" };
}

export async function checkPython(): Promise<Finding> {
  const row = { check: "python", title: "Python" };
  const meaning = "Python functions cannot run";
  if (!existsSync(pythonPath)) {
    const remedy = installSentence("python3", thisManager());
    return { ...row, state: "limited", found: `no ${pythonPath}`, meaning, remedy };
  }
  const { stdout } = await run(pythonPath, ["-I", "-c", "import platform; print(platform.python_version())"]);
  const version = versionIn(stdout);
  const found = `${version.join(".")} at ${pythonPath}`;
  if (atLeast(version, [3, 9])) return { ...row, state: "ok", found, meaning: "runs Python functions" };
  return {
    ...row,
    state: "limited",
    found,
    meaning: `${meaning}: they need 3.9`,
    remedy: "install a newer Python from the distribution",
  };
}

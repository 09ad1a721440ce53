// ⑤ What an agent cannot do without, each with one sentence that says how to get it.

import { accessSync, constants, readlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { errnoOf, HobError } from "../base/errors.ts";

function accessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false; // absent and forbidden mean the same here
  }
}

const inPath = (program: string): boolean =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .some((folder) => folder !== "" && accessible(join(folder, program), constants.X_OK));

function sharesMounts(): boolean {
  try {
    return readlinkSync("/proc/self/ns/mnt") === readlinkSync(`/proc/${process.ppid}/ns/mnt`);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false; // the parent is gone already
    throw error;
  }
}

/** Throws a HobError of kind `precondition` for the first thing that is missing. */
export function requireAgentMachine(): void {
  const need = (sentence: string, remedy: string): never => {
    throw new HobError("precondition", `the agent cannot run here: ${sentence}`, { remedy });
  };
  if (process.platform !== "linux") need("containers need Linux", "run it on a Linux machine");
  if (process.getuid?.() !== 0) need("mounting images and running containers needs root", "start it with sudo");
  if (!inPath("runc")) need("runc is not in PATH", "install the package runc");
  if (!accessible("/dev/fuse", constants.R_OK | constants.W_OK)) need("/dev/fuse is missing", "load it with `modprobe fuse`");
  if (sharesMounts())
    need("it shares its mounts with the process that started it", "start it with `unshare --mount --propagation private`");
}

// ⑤ What a machine must have before a pool can start on it: asked cheaply, before anything is started.

import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { HobError } from "../base/errors.ts";
import { installSentence, thisManager } from "./distribution.ts";

export interface Machine {
  platform: string;
  uid: number;
  runc: string | undefined; // path
  unshare: string | undefined; // path
  fuseDevice: boolean;
}

/** The first executable of this name in PATH. */
export function findExecutable(name: string, path: string = process.env["PATH"] ?? ""): string | undefined {
  return path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // absent, or not for us: the same to a search
  }
}

function readMachine(): Machine {
  return {
    platform: process.platform,
    uid: process.getuid?.() ?? -1,
    runc: findExecutable("runc"),
    unshare: findExecutable("unshare"),
    fuseDevice: existsSync("/dev/fuse"),
  };
}

type Manager = ReturnType<typeof thisManager>;

/** What stands in the way of a pool on this machine, the first thing first; undefined when nothing does. */
export function obstacle(machine: Machine, manager: Manager): HobError | undefined {
  const need = (sentence: string, remedy: string) =>
    new HobError("precondition", `a pool cannot start here: ${sentence}`, { remedy });
  if (machine.platform !== "linux") {
    return need("containers need Linux", "use a pool on a Linux machine with --control");
  }
  if (machine.uid !== 0) {
    return need("mounting images and running containers needs root", "run the same command with sudo");
  }
  if (!machine.runc) return need("runc is not in PATH", installSentence("runc", manager));
  if (!machine.unshare) return need("unshare is not in PATH", installSentence("util-linux", manager));
  if (!machine.fuseDevice) {
    return need(
      "/dev/fuse is missing",
      "load it with `modprobe fuse`, or, inside a container, start that one with `--device /dev/fuse`",
    );
  }
  return undefined;
}

export function requireMachine(): void {
  const error = obstacle(readMachine(), thisManager());
  if (error) throw error;
}

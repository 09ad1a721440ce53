// ⑤ What an agent keeps below its run folder, and whose folder it is.

import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf, HobError } from "../base/errors.ts";
import type { ProcessId } from "./container/process.ts";

/** Control of an embedded pool keeps its socket in the same folder: only these are the agent's. */
const agentFolders = {
  containers: "c",
  runc: "runc",
  sdk: "sdk",
  images: "images",
  blobs: "blobs",
  snapshots: "project",
  network: "net",
  builds: "builds",
  fuse: "fuse",
  forerunner: "forerunner",
  practice: "practice",
} as const;

export type AgentPaths = Record<keyof typeof agentFolders, string>;

export function agentPaths(run: string): AgentPaths {
  return Object.fromEntries(Object.entries(agentFolders).map(([what, name]) => [what, join(run, name)])) as AgentPaths;
}

/** Who uses a run folder: the agent, and the FUSE daemon that it has started. */
export interface Owner {
  key: string;
  agent: ProcessId;
  fuse?: ProcessId;
}

export const ownerFile = (run: string): string => join(run, "agent.json");

export function readOwner(run: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(ownerFile(run), "utf8")) as Owner;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

export function writeOwner(run: string, owner: Owner): void {
  const temporary = `${ownerFile(run)}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(owner), { mode: 0o600 });
  renameSync(temporary, ownerFile(run));
}

const otherExecute = 0o001;

/** Makes RUNROOT/KEY. A container's mapped root, a stranger to the node, must be able to walk through every component of its path. */
export function makeRunFolder(run: string): void {
  mkdirSync(run, { recursive: true, mode: 0o711 });
  for (const own of [run, dirname(run)]) chmodSync(own, statSync(own).mode | 0o111);
  for (let folder = dirname(run); folder !== dirname(folder); folder = dirname(folder)) {
    if (statSync(folder).mode & otherExecute) continue;
    throw new HobError("precondition", `containers cannot reach ${run}: ${folder} is closed to other users`, {
      remedy: "set HOB_RUN_DIR to a folder whose parents have o+x, such as /run/hob",
    });
  }
}

export function makeAgentFolders(run: string): AgentPaths {
  const paths = agentPaths(run);
  for (const folder of Object.values(paths)) mkdirSync(folder, { recursive: true, mode: 0o711 });
  return paths;
}

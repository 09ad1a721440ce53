// ⑤ Clears away what agents that were killed have left: processes, cgroups, mounts, folders. Nothing that a living agent owns.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { cgroupFolders, cgroupProcesses, removeCgroups } from "./container/cgroup.ts";
import { cgroupParent } from "./container/container.ts";
import { awaitEnd, identify, isRunning, kill } from "./container/process.ts";
import { readRuncState } from "./container/runc.ts";
import { mount, unmount } from "./container/system-calls.ts";
import { clearNetwork } from "./network/network.ts";
import { agentPaths, ownerFile, readOwner } from "./run-folder.ts";
import { isLock, lockRunFolder } from "./run-lock.ts";

export interface Swept {
  containers: number;
  cgroups: number;
  folders: number;
}

/** Sweeps every run folder below `runRoot` (RUNROOT/KEY) whose agent is dead; a folder that somebody holds is theirs to sweep. Says what went. */
export async function sweep(runRoot: string): Promise<Swept> {
  const all: Swept = { containers: 0, cgroups: 0, folders: 0 };
  for (const name of await foldersOf(runRoot)) {
    const run = join(runRoot, name);
    if (!existsSync(ownerFile(run))) continue;
    const lock = await lockRunFolder(run, "sweeps");
    if (!isLock(lock)) continue;
    await using _held = lock;
    const swept = await sweepRunFolder(run);
    for (const what of ["containers", "cgroups", "folders"] as const) all[what] += swept[what];
    await removeIfEmpty(run);
  }
  return all;
}

/** Clears what a dead agent has left in a run folder; its lock is the caller's. */
export async function sweepRunFolder(run: string): Promise<Swept> {
  const owner = readOwner(run);
  if (!owner || isRunning(owner.agent)) return { containers: 0, cgroups: 0, folders: 0 };
  if (owner.fuse) {
    const connections = isRunning(owner.fuse) ? fuseConnections(owner.fuse.pid) : []; // never another process of that number
    kill(owner.fuse);
    abortConnections(connections); // a daemon that waits for a lock in the kernel does not die of a signal
    await awaitEnd(owner.fuse);
  }
  const key = owner.key || basename(run);
  const cleared = await clearContainers(key, agentPaths(run).runc);
  await clearNetwork(key, run);
  for (const target of mountsBelow(run, readFileSync("/proc/self/mountinfo", "utf8"))) unmount(target);
  return { ...cleared, folders: await removeContents(run) };
}

/** Numbers of the FUSE connections that a process' mounts belong to: their devices' minor numbers. */
function fuseConnections(pid: number): string[] {
  try {
    const ours = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .filter((line) => line.includes(" - fuse.hob "));
    return [...new Set(ours.map((line) => line.split(" ")[2]?.split(":")[1] ?? ""))];
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ESRCH" || code === "EINVAL") return []; // it has ended
    throw error;
  }
}

const fuseControl = "/sys/fs/fuse/connections";

/** Ends what the kernel waits for on behalf of a dead daemon. fusectl may not be mounted here: ours is, for as long as this takes. */
function abortConnections(connections: string[]): void {
  if (connections.length === 0) return;
  mount("fusectl", fuseControl, "");
  try {
    for (const connection of connections) {
      const file = join(fuseControl, connection, "abort");
      if (existsSync(file)) writeFileSync(file, "1");
    }
  } finally {
    unmount(fuseControl);
  }
}

/** Removes what an agent has below its run folder, and the folder itself if nothing else is in it. */
export async function removeAgentFolders(run: string): Promise<void> {
  await removeContents(run);
  await removeIfEmpty(run);
}

async function removeContents(run: string): Promise<number> {
  const present = Object.values(agentPaths(run)).filter((folder) => existsSync(folder));
  for (const folder of present) await rm(folder, { recursive: true, force: true });
  await rm(ownerFile(run), { force: true });
  return present.length;
}

async function removeIfEmpty(run: string): Promise<void> {
  try {
    await rmdir(run);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT") throw systemError(`removing ${run}`, error); // control's files stay
  }
}

async function foldersOf(root: string): Promise<string[]> {
  try {
    return (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw systemError(`reading ${root}`, error);
  }
}

/** A runc that outlived its agent would go on to create a container: it is known by its --root. */
async function endRunc(root: string): Promise<void> {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const args = commandLine(name);
    if (!args[0]?.endsWith("runc") || !args.includes(root)) continue;
    const target = identify(Number(name));
    if (!target) continue;
    kill(target);
    await awaitEnd(target);
  }
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return [];
    throw error;
  }
}

/** Ends every process and removes every cgroup of a pool's containers on this node, known to somebody or not. */
export async function clearContainers(key: string, runcRoot: string): Promise<{ containers: number; cgroups: number }> {
  await endRunc(runcRoot);
  for (const name of await foldersOf(runcRoot)) {
    const state = readRuncState(join(runcRoot, name));
    if (!state) continue;
    kill(state.init); // only if it is the same process still
    await awaitEnd(state.init);
  }
  const parents = await cgroupFolders(cgroupParent(key));
  const ids = new Set<string>();
  let cgroups = 0;
  for (const parent of parents) {
    for (const name of await foldersOf(parent)) {
      ids.add(name);
      cgroups += 1;
      await emptyCgroup(join(parent, name));
      await removeCgroups([join(parent, name)]);
    }
  }
  await removeCgroups(parents);
  return { containers: ids.size, cgroups };
}

const emptyPatienceMs = 5_000;

/** Being in a cgroup of ours is what proves that a process is ours. */
async function emptyCgroup(folder: string): Promise<void> {
  const deadline = performance.now() + emptyPatienceMs;
  for (;;) {
    const pids = await cgroupProcesses(folder);
    if (pids.length === 0) return;
    for (const pid of pids) {
      const target = identify(pid);
      if (target) kill(target);
    }
    if (performance.now() > deadline)
      throw new HobError("internal", `the processes of ${folder} do not end although they were killed`);
    await after(2);
  }
}

/** Mount points below `folder`, the innermost first, from the text of /proc/self/mountinfo (octal escapes for blanks). */
export function mountsBelow(folder: string, mountinfo: string): string[] {
  return mountinfo
    .split("\n")
    .map((line) =>
      (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_match, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
    .filter((target) => target.startsWith(`${folder}/`))
    .reverse();
}

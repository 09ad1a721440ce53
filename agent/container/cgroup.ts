// ⑤ A container's cgroups: cheap samples through kept descriptors, what the kernel killed for memory, removal. Versions 1, 2, hybrid.

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { errnoOf, systemError } from "../../base/errors.ts";

/** Controller → folder, as runc's state.json has it; "" is the unified hierarchy. */
export type CgroupPaths = Record<string, string>;

interface Usage {
  memoryBytes: number;
  cpuCores: number;
  pids: number;
}

export interface Meter extends Disposable {
  /** `cpuCores` is the mean since the last sample. */
  sample(nowMs: number): Usage;
  /** How many processes the kernel has killed in it for want of memory. Known after the end, too. */
  oomKills(): number;
  peakMemoryBytes(): number;
  /** Of its memory, what files in its own file systems take: that stays when its processes end. */
  filesBytes(): number;
  /** How many processes and threads the kernel has refused it, its limit being reached. */
  refusedPids(): number;
}

type Figure = "memory" | "peak" | "files" | "oom" | "cpu" | "pids" | "refused";

/** Where each figure is: v1's controller and file, v2's file, and how its text is read. */
const figures: Record<Figure, { controller: string; v1: string; v2: string; key1?: string; key2?: string }> = {
  memory: { controller: "memory", v1: "memory.usage_in_bytes", v2: "memory.current" },
  peak: { controller: "memory", v1: "memory.max_usage_in_bytes", v2: "memory.peak" },
  files: { controller: "memory", v1: "memory.stat", v2: "memory.stat", key1: "total_shmem", key2: "shmem" },
  oom: { controller: "memory", v1: "memory.oom_control", v2: "memory.events", key1: "oom_kill", key2: "oom_kill" },
  cpu: { controller: "cpuacct", v1: "cpuacct.usage", v2: "cpu.stat", key2: "usage_usec" },
  pids: { controller: "pids", v1: "pids.current", v2: "pids.current" },
  refused: { controller: "pids", v1: "pids.events", v2: "pids.events", key1: "max", key2: "max" },
};

/** The number in a one-number file, or the one after `key` in a file of lines "key number". */
export function readFigure(text: string, key?: string): number {
  if (key === undefined) return Number.parseInt(text, 10) || 0;
  for (const line of text.split("\n"))
    if (line.startsWith(`${key} `)) return Number.parseInt(line.slice(key.length + 1), 10) || 0;
  return 0;
}

const buffer = Buffer.alloc(4096);

/** Over less than this the processor's share is noise. */
const shortestSampleMs = 100;

export function openMeter(paths: CgroupPaths): Meter {
  const open = new Map<Figure, { fd: number; key: string | undefined; perSecond: number }>();
  const last: Record<Figure, number> = { memory: 0, peak: 0, files: 0, oom: 0, cpu: 0, pids: 0, refused: 0 };
  for (const figure of Object.keys(figures) as Figure[]) {
    const row = figures[figure];
    const v1 = paths[row.controller];
    const unified = paths[""];
    const file = v1 ? join(v1, row.v1) : unified ? join(unified, row.v2) : undefined;
    if (!file || !existsSync(file)) continue; // memory.peak is missing before Linux 5.19
    open.set(figure, { fd: openSync(file, "r"), key: v1 ? row.key1 : row.key2, perSecond: v1 ? 1e9 : 1e6 });
  }

  function read(figure: Figure): number {
    const source = open.get(figure);
    if (!source) return last[figure];
    try {
      const length = readSync(source.fd, buffer, 0, buffer.length, 0);
      last[figure] = readFigure(buffer.toString("latin1", 0, length), source.key);
    } catch (error) {
      if (errnoOf(error) !== "ENODEV") throw error; // the cgroup is gone: the last value stands
    }
    return last[figure];
  }

  let before = { cpu: read("cpu"), ms: 0 };
  let usage: Usage = { memoryBytes: read("memory"), cpuCores: 0, pids: read("pids") };
  return {
    sample(nowMs) {
      if (nowMs - before.ms < shortestSampleMs) return usage;
      const used = read("cpu");
      const seconds = (nowMs - before.ms) / 1000;
      const cpuCores = before.ms > 0 && seconds > 0 ? (used - before.cpu) / (open.get("cpu")?.perSecond ?? 1e9) / seconds : 0;
      before = { cpu: used, ms: nowMs };
      usage = { memoryBytes: read("memory"), cpuCores, pids: read("pids") };
      return usage;
    },
    oomKills: () => read("oom"),
    peakMemoryBytes: () => Math.max(read("peak"), last.memory),
    filesBytes: () => read("files"),
    refusedPids: () => read("refused"),
    [Symbol.dispose]() {
      read("oom");
      read("peak");
      for (const { fd } of open.values()) closeSync(fd);
      open.clear();
    },
  };
}

const removalPatienceMs = 2_000;

/** Removes cgroup folders whose processes are dead; the kernel may take some milliseconds to notice that they are empty. */
export async function removeCgroups(folders: Iterable<string>): Promise<void> {
  const deadline = performance.now() + removalPatienceMs;
  for (const folder of folders) {
    for (;;) {
      try {
        await rmdir(folder);
        break;
      } catch (error) {
        const code = errnoOf(error);
        if (code === "ENOENT" || code === "ENOTDIR") break;
        if (code !== "EBUSY" || performance.now() > deadline) throw systemError(`removing the cgroup ${folder}`, error);
        await after(2);
      }
    }
  }
}

const cgroupMount = "/sys/fs/cgroup";

/** The folders named `name` right below every mounted hierarchy's root. */
export async function cgroupFolders(name: string): Promise<string[]> {
  const roots = existsSync(join(cgroupMount, "cgroup.controllers"))
    ? [cgroupMount]
    : (await readdir(cgroupMount)).map((controller) => join(cgroupMount, controller));
  return roots.map((root) => join(root, name)).filter((folder) => existsSync(folder));
}

export async function cgroupProcesses(folder: string): Promise<number[]> {
  try {
    return (await readFile(join(folder, "cgroup.procs"), "utf8")).split("\n").filter(Boolean).map(Number);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENODEV") return [];
    throw systemError(`reading the cgroup ${folder}`, error);
  }
}

/** Whether swap can be limited here: without that runc refuses a configuration that does. */
export function swapLimitAvailable(): boolean {
  return (
    existsSync(join(cgroupMount, "memory/memory.memsw.limit_in_bytes")) || existsSync(join(cgroupMount, "cgroup.controllers"))
  );
}

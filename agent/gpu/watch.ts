// ⑤ The machine's GPUs and the processes on them, from two nvidia-smi that stay; none where there is no such program.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { errnoOf } from "../../base/errors.ts";
import type { Gpu, GpuProcess } from "../../proto/gen/hob/v1/fleet.ts";
import { containerOfCgroup, type GpuProcessLine, gpuFields, parseGpuLine, parseProcessLine, processFields } from "./smi.ts";

const sampleEveryMs = 1_000;
/** A process of which no line has come for so long is gone: the query prints nothing where there is none. */
const processKeptMs = 2_500;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;
/** A driver that nothing keeps loaded takes seconds for the first answer. */
const readyPatienceMs = 5_000;

export interface GpuWatch extends Disposable {
  /** By index. */
  current(): Gpu[];
  /** Resolves once the first sample is there, or it is clear that there are none. */
  readonly ready: Promise<void>;
}

interface Program extends Disposable {
  readonly missing: Promise<void>;
}

/** Runs nvidia-smi again, after a growing pause, whenever it ends; not at all where it does not exist. */
function keepRunning(args: string[], line: (text: string) => void, ended: () => void): Program {
  const missing = Promise.withResolvers<void>();
  let program: ReturnType<typeof spawn> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = firstPauseMs;
  let over = false;

  function start(): void {
    const child = spawn("nvidia-smi", [...args, "--format=csv,noheader,nounits", `--loop-ms=${sampleEveryMs}`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    program = child;
    child.on("error", (error) => {
      if (errnoOf(error) === "ENOENT") over = true; // no driver's tools: no GPUs
      missing.resolve();
    });
    child.on("close", () => {
      missing.resolve();
      ended();
      if (over) return;
      timer = setTimeout(start, pauseMs);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    });
    createInterface({ input: child.stdout }).on("line", (text) => {
      pauseMs = firstPauseMs;
      line(text);
    });
  }

  start();
  return {
    missing: missing.promise,
    [Symbol.dispose]() {
      over = true;
      clearTimeout(timer);
      program?.kill();
    },
  };
}

export function watchGpus(cgroupParent: string, now: () => number): GpuWatch {
  const gpus = new Map<number, Gpu>();
  const processes = new Map<string, GpuProcessLine & { seenAtMs: number; container: string }>();
  const first = Promise.withResolvers<void>();
  const devices = keepRunning(
    [`--query-gpu=${gpuFields.join(",")}`],
    (text) => {
      const parsed = parseGpuLine(text);
      if (!parsed) return;
      gpus.set(parsed.index, parsed.gpu);
      setTimeout(first.resolve, 50); // the lines of one sample come together
    },
    () => gpus.clear(),
  );
  const users = keepRunning(
    [`--query-compute-apps=${processFields.join(",")}`],
    (text) => {
      const parsed = parseProcessLine(text);
      if (!parsed) return;
      const key = `${parsed.uuid} ${parsed.pid}`;
      const container = processes.get(key)?.container ?? containerOf(parsed.pid, cgroupParent);
      processes.set(key, { ...parsed, seenAtMs: now(), container });
    },
    () => processes.clear(),
  );
  const timer = setTimeout(first.resolve, readyPatienceMs);

  function processesOf(uuid: string): GpuProcess[] {
    for (const [key, { seenAtMs, pid, container }] of processes) {
      const ended = container !== "" && !existsSync(`/proc/${pid}`); // one of ours: its number is known to be of this pid namespace
      if (ended || now() - seenAtMs > processKeptMs) processes.delete(key);
    }
    return [...processes.values()]
      .filter((entry) => entry.uuid === uuid)
      .map(({ pid, name, memoryBytes, container }) => ({ pid, name, memoryBytes, container }));
  }

  return {
    current: () => [...gpus.entries()].sort(([a], [b]) => a - b).map(([, gpu]) => ({ ...gpu, processes: processesOf(gpu.uuid) })),
    ready: Promise.race([first.promise, devices.missing]).finally(() => clearTimeout(timer)),
    [Symbol.dispose]() {
      clearTimeout(timer);
      devices[Symbol.dispose]();
      users[Symbol.dispose]();
    },
  };
}

function containerOf(pid: number, parent: string): string {
  try {
    return containerOfCgroup(readFileSync(`/proc/${pid}/cgroup`, "utf8"), parent);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return ""; // it has ended, or is of another pid namespace
    throw error;
  }
}

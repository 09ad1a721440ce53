// ⑤ Room on the disks, GPUs, and what dead pools have left.

import { execFile } from "node:child_process";
import { existsSync, readdirSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isRunning } from "../../agent/container/process.ts";
import { obstacleOf } from "../../agent/gpu/gpus.ts";
import { gpuFields, parseGpuLine } from "../../agent/gpu/smi.ts";
import { readOwner } from "../../agent/run-folder.ts";
import { cacheFolder, runFolder, stateFolder } from "../../base/paths.ts";
import { formatBytes } from "../format/bytes.ts";
import { findExecutable } from "../prerequisites.ts";
import type { Finding } from "./finding.ts";

const run = promisify(execFile);
const GiB = 1024 ** 3;

interface Room {
  purpose: string;
  folder: string;
  limitedBytes: number;
  missingBytes: number;
  override: string;
}

/** The run folder lies in memory (tmpfs) and holds sockets and settings only; the cache holds the blobs of images. */
const rooms = (): Room[] => [
  { purpose: "cache", folder: cacheFolder(), limitedBytes: 4 * GiB, missingBytes: GiB / 2, override: "XDG_CACHE_HOME" },
  { purpose: "state", folder: stateFolder(), limitedBytes: GiB, missingBytes: GiB / 10, override: "XDG_STATE_HOME" },
  { purpose: "run", folder: runFolder(), limitedBytes: GiB / 64, missingBytes: GiB / 512, override: "HOB_RUN_DIR" },
];

export function checkDisks(): Finding[] {
  return rooms().map((room) => judgeRoom(room, freeBytes(room.folder)));
}

function freeBytes(folder: string): number {
  let existing = folder;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  return bavail * bsize;
}

export function judgeRoom(room: Room, free: number): Finding {
  const row = {
    check: `disk-${room.purpose}`,
    title: `disk, ${room.purpose}`,
    found: `${formatBytes(free)} free at ${room.folder}`,
  };
  if (free >= room.limitedBytes) return { ...row, state: "ok", meaning: "enough" };
  const remedy = `free some space, or move it with ${room.override}`;
  if (free >= room.missingBytes) return { ...row, state: "limited", meaning: "little: captures and results may fail", remedy };
  return { ...row, state: "missing", meaning: "too little for hob to work", remedy };
}

export async function checkGpu(): Promise<Finding> {
  const row = { check: "gpu", title: "GPU" };
  const program = findExecutable("nvidia-smi");
  if (!program) return { ...row, state: "ok", found: "none", meaning: "functions run on the CPU" };
  try {
    const query = [`--query-gpu=${gpuFields.join(",")}`, "--format=csv,noheader,nounits"];
    const { stdout } = await run(program, query, { timeout: 20_000 });
    const gpus = stdout.split("\n").flatMap((line) => parseGpuLine(line) ?? []);
    const found = gpus.map(({ gpu }) => `${gpu.name}, ${formatBytes(gpu.memoryTotalBytes)}`).join("; ") || "none";
    const obstacle = gpus.map(({ index, gpu }) => obstacleOf(gpu.uuid, index)).find(Boolean);
    if (gpus.length === 0) return { ...row, state: "ok", found, meaning: "functions run on the CPU" };
    if (obstacle === undefined) return { ...row, state: "ok", found, meaning: "containers can be given it" };
    return { ...row, state: "limited", found, meaning: "no container can be given it", remedy: obstacle };
  } catch (error) {
    const found = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    const remedy = "check the driver: `nvidia-smi` must answer";
    return { ...row, state: "limited", found, meaning: "nvidia-smi does not work", remedy };
  }
}

/** Run folders whose agent was killed: its folder still says whose it was. */
export function checkLeftovers(): Finding {
  const row = { check: "leftovers", title: "leftovers" };
  const root = runFolder();
  const runs = existsSync(root) ? readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : [];
  const dead = runs.filter(({ name }) => {
    const owner = readOwner(join(root, name));
    return owner !== undefined && !isRunning(owner.agent);
  });
  if (dead.length === 0) return { ...row, state: "ok", found: "none", meaning: "no pool has died here" };
  const found = `pool ${dead.map(({ name }) => name).join(", ")}`;
  const remedy = "`hob pool stop --force` removes them, and so does the next start";
  return { ...row, state: "limited", found, meaning: "left by a pool that was killed", remedy };
}

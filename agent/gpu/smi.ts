// ⑤ What nvidia-smi prints, line by line. Pure.

import type { Gpu } from "../../proto/gen/hob/v1/fleet.ts";

export const gpuFields = ["index", "uuid", "name", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu"];
export const processFields = ["gpu_uuid", "pid", "process_name", "used_memory"];
const MiB = 2 ** 20;

const cellsOf = (line: string): string[] => line.split(",").map((cell) => cell.trim());
/** "[N/A]", "[Not Supported]" and "[Insufficient Permissions]" are 0. */
const number = (text: string | undefined): number => Number.parseFloat(text ?? "") || 0;

/** One line of `--query-gpu` as CSV without header and units; undefined for anything else. What a GPU does not tell ("[N/A]") is 0. */
export function parseGpuLine(line: string): { index: number; gpu: Gpu } | undefined {
  const cells = cellsOf(line);
  const index = Number(cells[0]);
  const [, uuid = "", name = "", utilisation, used, total, temperature] = cells;
  if (cells.length !== gpuFields.length || !Number.isInteger(index) || !uuid.startsWith("GPU-")) return undefined;
  const gpu: Gpu = {
    ...{ uuid, name, functions: [], processes: [], obstacle: "" },
    utilisation: number(utilisation) / 100,
    memoryUsedBytes: number(used) * MiB,
    memoryTotalBytes: number(total) * MiB,
    temperatureC: number(temperature),
  };
  return { index, gpu };
}

export interface GpuProcessLine {
  uuid: string;
  pid: number;
  name: string;
  memoryBytes: number;
}

/** One line of `--query-compute-apps`. A process' name may hold commas: the fields around it may not. */
export function parseProcessLine(line: string): GpuProcessLine | undefined {
  const match = /^\s*((?:GPU|MIG)-[^,\s]+)\s*,\s*(\d+)\s*,\s*(.*?)\s*,\s*([^,]*)$/.exec(line);
  if (!match) return undefined;
  const [, uuid = "", pid = "", name = "", memory] = match;
  return { uuid, pid: Number(pid), name, memoryBytes: number(memory) * MiB };
}

/** The container in whose cgroup a process is, from the text of /proc/PID/cgroup: PARENT/ID in any hierarchy; "" outside of ours. */
export function containerOfCgroup(text: string, parent: string): string {
  for (const line of text.split("\n")) {
    const parts = line.slice(line.indexOf(":", line.indexOf(":") + 1) + 1).split("/");
    const at = parts.indexOf(parent);
    if (at >= 0 && parts[at + 1]) return parts[at + 1] ?? "";
  }
  return "";
}

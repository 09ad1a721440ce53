// ⑤ The machine's GPUs, from one resident nvidia-smi; none where there is no such program.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Gpu } from "../proto/gen/hob/v1/fleet.ts";

const fields = ["index", "uuid", "name", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu"];
const sampleEveryMs = 1_000;
const MiB = 2 ** 20;

/** One line of nvidia-smi's CSV without header and units; undefined for anything else. What a GPU does not tell ("[N/A]") is 0. */
export function parseGpuLine(line: string): { index: number; gpu: Gpu } | undefined {
  const cells = line.split(",").map((cell) => cell.trim());
  const index = Number(cells[0]);
  const [, uuid = "", name = "", utilisation = "", used = "", total = "", temperature = ""] = cells;
  if (cells.length !== fields.length || !Number.isInteger(index) || !uuid.startsWith("GPU-")) return undefined;
  const number = (text: string): number => Number.parseFloat(text) || 0;
  const gpu: Gpu = {
    ...{ uuid, name, functions: [], processes: [] },
    utilisation: number(utilisation) / 100,
    memoryUsedBytes: number(used) * MiB,
    memoryTotalBytes: number(total) * MiB,
    temperatureC: number(temperature),
  };
  return { index, gpu };
}

export interface GpuWatch extends Disposable {
  current(): Gpu[];
}

export function watchGpus(): GpuWatch {
  const gpus = new Map<number, Gpu>();
  const args = [`--query-gpu=${fields.join(",")}`, "--format=csv,noheader,nounits", `--loop-ms=${sampleEveryMs}`];
  const program = spawn("nvidia-smi", args, { stdio: ["ignore", "pipe", "ignore"] });
  program.on("error", () => {}); // no nvidia-smi: no GPUs
  program.on("exit", () => gpus.clear());
  createInterface({ input: program.stdout }).on("line", (line) => {
    const parsed = parseGpuLine(line);
    if (parsed) gpus.set(parsed.index, parsed.gpu);
  });
  return {
    current: () => [...gpus.entries()].sort(([a], [b]) => a - b).map(([, gpu]) => gpu),
    [Symbol.dispose]: () => void program.kill(),
  };
}

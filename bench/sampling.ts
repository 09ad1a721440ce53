// What a sample of many containers costs: cgroup files kept open and read in place, against opening them each time.

import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { openMeter, readFigure } from "../agent/container/cgroup.ts";
import { readRuncState } from "../agent/container/runc.ts";
import { quantile } from "./report.ts";

const repetitions = 50;
const buffer = Buffer.alloc(4096);

/** Medians of one sample of all these containers; both read memory, processor time and pids of each. */
export function sampling(runcRoot: string, containers: string[]): { keptMs: number; openedMs: number } {
  const paths = containers.map((id) => readRuncState(join(runcRoot, id))?.cgroups ?? {});
  const files = paths.flatMap((path) => [
    path["memory"] ? join(path["memory"], "memory.usage_in_bytes") : join(path[""] ?? "", "memory.current"),
    path["cpuacct"] ? join(path["cpuacct"], "cpuacct.usage") : join(path[""] ?? "", "cpu.stat"),
    path["pids"] ? join(path["pids"], "pids.current") : join(path[""] ?? "", "pids.current"),
  ]);
  using stack = new DisposableStack();
  const meters = paths.map((path) => stack.use(openMeter(path)));
  const kept: number[] = [];
  const opened: number[] = [];
  for (let i = 1; i <= repetitions; i++) {
    const nowMs = i * 1_000; // a meter answers twice within a tenth of a second with the same figures
    const first = performance.now();
    for (const meter of meters) meter.sample(nowMs);
    const second = performance.now();
    for (const file of files) readOnce(file);
    kept.push(second - first);
    opened.push(performance.now() - second);
  }
  return { keptMs: quantile(kept, 0.5), openedMs: quantile(opened, 0.5) };
}

function readOnce(file: string): number {
  const fd = openSync(file, "r");
  const length = readSync(fd, buffer, 0, buffer.length, 0);
  closeSync(fd);
  return readFigure(buffer.toString("latin1", 0, length));
}

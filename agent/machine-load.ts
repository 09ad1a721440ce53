// ⑤ How busy the machine is, from /proc through kept descriptors.

import { closeSync, openSync, readSync } from "node:fs";

/** Busy and total clock ticks from the first line of /proc/stat: user nice system idle iowait irq softirq steal. */
export function parseCpuTicks(text: string): { busy: number; total: number } {
  const ticks = text.slice(0, text.indexOf("\n")).split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busy: total - idle, total };
}

/** Bytes in use (total less what is available) from /proc/meminfo. */
export function parseMemory(text: string): { totalBytes: number; usedBytes: number } {
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  const totalBytes = kilobytes("MemTotal") * 1024;
  return { totalBytes, usedBytes: totalBytes - kilobytes("MemAvailable") * 1024 };
}

export interface MachineLoad extends Disposable {
  /** `cpuUsed` in cores, the mean since the last sample. */
  sample(): { cpuUsed: number; memoryBytes: number; memoryUsedBytes: number };
}

export function openMachineLoad(cores: number): MachineLoad {
  const stat = openSync("/proc/stat", "r");
  const meminfo = openSync("/proc/meminfo", "r");
  const buffer = Buffer.alloc(8192);
  const text = (fd: number): string => buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, 0));
  let before = parseCpuTicks(text(stat));
  return {
    sample() {
      const now = parseCpuTicks(text(stat));
      const elapsed = now.total - before.total;
      const cpuUsed = elapsed > 0 ? ((now.busy - before.busy) / elapsed) * cores : 0;
      before = now;
      const { totalBytes, usedBytes } = parseMemory(text(meminfo));
      return { cpuUsed, memoryBytes: totalBytes, memoryUsedBytes: usedBytes };
    },
    [Symbol.dispose]() {
      closeSync(stat);
      closeSync(meminfo);
    },
  };
}

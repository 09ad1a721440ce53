// The processes of a pool that a bench looks at, found by the folder that it keeps its state in.

import { readdirSync, readFileSync } from "node:fs";

export function poolProcesses(state: string): Record<"fuse" | "agent" | "control", string> {
  const ours = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/environ`).includes(state));
  const isDaemon = (arg: string): boolean => /fusefs\/daemon\.[jt]s$/.test(arg);
  const fuse = ours.find((pid) => read(`/proc/${pid}/cmdline`).split("\0").some(isDaemon));
  if (!fuse) throw new Error("the pool has no FUSE daemon");
  const agent = parentOf(fuse);
  return { fuse, agent, control: parentOf(agent) };
}

export function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // it ended while we looked
  }
}

export const parentOf = (pid: string): string => /^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? "";
export const residentBytes = (pid: string): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;

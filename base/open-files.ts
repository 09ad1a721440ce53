// How many files this process may have open. Node raises its own soft limit to the hard one when it starts.

import { readFileSync } from "node:fs";

/** This process' hard limit of open files. */
export function openFilesLimit(): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  return hard === undefined || hard === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(hard);
}

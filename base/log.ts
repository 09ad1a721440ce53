// Logs of the daemons: JSON lines to a file, never to a screen.

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { destination, type Logger, pino } from "pino";

export type Log = Logger;

/** Appends to `file` (made when missing), or writes to stderr when `file` is "-". HOB_LOG_LEVEL sets the level (default info). */
export function openLog(name: string, file: string): Log {
  const level = process.env["HOB_LOG_LEVEL"] || "info";
  if (file === "-") return pino({ name, level }, destination({ fd: 2, sync: true }));
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Synchronous: what a process wrote is in the file however it ends, and the file is open before the first line.
  return pino({ name, level }, destination({ dest: file, append: true, sync: true }));
}

export const silentLog: Log = pino({ level: "silent" });

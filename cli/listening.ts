// ③ Learns from the file system, not from a clock, that a unix socket of this process listens.

import { existsSync, mkdirSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { systemError } from "../base/errors.ts";
import { answers } from "./embedded.ts";

/** Calls `ready` once, when somebody answers at `socket`. A file that a killed process has left does not answer. */
export function whenListening(socket: string, ready: () => void): Disposable {
  const folder = dirname(socket);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o711 }); // containers' mapped root walks through it
  } catch (error) {
    throw systemError(`making ${folder}`, error, "HOB_RUN_DIR moves the run folder");
  }
  let over = false;
  const look = async (): Promise<void> => {
    if (over || !existsSync(socket) || !(await answers(socket)) || over) return;
    end();
    ready();
  };
  const watcher = watch(folder, (_, name) => {
    if (name === null || name === basename(socket)) void look();
  });
  const end = (): void => {
    over = true;
    watcher.close();
  };
  void look();
  return { [Symbol.dispose]: end };
}

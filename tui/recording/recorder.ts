// ⑧ Writes a session to a file while it is lived: `hob dev --record FILE`.

import { closeSync, openSync, writeSync } from "node:fs";
import { HobError } from "../../base/errors.ts";
import { eventLine, headerLine, type RecordingHeader, type SessionEvent } from "./format.ts";

const flushMs = 200;
const mostHeldBytes = 1 << 20;

export interface Recorder extends Disposable {
  record(event: SessionEvent): void;
}

/** The file holds arguments, results and output: it is its owner's alone (0600). Throws a HobError of kind `usage` where it exists already. */
export function createRecorder(path: string, header: RecordingHeader, nowMs: () => number): Recorder {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === "EEXIST" ? "it exists already" : (error as Error).message;
    throw new HobError("usage", `the session cannot be recorded to ${path}: ${why}`, { remedy: "name another file" });
  }
  let held = `${headerLine(header)}\n`;
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    writeSync(file, held);
    held = "";
  }
  return {
    record(event) {
      held += `${eventLine({ atMs: nowMs() - header.startedAtMs, event })}\n`;
      if (held.length > mostHeldBytes) flush();
      else timer ??= setTimeout(flush, flushMs);
    },
    [Symbol.dispose]() {
      flush();
      closeSync(file);
    },
  };
}

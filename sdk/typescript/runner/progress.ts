// ⑥ Which input of a map a process is in, in a file that outlives it: whoever finds it dead knows which input ended it.

import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Of the process, as its descriptor: after the runner's socket. */
const progressFd = 4;
/** Several batches run in one process where its function allows it: each has a record of its own, (number, position), by turns. */
const records = 64;
const recordBytes = 8;

export interface ProgressFile extends Disposable {
  /** -1 where there is no room for a file. */
  readonly fd: number;
  /** The position at which that batch stood. */
  positionOf(inputs: number): number | undefined;
}

/** It has no name any more when the process gets it. */
export function openProgressFile(): ProgressFile {
  let fd = -1;
  for (const folder of ["/dev/shm", tmpdir()]) {
    try {
      const path = join(folder, `.hob-progress-${process.pid}-${performance.now()}`);
      fd = openSync(path, "wx+", 0o600);
      unlinkSync(path);
      break;
    } catch {
      // The other folder, or none: then a death is the failure of the first input without a result.
    }
  }
  return {
    fd,
    positionOf(inputs) {
      if (fd < 0) return undefined;
      const record = Buffer.alloc(recordBytes);
      const read = readSync(fd, record, 0, recordBytes, (inputs % records) * recordBytes);
      return read === recordBytes && record.readUInt32LE(0) === inputs ? record.readUInt32LE(4) : undefined;
    },
    [Symbol.dispose]() {
      if (fd >= 0) closeSync(fd);
      fd = -1;
    },
  };
}

/** The process's side: notes the position before the input begins. */
export function noteProgress(inputs: number): (position: number) => void {
  const record = Buffer.alloc(recordBytes);
  record.writeUInt32LE(inputs, 0);
  return (position) => {
    record.writeUInt32LE(position, 4);
    try {
      writeSync(progressFd, record, 0, recordBytes, (inputs % records) * recordBytes);
    } catch {
      // There is none, or the user's code has closed it.
    }
  };
}

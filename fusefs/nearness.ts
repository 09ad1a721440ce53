// ⑤ A worker moves to the processor of the process that asks, while one asks again and again: waking a thread on another processor, and being woken
// from there, costs several times what the answer does.

import { constants } from "node:fs";
import { close, getAffinity, open, read, setAffinity } from "./syscalls.ts";

/** So many requests of one process make it the one that asks. */
const followAfter = 8;
/** It may be on another processor by then. */
const lookAgainAfter = 64;
/** After so long without a request the worker may run anywhere again. */
export const REST_MS = 10;

export interface Nearness {
  /** A request of that process (0: unknown) has been read. */
  asked(pid: number): void;
  /** Whether the worker is bound to a processor. */
  readonly bound: boolean;
  rest(): void;
}

/** For the thread that calls it. */
export function createNearness(): Nearness {
  const anywhere = getAffinity();
  const processors = countBits(anywhere);
  const only = Buffer.alloc(anywhere.length);
  const stat = Buffer.alloc(1024);
  let asking = 0;
  let count = 0;
  let processor = -1;

  function bind(next: number): void {
    if (next === processor) return;
    const isOurs = next >= 0 && ((anywhere[next >> 3] ?? 0) & (1 << (next & 7))) !== 0;
    if (!isOurs) return;
    only.fill(0);
    only[next >> 3] = 1 << (next & 7);
    if (setAffinity(only) === 0) processor = next;
  }

  function rest(): void {
    count = 0;
    if (processor < 0) return;
    setAffinity(anywhere);
    processor = -1;
  }

  return {
    get bound() {
      return processor >= 0;
    },
    asked(pid) {
      if (processors < 2 || pid === 0) return;
      if (pid !== asking) {
        rest();
        asking = pid;
      }
      count++;
      if (count === followAfter || count % lookAgainAfter === 0) bind(processorOf(pid, stat));
    },
    rest,
  };
}

/** Where a thread runs or ran last; -1 where nobody knows. proc(5): the 39th field of /proc/PID/stat. */
function processorOf(pid: number, buffer: Buffer): number {
  const fd = open(`/proc/${pid}/stat`, constants.O_RDONLY | 0o2000000); // O_CLOEXEC
  if (fd < 0) return -1;
  const bytes = read(fd, buffer);
  close(fd);
  const text = buffer.toString("latin1", 0, Math.max(0, bytes));
  const field = text.slice(text.lastIndexOf(")") + 2).split(" ")[36]; // the first behind the name is the third
  return field === undefined ? -1 : Number(field);
}

const countBits = (mask: Buffer): number => mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);

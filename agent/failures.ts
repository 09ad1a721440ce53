// ⑥ What a call's failure is called, once it is known what became of its container. Pure.

import type { Failure } from "../proto/gen/hob/v1/common.ts";
import { oversized } from "../proto/large-value.ts";
import { pidsLimit, writableBytes } from "./container/spec.ts";
import type { ContainerState } from "./container/state.ts";

export interface Circumstances {
  container: string;
  state: ContainerState;
  /** Whether the kernel has killed for memory in the container since the call began. */
  memoryKill: boolean;
  /** Whether it has refused a process or a thread since. */
  pidsRefused: boolean;
  limitBytes: number; // 0: none
  peakBytes: number;
}

export function failure(kind: string, message: string): Failure {
  return { kind, type: "", message, traceback: "", frames: [] };
}

const MiB = 2 ** 20;
const mebibytes = (bytes: number): string => `${Math.round(bytes / MiB)} MiB`;

const memoryText = ({ limitBytes, peakBytes }: Pick<Circumstances, "limitBytes" | "peakBytes">): string =>
  `${limitBytes > 0 ? `limit ${mebibytes(limitBytes)}` : "no limit of its own"}, peak ${mebibytes(peakBytes)}`;

/** The runner sees a process die; only here is it known why: memory, or because we ended the container (then another try is in order). */
export function explain(seen: Failure, circumstances: Circumstances): Failure {
  const { container, state, memoryKill } = circumstances;
  // A load that failed without a traceback is a process that died while it imported.
  const ended = ["exit", "signal", "infrastructure"].includes(seen.kind);
  const died = ended || (seen.kind === "load" && seen.traceback === "");
  if (!died) return annotate(seen, circumstances);
  if (memoryKill) {
    return failure("memory", `the function ran out of memory (${memoryText(circumstances)}): give it more with memory=`);
  }
  if ((state.name === "stopping" || state.name === "gone") && state.by === "agent") {
    return failure("infrastructure", `container ${container} was ended under the call: ${state.reason}`);
  }
  return seen;
}

/** A limit of the container that the code ran into shows in it as some error: the limit is said beside it. */
function annotate(seen: Failure, circumstances: Circumstances): Failure {
  if (seen.kind !== "exception" && seen.kind !== "load") return seen;
  const notes: string[] = [];
  if (circumstances.memoryKill) {
    const what = `a process of the container was ended for want of memory, ${memoryText(circumstances)}`;
    notes.push(`${what}: give the function more with memory=`);
  }
  if (circumstances.pidsRefused) notes.push(`the container reached its limit of ${pidsLimit} processes and threads`);
  if (/No space left on device|ENOSPC/.test(seen.message)) {
    const disk = mebibytes(writableBytes({ memoryBytes: circumstances.limitBytes }));
    notes.push(`the container's disk holds ${disk}, half of its memory: give the function more with memory=`);
  }
  return notes.length === 0 ? seen : { ...seen, message: `${seen.message} (${notes.join("; ")})` };
}

/** Said in the log of a call that succeeded although a process of its container was killed for memory: a child that nobody missed, perhaps. */
export function memoryNote(circumstances: Pick<Circumstances, "limitBytes" | "peakBytes">): string {
  return `hob: a process of the container was ended for want of memory (${memoryText(circumstances)})`;
}

/** A result that is larger than any may be. */
export const tooLarge = (name: string, bytes: number, mostBytes?: number): Failure =>
  failure("encoding", oversized(`${name}: the result`, bytes, "return less of it at a time", mostBytes));

// ⑥ What a call's failure is called, once it is known what became of its container. Pure.

import type { Failure } from "../proto/gen/hob/v1/common.ts";
import type { ContainerState } from "./container/state.ts";

export interface Circumstances {
  container: string;
  state: ContainerState;
  /** Whether the kernel has killed for memory in the container since the call began. */
  memoryKill: boolean;
  limitBytes: number; // 0: none
  peakBytes: number;
}

export function failure(kind: string, message: string): Failure {
  return { kind, type: "", message, traceback: "", frames: [] };
}

const MiB = 2 ** 20;
const mebibytes = (bytes: number): string => `${Math.round(bytes / MiB)} MiB`;

/** The runner sees a process die; only here is it known why: memory, or because we ended the container (then another try is in order). */
export function explain(seen: Failure, { container, state, memoryKill, limitBytes, peakBytes }: Circumstances): Failure {
  // A load that failed without a traceback is a process that died while it imported.
  const died = seen.kind === "exit" || seen.kind === "signal" || (seen.kind === "load" && seen.traceback === "");
  if (!died) return seen;
  if (memoryKill) {
    const limit =
      limitBytes > 0
        ? `limit ${mebibytes(limitBytes)}, peak ${mebibytes(peakBytes)}`
        : `no limit of its own, peak ${mebibytes(peakBytes)}`;
    return failure("memory", `the function ran out of memory (${limit}): give it more with memory=`);
  }
  if ((state.name === "stopping" || state.name === "gone") && state.by === "agent") {
    return failure("infrastructure", `container ${container} was ended under the call: ${state.reason}`);
  }
  return seen;
}

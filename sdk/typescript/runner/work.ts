// ⑥ What a process is given to do, a call or inputs of a map: what its answers name it by, and how it is refused.

import { encodeFrame, type Failure, type Frame, type Heads } from "./frames.ts";

export type Work = Frame & { name: "call" | "inputs" };

type Name = { call: string } | { inputs: number };

export const nameOf = ({ name, head }: Work): Name => (name === "call" ? { call: head.call } : { inputs: head.inputs });

/** Under which it is kept; "" for a head that names neither. */
export function keyOf(head: { call?: string | undefined; inputs?: number | undefined }): string {
  return head.call ?? (head.inputs === undefined ? "" : `inputs ${head.inputs}`);
}

/** Under which call its output is. */
export const speakerOf = ({ name, head }: Work): string => (name === "call" ? head.call : head.map);

/** Its last answer: with `guilty`, the failure is that input's; else of all that have no result. */
export function refusal(work: Work, failure: Failure, droppedBytes = 0, guilty?: number): Buffer {
  const end = { runMs: 0, droppedBytes, failure };
  if (work.name === "call") return encodeFrame("result", { call: work.head.call, ...end });
  const none = { first: 0, sizes: [], failures: [], last: true };
  const head: Heads["results"] = { inputs: work.head.inputs, ...none, ...end, ...(guilty === undefined ? {} : { guilty }) };
  return encodeFrame("results", head);
}

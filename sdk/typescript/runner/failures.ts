// ⑥ What was thrown, as a failure: the traceback as Node prints it, with the project's paths relative and no frame of ours.

import { inspect } from "node:util";
import { traceFrames } from "./evaluate.ts";
import type { Failure } from "./frames.ts";

export function failureOf(thrown: unknown, kind: "exception" | "load"): Failure {
  if (!(thrown instanceof Error)) {
    return {
      kind,
      type: typeof thrown,
      message: textOf(() => String(thrown)),
      traceback: textOf(() => `Uncaught ${inspect(thrown)}`, longestTraceback),
      frames: [],
    };
  }
  return {
    kind,
    type: textOf(() => thrown.name || thrown.constructor.name),
    message: textOf(() => thrown.message || thrown.name),
    traceback: textOf(() => inspect(thrown, { depth: 2 }), longestTraceback),
    frames: traceFrames(thrown),
  };
}

/** An error's text may be as long as its author likes; a failure goes to every client. */
const longestMessage = 16 << 10;
const longestTraceback = 256 << 10;

function textOf(make: () => string, longest = longestMessage): string {
  try {
    const text = String(make());
    return text.length <= longest ? text : `${text.slice(0, longest)}… (${text.length - longest} more characters)`;
  } catch (fault) {
    return `an exception whose text cannot be had: ${fault instanceof Error ? fault.message : typeof fault}`;
  }
}

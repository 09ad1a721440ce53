// ⑧ A call's outcome: the result as JSON on stdout, or what went wrong on stderr and the exit code that says whose fault it is.

import { type ErrorKind, exitCode, HobError } from "../base/errors.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { Failure } from "../proto/gen/hob/v1/common.ts";
import { callObject } from "./call-row.ts";
import { printJson } from "./output.ts";

/** Failures that are not the function's own. */
const notTheFunction: Record<string, ErrorKind> = {
  arguments: "usage",
  cancelled: "cancelled",
  infrastructure: "unavailable",
};

export function failureExitCode(failure: Failure): number {
  return exitCode(new HobError(notTheFunction[failure.kind] ?? "function", failure.message));
}

export function printOutcome(call: CallInfo, json: boolean): void {
  if (json) printJson({ ok: call.state === "succeeded", ...callObject(call) });
  else if (call.result && !call.failure) process.stdout.write(`${Buffer.from(call.result.json).toString("utf8")}\n`);
  const failure = call.failure ?? (call.state === "cancelled" ? cancelled : undefined);
  if (!failure) return;
  process.stderr.write(failureText(call.function, failure));
  process.exitCode = failureExitCode(failure);
}

const cancelled: Failure = { kind: "cancelled", type: "", message: "it was cancelled", traceback: "", frames: [] };

/** The traceback as the language prints it, then one sentence. */
export function failureText(name: string, { kind, type, message, traceback }: Failure): string {
  const before = traceback ? `${traceback.trimEnd()}\n` : "";
  const what = kind === "exception" && type ? `${type}: ${message}` : message;
  return `${before}hob: ${name} ${kind === "cancelled" ? "was cancelled" : "failed"}: ${what}\n`;
}

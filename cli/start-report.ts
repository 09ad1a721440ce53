// ③ One line from a control that starts to the client that started it: "it listens", or why it does not.

import { closeSync, writeSync } from "node:fs";
import { type ErrorKind, HobError, sentenceOf } from "../base/errors.ts";

type StartReport = { state: "ready" } | { state: "failed"; kind: ErrorKind; message: string };

/** Undefined when `line` is none: the process ended without a word. */
export function decodeReport(line: string): StartReport | undefined {
  return line.trim() === "" ? undefined : (JSON.parse(line) as StartReport);
}

export interface StartReporter {
  ready(): void;
  failed(error: unknown): void;
}

/** Writes to the descriptor that the starting client named; silent where nobody waits. Only the first report is sent. */
export function startReporter(): StartReporter {
  let descriptor = Number(process.env["HOB_START_REPORT_FD"] ?? 0);
  delete process.env["HOB_START_REPORT_FD"]; // not for the processes that control starts
  const send = (report: StartReport): void => {
    if (descriptor === 0) return;
    try {
      writeSync(descriptor, JSON.stringify(report));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EPIPE")) throw error; // the client has gone: control serves others
    }
    closeSync(descriptor);
    descriptor = 0;
  };
  return {
    ready: () => send({ state: "ready" }),
    failed: (error) => {
      const kind = error instanceof HobError ? error.kind : "internal";
      send({ state: "failed", kind, message: sentenceOf(error) });
    },
  };
}

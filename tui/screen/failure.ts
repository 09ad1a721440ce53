// ⑧ Why a call failed: its sentence, then the user's own frames with their source lines.

import type { Failure, Frame } from "../../proto/gen/hob/v1/common.ts";
import { type Line, line, span } from "./line.ts";

/** "ValueError: bad shape", or the sentence alone where there is no type. */
export function failureSentence({ type, message }: Failure): string {
  return type === "" || message.startsWith(`${type}:`) ? message : `${type}: ${message}`;
}

function frameLines({ file, line: number, function: name, source, own }: Frame): Line[] {
  const where = `${file}:${number}`;
  return [
    [span("  "), span(where, own ? "strong" : "dim"), span(name === "" ? "" : `  in ${name}`, "dim")],
    ...(source === "" ? [] : [[span("    "), span(source, own ? "plain" : "dim")]]),
  ];
}

/** All frames with `all`, else the project's own where there are any. Innermost last, as the languages print them. */
export function failureLines(failure: Failure, all: boolean): Line[] {
  const own = failure.frames.filter((frame) => frame.own);
  const shown = all || own.length === 0 ? failure.frames : own;
  const head = line(`✗ ${failureSentence(failure)}`, "bad");
  if (shown.length > 0) return [head, ...shown.flatMap(frameLines)];
  const traceback = failure.traceback.trimEnd();
  return traceback === "" ? [head] : [head, ...traceback.split("\n").map((text) => line(`  ${text}`, "dim"))];
}

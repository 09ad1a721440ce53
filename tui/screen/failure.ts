// ⑧ Why a call failed: its sentence, how often it came, then the user's own frames with their source lines; those of others folded.

import type { Failure, Frame } from "../../proto/gen/hob/v1/common.ts";
import type { CallRecord } from "../model/calls.ts";
import { counted, timeOfDay } from "../units.ts";
import { type FileLink, type Line, line, type Span, span } from "./line.ts";

/** "ValueError: bad shape", or the sentence alone where there is no type. */
export function failureSentence({ type, message }: Failure): string {
  return type === "" || message.startsWith(`${type}:`) ? message : `${type}: ${message}`;
}

/** "app.py:12" as a link to that line of the project; plain where the project's files are elsewhere (a recorded session). */
export function placeSpan(text: string, root: string | undefined, { file, line: number }: FileLink): Span {
  const place = span(text, "strong");
  return root === undefined ? place : { ...place, link: { file: `${root}/${file}`, line: number } };
}

function frameLines({ file, line: number, function: name, source, own }: Frame, root: string | undefined): Line[] {
  const where = `${file}:${number}`;
  return [
    [
      span("  "),
      own ? placeSpan(where, root, { file, line: number }) : span(where, "dim"),
      span(name === "" ? "" : `  in ${name}`, "dim"),
    ],
    ...(source === "" ? [] : [[span("    "), span(source, own ? "plain" : "dim")]]),
  ];
}

/** Neighbours that are not the project's as one line. */
function foldedLines(frames: readonly Frame[], root: string | undefined): Line[] {
  const lines: Line[] = [];
  let others: Frame[] = [];
  const tell = (): void => {
    const [first] = others;
    if (first && others.length === 1) lines.push(...frameLines(first, root));
    else if (first) lines.push(line(`  … ${counted(others.length, "frame")} of others, from ${first.file} on`, "dim"));
    others = [];
  };
  for (const frame of frames) {
    if (frame.own) {
      tell();
      lines.push(...frameLines(frame, root));
    } else others.push(frame);
  }
  tell();
  return lines;
}

/** "own": the project's frames where there are any; "folded": all, neighbours of others as one line; "all". */
export type FramesShown = "own" | "folded" | "all";

/** Innermost last, as the languages print them. `root` is where the project's files lie, if they are here. */
export function failureLines(failure: Failure, frames: FramesShown, root: string | undefined): Line[] {
  const own = failure.frames.filter((frame) => frame.own);
  const shown = frames === "own" && own.length > 0 ? own : failure.frames;
  const head = line(`✗ ${failureSentence(failure)}`, "bad");
  if (shown.length > 0)
    return [
      head,
      ...(frames === "folded" && own.length > 0 ? foldedLines(shown, root) : shown.flatMap((frame) => frameLines(frame, root))),
    ];
  const traceback = failure.traceback.trimEnd();
  return traceback === "" ? [head] : [head, ...traceback.split("\n").map((text) => line(`  ${text}`, "dim"))];
}

/** Where the same failure came several times in a row. */
export function repeatLines(alike: readonly CallRecord[]): Line[] {
  const first = alike.at(-1);
  if (!first || alike.length < 2) return [];
  return [
    line(`  the same ${alike.length} times in a row, first #${first.info.number} at ${timeOfDay(first.info.queuedAtMs)}`, "warn"),
  ];
}

// ⑧ Why a call failed: its sentence, how often it came, then the user's own frames with their source lines; those of others folded.

import type { FrameLocals, Local } from "../../proto/gen/hob/v1/calls.ts";
import type { Failure, Frame } from "../../proto/gen/hob/v1/common.ts";
import type { CallRecord } from "../model/calls.ts";
import type { Variables } from "../model/variables.ts";
import { clean, pad } from "../text.ts";
import { counted, timeOfDay } from "../units.ts";
import { type FileLink, type Line, line, type Span, span } from "./line.ts";
import { sourceLine } from "./source.ts";

/** "ValueError: bad shape", or the sentence alone where there is no type. */
export function failureSentence({ type, message }: Failure): string {
  return type === "" || message.startsWith(`${type}:`) ? message : `${type}: ${message}`;
}

/** "app.py:12" as a link to that line of the project; plain where the project's files are elsewhere (a recorded session). */
export function placeSpan(text: string, root: string | undefined, { file, line: number }: FileLink): Span {
  const place = span(text, "strong");
  return root === undefined ? place : { ...place, link: { file: `${root}/${file}`, line: number } };
}

/** "own": the project's frames where there are any; "folded": all, neighbours of others as one line; "all". */
type FramesShown = "own" | "folded" | "all";

export interface FailureLook {
  readonly frames: FramesShown;
  /** Where the project's files lie, if they are here. */
  readonly root: string | undefined;
  readonly variables: Variables | undefined;
}

const longestName = 20;

/** Below its frame: the names in one column, the values beside them. */
function localLines(locals: readonly Local[]): Line[] {
  if (locals.length === 0) return [line("      no variables", "dim")];
  const width = Math.min(longestName, Math.max(...locals.map(({ name }) => clean(name).length)));
  return locals.map(({ name, value }) => [span(`      ${pad(clean(name), width)}  `, "accent"), span(value)]);
}

/** Which frames' variables are known. Both lists go outermost first; what was told may begin later, and lack some. */
function heldIn(frames: readonly Frame[], variables: Variables | undefined): ReadonlyMap<Frame, FrameLocals> {
  const held = new Map<Frame, FrameLocals>();
  const left = variables?.state === "told" ? [...variables.frames] : [];
  for (const frame of frames.toReversed()) {
    const at = left.findLastIndex(
      (told) => told.file === frame.file && told.line === frame.line && told.function === frame.function,
    );
    if (!frame.own || at < 0) continue;
    held.set(frame, left[at]!);
    left.length = at;
  }
  return held;
}

function frameLines(frame: Frame, root: string | undefined, held: FrameLocals | undefined): Line[] {
  const { file, line: number, function: name, source, own } = frame;
  const where = `${file}:${number}`;
  return [
    [
      span("  "),
      own ? placeSpan(where, root, { file, line: number }) : span(where, "dim"),
      span(name === "" ? "" : `  in ${name}`, "dim"),
    ],
    ...(source === "" ? [] : [[span("    "), ...(own ? sourceLine(source, file) : line(source, "dim"))]]),
    ...(held ? localLines(held.locals) : []),
  ];
}

type LinesOf = (frame: Frame) => Line[];

/** Neighbours that are not the project's as one line. */
function foldedLines(frames: readonly Frame[], linesOf: LinesOf): Line[] {
  const lines: Line[] = [];
  let others: Frame[] = [];
  const tell = (): void => {
    const [first] = others;
    if (first && others.length === 1) lines.push(...linesOf(first));
    else if (first) lines.push(line(`  … ${counted(others.length, "frame")} of others, from ${first.file} on`, "dim"));
    others = [];
  };
  for (const frame of frames) {
    if (frame.own) {
      tell();
      lines.push(...linesOf(frame));
    } else others.push(frame);
  }
  tell();
  return lines;
}

/** What became of the question, where there is nothing to show yet. */
function variablesNote(variables: Variables | undefined): Line[] {
  if (variables?.state === "asked") return [line("  asking its process for the variables …", "dim")];
  return variables && variables.reason !== "" ? [line(`  no variables: ${variables.reason}`, "warn")] : [];
}

/** Innermost last, as the languages print them. */
export function failureLines(failure: Failure, { frames, root, variables }: FailureLook): Line[] {
  const own = failure.frames.filter((frame) => frame.own);
  const shown = frames === "own" && own.length > 0 ? own : failure.frames;
  const head = [line(`✗ ${failureSentence(failure)}`, "bad"), ...variablesNote(variables)];
  if (shown.length > 0) {
    const held = heldIn(failure.frames, variables);
    const linesOf: LinesOf = (frame) => frameLines(frame, root, held.get(frame));
    return [...head, ...(frames === "folded" && own.length > 0 ? foldedLines(shown, linesOf) : shown.flatMap(linesOf))];
  }
  const traceback = failure.traceback.trimEnd();
  return traceback === "" ? head : [...head, ...traceback.split("\n").map((text) => line(`  ${text}`, "dim"))];
}

/** Where the same failure came several times in a row. */
export function repeatLines(alike: readonly CallRecord[]): Line[] {
  const first = alike.at(-1);
  if (!first || alike.length < 2) return [];
  return [
    line(`  the same ${alike.length} times in a row, first #${first.info.number} at ${timeOfDay(first.info.queuedAtMs)}`, "warn"),
  ];
}

// ⑤ Why a step failed, in one sentence: which image, which step, what it exited with, what it said, and what to try. Pure.

import { HobError, sentenceOf } from "../../base/errors.ts";
import type { ImageRef, ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { imageLabel, stepLabel } from "../../proto/image.ts";

export interface StepEnd {
  code: number;
  /** Name of the signal that ended it, or "". */
  signal: string;
  memoryKills: number;
  /** Set where we ended it: "it took longer than 30 minutes". */
  cut: string;
}

const ansi = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** The line that says most about a failure: the first that calls itself an error, else the last that says anything. */
function tellingLine(lines: readonly string[]): string {
  const plain = lines.map((line) => line.replace(ansi, "").trim()).filter(Boolean);
  const errors = plain.filter((line) => /^(E: |ERROR: |npm (error|ERR!) |error: |fatal: |Error: )/.test(line));
  const telling = errors.find((line) => !/^npm (error|ERR!) (code|errno|A complete log)/.test(line)) ?? plain.at(-1) ?? "";
  return telling.length > 300 ? `${telling.slice(0, 300)}…` : telling;
}

const name = /Unable to locate package (\S+)/;

/** Rows are tried in order; each says what to do about what was printed. */
const remedies: readonly { kind?: string; when: RegExp; remedy: (match: RegExpExecArray) => string }[] = [
  {
    when: name,
    remedy: ([, wanted = ""]) =>
      `check the name: \`apt-cache search ${wanted.slice(0, Math.max(3, Math.ceil(wanted.length * 0.6)))}\` lists those near it`,
  },
  {
    when: /No matching distribution found for (\S+)/,
    remedy: ([, wanted]) => `check the name and version of ${wanted} at the package index`,
  },
  { when: /is not in this registry|E404|404 Not Found - GET (\S+)/, remedy: () => "check the package's name and version" },
  { when: /hob: \S+ lies in a network of the node/, remedy: () => "add it to the node's own configuration of apt, pip or npm" },
  {
    when: /Temporary failure (in name resolution|resolving)|Could not resolve|EAI_AGAIN|Name or service not known|Connection failed|Unable to connect|Network is unreachable/,
    remedy: () => "the node could not reach it: `hob doctor` says what its containers can reach",
  },
  { when: /No space left on device|ENOSPC/, remedy: () => "free space on the node's disk" },
  {
    kind: "run",
    when: /(\S+): not found|(\S+): command not found/,
    remedy: () => "install the program in a step before, for instance with .apt_install(…)",
  },
  {
    when: /Permission denied|Operation not permitted/,
    remedy: () => "steps run as root of their container, without devices or mounts: docs/images.md says what they may do",
  },
];

function remedyFor(kind: string, lines: readonly string[]): string {
  const text = lines.join("\n").replace(ansi, "");
  for (const row of remedies) {
    if (row.kind !== undefined && row.kind !== kind) continue;
    const match = row.when.exec(text);
    if (match) return row.remedy(match);
  }
  return "";
}

function howItEnded({ code, signal, memoryKills, cut }: StepEnd): string {
  if (cut) return `was ended: ${cut}`;
  if (memoryKills > 0) return "ran out of memory";
  return signal ? `was killed by ${signal}` : `exited ${code}`;
}

/** `image debian bookworm: step 2 "apt_install nump" exited 100: E: Unable to locate package nump: check the name: …` */
export function explainStep(image: ImageRef, index: number, end: StepEnd, lines: readonly string[]): string {
  const step = image.steps[index] as ImageStep;
  const parts = [`${stepTitle(image, index)} ${howItEnded(end)}`, tellingLine(lines), remedyFor(step.kind, lines)];
  return parts.filter(Boolean).join(": ");
}

/** `image debian trixi: mmdebstrap exited 25: E: …`; an import's error says all there is. */
export function explainBase(image: ImageRef, error: unknown, lines: readonly string[]): HobError {
  const kind = error instanceof HobError ? error.kind : "internal";
  const ended = /^mmdebstrap (exited|was killed)/.test(sentenceOf(error));
  if (!ended) return new HobError(kind, `image ${imageLabel(image)}: ${sentenceOf(error)}`, { cause: error });
  const suites = "check that it is a suite of Debian that the node's mirrors have";
  const remedy = remedyFor("debian", lines) || (lines.some((line) => /Release|Not Found/.test(line)) ? suites : "");
  const parts = [`image ${imageLabel(image)}: ${sentenceOf(error)}`, tellingLine(lines), remedy];
  return new HobError("function", parts.filter(Boolean).join(": "), { cause: error });
}

/** `image debian bookworm: step 2 "apt_install nump"` */
export function stepTitle(image: ImageRef, index: number): string {
  const label = stepLabel(image.steps[index] as ImageStep).replace(/\s+/g, " ");
  return `image ${imageLabel(image)}: step ${index + 1} "${label.length > 120 ? `${label.slice(0, 120)}…` : label}"`;
}

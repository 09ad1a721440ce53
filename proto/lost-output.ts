// ⑦ Lines of output that could not be kept: one empty line stands for them where they were, and counts their bytes.

import type { LogLine } from "./gen/hob/v1/common.ts";

const greatestUint32 = 2 ** 32 - 1;

/** Bytes of a line and its end, as far as characters tell, and what had been dropped before it. */
const bytesOf = ({ text, dropped }: LogLine): number => text.length + 1 + dropped;

/** Begins a gap at `line`, the first that is lost. */
export function beginGap(line: LogLine): LogLine {
  return { ...line, stream: "system", text: "", dropped: Math.min(bytesOf(line), greatestUint32) };
}

export function widenGap(gap: LogLine, line: LogLine): void {
  gap.dropped = Math.min(gap.dropped + bytesOf(line), greatestUint32);
  gap.seq = line.seq; // who asks for what follows the last that was heard must not get the lost lines again
}

/** It stands for lost lines and says nothing itself. */
export const isGap = ({ stream, text, dropped }: LogLine): boolean => stream === "system" && text === "" && dropped > 0;

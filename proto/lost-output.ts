// ⑦ Lines of output that could not be kept: one empty line stands for them where they were, and counts their bytes.

import type { LogLine } from "./gen/hob/v1/common.ts";

const greatestUint32 = 2 ** 32 - 1;

/** Bytes of a line and its end, as far as characters tell, and what had been dropped before it. */
const bytesOf = ({ text, dropped }: LogLine): number => text.length + 1 + dropped;

/** It stands for lost lines and says nothing itself. */
export const isGap = ({ stream, text, dropped }: LogLine): boolean => stream === "system" && text === "" && dropped > 0;

/** Lines lost one after another: a gap for each call that lost some, as what it has printed is counted by call. */
export interface Gaps {
  lose(line: LogLine): void;
  /** The gaps since they were taken last, those widened last at the end, so that their `seq` rises as that of lines does. */
  take(): LogLine[];
}

export function createGaps(): Gaps {
  const gaps = new Map<string, LogLine>();
  return {
    lose(line) {
      const before = gaps.get(line.call);
      gaps.delete(line.call);
      const dropped = Math.min((before?.dropped ?? 0) + bytesOf(line), greatestUint32);
      gaps.set(line.call, { ...(before ?? line), stream: "system", text: "", dropped, seq: line.seq });
    },
    take() {
      const taken = [...gaps.values()];
      gaps.clear();
      return taken;
    },
  };
}

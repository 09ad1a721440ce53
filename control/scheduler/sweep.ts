// ④ Of which nodes a decision says what should wait there: of all in a small pool; in a large one they take turns, so that no decision is long.

import type { NodePlace } from "./pool-index.ts";

const smallPool = 8;
const slice = 64; // nodes at a time
const everyMs = 20;

export interface Sweep {
  /** Undefined: all nodes. None: not now. */
  next(nodes: ReadonlyMap<string, NodePlace>, nowMs: number): readonly NodePlace[] | undefined;
  /** So soon there should be another decision, for those whose turn has not come; 0 when each had its turn since the pool rested. */
  readonly owesMs: number;
}

export function createSweep(): Sweep {
  let at = 0;
  let lastMs = 0;
  let owed = 0; // nodes

  return {
    next(nodes, nowMs) {
      if (nodes.size <= smallPool) {
        owed = 0;
        return undefined;
      }
      if (nowMs - lastMs < everyMs && nowMs >= lastMs) {
        owed = nodes.size;
        return [];
      }
      lastMs = nowMs;
      if (at >= nodes.size) at = 0;
      const next = [...nodes.values()].slice(at, at + slice);
      at += slice;
      owed = Math.max(0, owed - next.length);
      return next;
    },
    get owesMs() {
      return owed > 0 ? everyMs : 0;
    },
  };
}

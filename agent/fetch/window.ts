// ⑤ How much may be asked for ahead of reads and be on its way at once: about what the link holds, so that a miss waits behind little. Pure.

/** Before anything is known of the link. */
const firstBytes = 512 << 10;
/** 100 Mbit/s carry this in 20 ms: a miss waits no longer than that. */
const leastBytes = 256 << 10;
const mostBytes = 16 << 20;
/** More than the link holds by this much, so that its rate is found when it grows. */
const headroom = 1.3;
/** Rate and delay are those of the last few of these. */
const periodMs = 500;
const periodsKept = 6;
/** Shorter stretches say more of the reader's turns than of the link. */
const rateOverMs = 20;

/** Within one machine or one building it is less, mostly. */
const slowMs = 8;

interface Period {
  startMs: number;
  /** Of the quickest first piece after its want. */
  delayMs: number;
  /** The most that arrived, per ms. */
  rate: number;
}

export interface Window {
  readonly bytes: number;
  /** It is far: squeezing is quicker than the link. */
  readonly slow: boolean;
  /** The first piece of a want arrived, so long after it was asked for. */
  answered(delayMs: number, nowMs: number): void;
  arrived(bytes: number, nowMs: number): void;
}

export function createWindow(): Window {
  let periods: Period[] = [];
  let stretch = { startMs: 0, bytes: 0 };
  let bytes = firstBytes;
  let shortestMs = Number.POSITIVE_INFINITY; // ever

  function period(nowMs: number): Period {
    const last = periods.at(-1);
    if (last && nowMs - last.startMs < periodMs) return last;
    const next = { startMs: nowMs, delayMs: Number.POSITIVE_INFINITY, rate: 0 };
    periods = [...periods, next].slice(-periodsKept);
    return next;
  }

  function look(): void {
    const delayMs = Math.min(...periods.map((known) => known.delayMs));
    const rate = Math.max(...periods.map((known) => known.rate));
    if (!Number.isFinite(delayMs) || rate === 0) return;
    bytes = Math.min(mostBytes, Math.max(leastBytes, headroom * rate * delayMs + (64 << 10)));
  }

  return {
    get bytes() {
      return bytes;
    },
    get slow() {
      return shortestMs > slowMs && Number.isFinite(shortestMs);
    },
    answered(delayMs, nowMs) {
      const present = period(nowMs);
      present.delayMs = Math.min(present.delayMs, delayMs);
      shortestMs = Math.min(shortestMs, delayMs);
    },
    arrived(count, nowMs) {
      const present = period(nowMs);
      if (nowMs - stretch.startMs > 10 * rateOverMs) stretch = { startMs: nowMs, bytes: 0 }; // there was nothing to come
      stretch.bytes += count;
      const ms = nowMs - stretch.startMs;
      if (ms < rateOverMs) return;
      present.rate = Math.max(present.rate, stretch.bytes / ms);
      stretch = { startMs: nowMs, bytes: 0 };
      look();
    },
  };
}

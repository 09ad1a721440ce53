// ② When a call that has failed is tried again: the policy that a function declares.

/** So many further attempts. The first waits `delay`, each one after it `backoff` times as long, none longer than `maxDelay`. */
export interface Retries {
  count: number;
  /** Seconds, or text: "250ms", "1s", "2m". None by default. */
  delay?: number | string;
  /** 2 by default. */
  backoff?: number;
  /** "60s" by default. */
  maxDelay?: number | string;
}

/** What retries wait, as `hob` reads it. */
export interface BackoffSpec {
  delay_ms: number;
  factor: number;
  max_delay_ms: number;
}

const options = ["count", "delay", "backoff", "maxDelay"];
const mostCount = 100;
const longestMs = 24 * 3_600_000;
const unitsMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Further attempts, and what they wait. */
export function retryPolicy(retries: number | Retries): { retries: number; backoff: BackoffSpec | null } {
  if (typeof retries !== "object" || retries === null) {
    if (!Number.isSafeInteger(retries) || retries < 0)
      throw new RangeError(`retries ${String(retries)} is not a whole number of 0 or more`);
    return { retries, backoff: null };
  }
  const unknown = Object.keys(retries).find((option) => !options.includes(option));
  if (unknown !== undefined) throw new TypeError(`retries: "${unknown}" is not an option; there are ${options.join(", ")}`);
  const { count, delay = 0, backoff = 2, maxDelay = "60s" } = retries;
  if (!Number.isSafeInteger(count) || count < 0 || count > mostCount)
    throw new RangeError(`retries: count ${String(count)} is out of range; give 0 to ${mostCount} further attempts`);
  if (typeof backoff !== "number" || !(backoff >= 1 && backoff <= 100))
    throw new RangeError(`retries: backoff ${String(backoff)} is out of range; give 1 (each waits the same) to 100`);
  const [first, most] = [durationMs("delay", delay), durationMs("maxDelay", maxDelay)];
  if (first > most)
    throw new RangeError(`retries: delay ${delay} is longer than maxDelay ${maxDelay}; lower the one or raise the other`);
  return { retries: count, backoff: first === 0 ? null : { delay_ms: first, factor: backoff, max_delay_ms: most } };
}

function durationMs(option: string, value: number | string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*$/.exec(String(value));
  if (typeof value !== "number" && !match)
    throw new TypeError(`retries: ${option} "${value}" is not a time; write for example ${option}: "1s", or a number of seconds`);
  const ms = typeof value === "number" ? value * 1_000 : Number(match?.[1]) * (unitsMs[match?.[2] ?? "s"] ?? 1_000);
  if (!(ms >= 0 && ms <= longestMs)) throw new RangeError(`retries: ${option} ${value} is out of range; give 0 to 24 hours`);
  return Math.round(ms);
}

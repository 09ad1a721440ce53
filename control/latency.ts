// ⑦ How long calls took lately: percentiles over a sliding window, in bounded memory. Pure, but for its own samples.

const windowMs = 60_000;
const kept = 4_096; // newest samples; more in a minute than that, and the window is shorter

export interface Latency {
  add(nowMs: number, tookMs: number): void;
  percentiles(nowMs: number): { p50: number; p99: number };
}

export function createLatency(): Latency {
  const at = new Float64Array(kept);
  const took = new Float64Array(kept);
  let count = 0;

  return {
    add(nowMs, tookMs) {
      at[count % kept] = nowMs;
      took[count % kept] = tookMs;
      count++;
    },
    percentiles(nowMs) {
      const recent: number[] = [];
      for (let i = Math.max(0, count - kept); i < count; i++) {
        if (at[i % kept]! >= nowMs - windowMs) recent.push(took[i % kept]!);
      }
      const sorted = Float64Array.from(recent).sort();
      const rank = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
      return { p50: rank(0.5), p99: rank(0.99) };
    },
  };
}

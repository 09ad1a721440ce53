// ⑤ When a registry is asked again, and after how long. Pure.

/** Failures in a row, without a byte in between, after which nobody believes in the next try. */
export const mostFailures = 6;

const firstDelayMs = 200;
const longestDelayMs = 30_000;

/** Too many requests, and what servers say when they or what is behind them are overloaded or restarting. */
export const isPassing = (status: number): boolean => [408, 425, 429, 500, 502, 503, 504].includes(status);

/** Twice as long each time, with a random half taken off (`chance`: 0 to 1), unless the server says how long (Retry-After, in seconds). */
export function retryDelayMs(failures: number, chance: number, retryAfter?: string): number {
  if (retryAfter && /^[0-9]+$/.test(retryAfter)) return Math.min(Number(retryAfter) * 1000, longestDelayMs);
  return Math.min(firstDelayMs * 2 ** (failures - 1) * (1 - chance / 2), longestDelayMs);
}

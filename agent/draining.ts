// ⑥ The orderly end of what runs in one container: nothing new begins, calls finish, exit hooks run.

import type { Runner } from "./runner/runner.ts";

export interface Draining {
  /** Nothing new begins. */
  readonly begun: boolean;
  /** Something with exit hooks may have been loaded. */
  hooks: boolean;
  /** It has no call any more. */
  idle(): void;
  /** Resolves when its calls are done, for which they have `patienceMs`, and its exit hooks have run. */
  drain(runner: Runner, busy: boolean, patienceMs: number): Promise<void>;
}

/** Exit hooks that take longer are cut. */
const hooksLimitMs = 2_000;

export function createDraining(): Draining {
  let begun = false;
  let settled: (() => void) | undefined;

  return {
    hooks: false,
    get begun() {
      return begun;
    },
    idle: () => settled?.(),
    async drain(runner, busy, patienceMs) {
      if (patienceMs === 0) settled?.(); // of a former drain, too
      begun = true;
      if (busy) {
        const { promise, resolve } = Promise.withResolvers<void>();
        settled = resolve;
        await within(promise, patienceMs);
      }
      if (!this.hooks) return;
      runner.finish();
      await within(runner.closed, hooksLimitMs);
    },
  };
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

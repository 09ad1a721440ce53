// ⑤ The rest of images that have begun, when the node has nothing else to do, at a bounded rate: a lazy image does not stay one for long.

import { setTimeout as after } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Fetcher } from "./fetcher.ts";
import type { LazyImages } from "./lazy.ts";

const defaultBytesPerSecond = 16 << 20;
/** Without a read that waits, and without a call. */
const quietMs = 3_000;
const lookEveryMs = 500;
/** After something could not be fetched. */
const pauseMs = 30_000;
/** Contents on their way at once. */
const abreast = 16;

/** HOB_BACKFILL_MIB: MiB a second; 0 for none. */
export function backfillRate(environment: Readonly<Record<string, string | undefined>>): number {
  const text = environment["HOB_BACKFILL_MIB"];
  if (text === undefined || text === "") return defaultBytesPerSecond;
  const rate = Number(text);
  if (rate >= 0 && Number.isFinite(rate)) return rate * 2 ** 20;
  throw new HobError("usage", `HOB_BACKFILL_MIB is "${text}"`, { remedy: "write MiB a second, 0 for no backfill" });
}

export interface BackfillHost {
  images: Pick<LazyImages, "missing">;
  fetcher: Pick<Fetcher, "quietSinceMs">;
  /** No call runs. */
  idle(): boolean;
  bytesPerSecond: number;
  clock: Clock;
  log: Log;
}

export function openBackfill(host: BackfillHost): AsyncDisposable {
  const { fetcher, clock, bytesPerSecond, log } = host;
  const ending = new AbortController();
  const { signal } = ending;

  const mayFetch = (): boolean => host.idle() && clock.now() - (fetcher.quietSinceMs ?? clock.now()) >= quietMs;

  /** Resolves when there is room for so many bytes, and nobody would mind. */
  async function turn(budget: { bytes: number; atMs: number }, bytes: number): Promise<void> {
    for (;;) {
      while (!mayFetch()) {
        await after(lookEveryMs, undefined, { signal });
        budget.atMs = clock.now();
        budget.bytes = 0;
      }
      const nowMs = clock.now();
      budget.bytes = Math.min(bytesPerSecond, budget.bytes + ((nowMs - budget.atMs) * bytesPerSecond) / 1000);
      budget.atMs = nowMs;
      if (budget.bytes >= Math.min(bytes, bytesPerSecond)) {
        budget.bytes -= bytes;
        return;
      }
      await after(20, undefined, { signal });
    }
  }

  async function pass(): Promise<number> {
    const budget = { bytes: 0, atMs: clock.now() };
    const under = new Set<Promise<void>>();
    let failed: unknown;
    let count = 0;
    for await (const { bytes, fetch } of host.images.missing()) {
      await turn(budget, bytes);
      count++;
      const fetching = fetch()
        .catch((error) => {
          failed ??= error;
        })
        .finally(() => under.delete(fetching));
      under.add(fetching);
      if (under.size >= abreast) await Promise.race(under);
      if (failed) break;
    }
    await Promise.all(under);
    if (failed) throw failed;
    return count;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        const count = await pass();
        if (count > 0) log.info({ count }, "the rest of the images is here");
        await after(lookEveryMs, undefined, { signal });
      } catch (error) {
        if (signal.aborted) return;
        log.info({ error: sentenceOf(error) }, "fetching the rest of an image");
        await after(pauseMs, undefined, { signal }).catch(() => {}); // aborted: the loop ends
      }
    }
  }

  const running = bytesPerSecond > 0 ? run() : Promise.resolve();
  return {
    async [Symbol.asyncDispose]() {
      ending.abort();
      await running;
    },
  };
}

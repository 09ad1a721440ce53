// ⑦⑧ How far maps are and how fast they go, twice a second to who reads or watches them, while any runs.

import type { Clock } from "../../base/clock.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import type { RunningMap } from "./map.ts";

const tickMs = 500;
/** How much of the former rate is left after a tick: about two seconds count. */
const inertia = 0.75;

interface Progress extends Disposable {
  /** A map runs. */
  begin(): void;
}

export function createProgress(
  running: ReadonlyMap<string, RunningMap>,
  clock: Clock,
  announce: (info: MapInfo) => void,
): Progress {
  const before = new WeakMap<RunningMap, { atMs: number; results: number }>();
  let timer: NodeJS.Timeout | undefined;

  function measure(map: RunningMap): void {
    const { info } = map;
    const now = { atMs: clock.now(), results: info.succeeded + info.failed };
    const last = before.get(map) ?? { atMs: info.startedAtMs, results: 0 };
    before.set(map, now);
    const latest = ((now.results - last.results) * 1000) / Math.max(1, now.atMs - last.atMs);
    info.rate = info.rate === 0 ? latest : info.rate * inertia + latest * (1 - inertia);
  }

  function tick(): void {
    if (running.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
    for (const map of running.values()) {
      if (!map.changed && map.info.rate < 0.05) continue;
      measure(map);
      map.changed = false;
      const info = { ...map.info };
      announce(info);
      for (const reader of map.readers) reader.progress(info);
    }
  }

  return {
    begin() {
      timer ??= setInterval(tick, tickMs);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

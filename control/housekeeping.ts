// ⑦ What is old is forgotten a slice at a time, and the WAL is written back by a thread of its own.

import { systemClock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Engine, Retention } from "./engine/engine.ts";
import type { Values } from "./values.ts";

const standardRetention: Retention = { keepMs: 7 * 24 * 3_600_000, calls: 100_000, lines: 1_000_000, maps: 1_000 };
const trimMs = 30_000;
const restMs = 1_000;

interface HousekeepingParts {
  engine: Engine;
  values: Pick<Values, "dropAll">;
  /** Where it is other than the standard. */
  retention?: Partial<Retention>;
  log: Log;
}

export function startHousekeeping({ engine, values, log, ...wished }: HousekeepingParts): Disposable {
  const retention = { ...standardRetention, ...wished.retention };
  let timer: NodeJS.Timeout | undefined;
  const trim = () => {
    let more = false;
    try {
      more = engine.trim(retention, systemClock.now());
      values.dropAll(engine.calls.forgotten());
    } catch (error) {
      log.error(error, "forgetting old calls and lines failed; trying again");
    }
    timer = setTimeout(trim, more ? 50 : trimMs);
  };
  timer = setTimeout(trim, trimMs);
  const resting = setInterval(() => {
    try {
      engine.rest();
    } catch (error) {
      log.error(error, "writing the WAL back failed; trying again");
    }
  }, restMs);
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      clearInterval(resting);
    },
  };
}

// ④ Machines that exist in numbers only: what they cost to use, what they hold, and the simulated time in which that happens.

import { createHeap } from "../../control/scheduler/heap.ts";
import { reserveOf } from "../../control/scheduler/room.ts";
import type { Load, LoadCall, LoadFunction } from "./load.ts";

// Measured on two cores (FACTS of this project's benches): what a start costs, and what new code does.
const startMs = 30;
const loadMs = 40;
/** Of an image so much is read before the first response (docs/images.md), over a gigabit. */
const firstShare = 0.05;
const bytesPerMs = 125_000;

export interface Machine {
  readonly name: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly images: Set<string>;
  running: number;
  /** Promised to containers. */
  cpu: number;
  reservedBytes: number;
}

export interface Outcome {
  /** From a call's arrival to its start, ms. */
  waits: number[];
  personsWaits: number[];
  /** Calls that began in a container without their code. */
  coldStarts: number;
  bytesMoved: number;
  /** The same call, with a machine to itself, would have taken so much less. */
  slowed: number;
}

export interface World {
  readonly machines: readonly Machine[];
  readonly outcome: Outcome;
  readonly nowMs: number;
  after(delayMs: number, act: () => void): void;
  /** How long a new container of that image takes there. The image is there from then on. */
  start(machine: Machine, image: string): number;
  /** Runs a call, in a container that has its code or has not. */
  run(machine: Machine, call: LoadCall, cold: boolean, done: () => void): void;
  hold(machine: Machine, of: LoadFunction, times: 1 | -1): void;
  /** Time goes on until nothing is to happen any more; `settle` is called at the end of each millisecond in which something did. */
  play(settle: () => void): void;
}

interface Happening {
  atMs: number;
  order: number;
  act(): void;
}

export function createWorld(load: Load, count: number): World {
  const machines = Array.from({ length: count }, (_, n): Machine => {
    const cores = n % 4 === 0 ? 8 : 4;
    const memoryBytes = cores * 4 * 2 ** 30;
    return { name: `node-${n}`, cores, memoryBytes, images: new Set(["host"]), running: 0, cpu: 0, reservedBytes: 0 };
  });
  const outcome: Outcome = { waits: [], personsWaits: [], coldStarts: 0, bytesMoved: 0, slowed: 0 };
  const happenings = createHeap<Happening>((a, b) => a.atMs - b.atMs || a.order - b.order);
  let order = 0;
  let nowMs = 0;

  const world: World = {
    machines,
    outcome,
    get nowMs() {
      return nowMs;
    },
    after: (delayMs, act) => happenings.push({ atMs: nowMs + delayMs, order: order++, act }),
    start(machine, image) {
      if (machine.images.has(image)) return startMs;
      machine.images.add(image);
      const bytes = load.images.get(image) ?? 0;
      outcome.bytesMoved += bytes;
      return startMs + (bytes * firstShare) / bytesPerMs;
    },
    run(machine, call, cold, done) {
      const beginMs = nowMs + (cold ? loadMs : 0);
      outcome.waits.push(beginMs - call.atMs);
      if (call.person) outcome.personsWaits.push(beginMs - call.atMs);
      if (cold) outcome.coldStarts++;
      machine.running++;
      const stretch = Math.max(1, machine.running / machine.cores); // as it is when it begins
      outcome.slowed += stretch - 1;
      world.after((cold ? loadMs : 0) + call.runMs * stretch, () => {
        machine.running--;
        done();
      });
    },
    hold(machine, { classKey }, times) {
      const { cpu, memoryBytes } = reserveOf(classKey);
      machine.cpu += times * cpu;
      machine.reservedBytes += times * memoryBytes;
    },
    play(settle) {
      for (let next = happenings.peek(); next; next = happenings.peek()) {
        const untilMs = Math.floor(next.atMs) + 1;
        for (; next && next.atMs < untilMs; next = happenings.peek()) {
          happenings.pop();
          nowMs = Math.max(nowMs, next.atMs);
          next.act();
        }
        settle();
      }
    },
  };
  return world;
}

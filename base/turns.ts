// Long computations in slices: written once, as generators that yield where they may rest; done at once, or with the event loop's other work in between.

import { setImmediate as nextTurn } from "node:timers/promises";

export type Sliced<T> = Generator<undefined, T, undefined>;

export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** Longer than this nothing else waits, where the work yields often enough. */
const sliceMs = 4;

export async function inTurns<T>(work: Sliced<T>): Promise<T> {
  for (let beganMs = performance.now(); ; ) {
    const step = work.next();
    if (step.done) return step.value;
    if (performance.now() - beganMs < sliceMs) continue;
    await nextTurn();
    beganMs = performance.now();
  }
}

const itemsBetweenRests = 256;

/** One after the other, with a rest now and then. */
export function* eachInSlices<T>(items: Iterable<T>, each: (item: T, index: number) => void): Sliced<void> {
  let index = 0;
  for (const item of items) {
    each(item, index);
    index++;
    if (index % itemsBetweenRests === 0) yield;
  }
}

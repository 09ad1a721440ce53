// ⑥ Inputs of a map in one process, one after the other: no write, timer or turn of the event loop for each that is not asynchronous.

import type { Failure, InputsHead, ResultsHead } from "./frames.ts";
import { noteProgress } from "./progress.ts";

/** Results go out when so much has been worked, or so much waits. */
const flushMs = 4;
const flushBytes = 256 << 10;
/** A turn of the event loop at least so often, so that a cancel is heard and timers of the user's run. */
const turnMs = 20;

export type InputOutcome = { failure: Failure } | { json: string };

export interface InputsHost {
  /** The outcome, or a promise of it where the function is asynchronous. Never throws. */
  run(index: number, positional: Buffer, keywords: Buffer): InputOutcome | Promise<InputOutcome>;
  send(head: ResultsHead, payload: Buffer[]): void;
  /** Whether it has been ended from outside. */
  ended(): boolean;
}

export async function runInputs(head: InputsHead, payload: Buffer, host: InputsHost): Promise<void> {
  const { inputs, indexes, sizes, keywords } = head;
  const note = noteProgress(inputs);
  let first = 0;
  let told: number[] = [];
  let failures: Failure[] = [];
  let results: Buffer[] = [];
  let waiting = 0;
  let runMs = 0;
  let sinceMs = performance.now();
  let turnedMs = sinceMs;
  let at = 0;

  function flush(next: number, last: boolean): void {
    const nowMs = performance.now();
    runMs += nowMs - sinceMs;
    sinceMs = nowMs;
    const end = last ? { last } : {};
    host.send({ inputs, first, sizes: told, failures, runMs: Math.round(runMs * 1000) / 1000, ...end }, results);
    [first, told, failures, results, waiting, runMs] = [next, [], [], [], 0, 0];
  }

  for (const [position, size] of sizes.entries()) {
    note(position);
    const keywordsSize = keywords?.[position] ?? 0;
    const positional = payload.subarray(at, at + size);
    const given = host.run(indexes[position] ?? 0, positional, payload.subarray(at + size, at + size + keywordsSize));
    at += size + keywordsSize;
    let outcome: InputOutcome;
    if (given instanceof Promise) {
      // What is done goes out while this one waits.
      const timer = told.length > 0 ? setTimeout(() => flush(position, false), flushMs) : undefined;
      outcome = await given;
      clearTimeout(timer);
      turnedMs = performance.now();
    } else outcome = given;
    if (host.ended()) return;
    if ("failure" in outcome) {
      told.push(-1);
      failures.push(outcome.failure);
    } else {
      const json = Buffer.from(outcome.json);
      told.push(json.byteLength);
      results.push(json);
      waiting += json.byteLength;
    }
    const nowMs = performance.now();
    if (position + 1 < sizes.length && (nowMs - sinceMs >= flushMs || waiting >= flushBytes)) flush(position + 1, false);
    if (nowMs - turnedMs >= turnMs) {
      await new Promise(setImmediate);
      if (host.ended()) return;
      turnedMs = sinceMs = performance.now();
    }
  }
  flush(sizes.length, true);
}

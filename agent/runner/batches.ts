// ⑥ Inputs of maps on their way through a runner: results as they come, each input's time, and which input a process died of.

import { systemClock } from "../../base/clock.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";
import { cutPayload, type Frame, type FrameHeads } from "./frames.ts";
import { alone, completed, whole as count, failure, measure } from "./heard.ts";
import type { InputResult, InputsEnd, InputsRequest, RunningInputs } from "./runner.ts";

/** The runner kills a process 2 s after a cancel; when it has not even answered by then, it is itself broken. */
export const answerLimitMs = 8_000;
/** Runners tell results after so much work at the latest, so the input that runs began no longer before the last word. */
const flushMs = 20;

interface Pending {
  number: number;
  request: InputsRequest;
  told: boolean[]; // by position: its result is known
  saidAtMs: number; // the last word of it; 0: it has not begun
  /** Why it was told to end; the first cause is the outcome. */
  cause?: Failure;
  timer?: NodeJS.Timeout;
  hear(results: InputResult[], runMs: number): void;
  resolve(end: InputsEnd): void;
}

interface BatchesHost {
  send<K extends keyof FrameHeads>(name: K, head: FrameHeads[K], payload?: readonly Uint8Array[]): void;
  /** The runner does not answer any more. */
  broken(): void;
}

export interface Batches {
  /** With `dead` there is no runner to run them. */
  start(request: InputsRequest, hear: Pending["hear"], dead?: Failure): RunningInputs;
  started(number: number): void;
  results(frame: Frame & { name: "results" }): void;
  /** The runner is gone. */
  end(cause: Failure): void;
}

export function createBatches(host: BatchesHost): Batches {
  const batches = new Map<number, Pending>();
  let last = 0;

  function finish(pending: Pending, end: InputsEnd): void {
    if (!batches.delete(pending.number)) return;
    clearTimeout(pending.timer);
    pending.resolve(end);
  }

  function stop(pending: Pending, cause: Failure): void {
    if (pending.cause) return;
    pending.cause = cause;
    clearTimeout(pending.timer);
    pending.timer = setTimeout(host.broken, answerLimitMs);
    host.send("cancel", { inputs: pending.number });
  }

  /** One timer for all inputs: it looks when the last word came. */
  function watch(pending: Pending): void {
    const { timeoutMs } = pending.request;
    if (timeoutMs === 0 || pending.cause) return;
    const leftMs = pending.saidAtMs + timeoutMs + flushMs - systemClock.now();
    if (leftMs <= 0)
      stop(pending, failure("timeout", `the input was still running after ${timeoutMs / 1000} s, its function's timeout`));
    else pending.timer = setTimeout(() => watch(pending), leftMs);
  }

  function send({ number, request }: Pending): void {
    const { map, snapshot, version, inputs } = request;
    const pieces = inputs.flatMap(({ positional, keywords }) =>
      keywords.byteLength > 0 ? [positional, keywords] : [positional],
    );
    const keywords = inputs.some((input) => input.keywords.byteLength > 0)
      ? { keywords: inputs.map((input) => input.keywords.byteLength) }
      : {};
    const sizes = inputs.map(({ positional }) => positional.byteLength);
    const names = { inputs: number, map, snapshot, version, function: request.function };
    host.send("inputs", { ...names, indexes: inputs.map(({ index }) => index), sizes, ...keywords }, [Buffer.concat(pieces)]);
  }

  /** A process that was ended for its input's time, or ended by it: that input's failure, whatever became of the others. */
  function blame(pending: Pending, position: number, reason: Failure): void {
    pending.told[position] = true;
    const index = pending.request.inputs[position]?.index ?? 0;
    const ranMs = pending.saidAtMs > 0 ? systemClock.now() - pending.saidAtMs : 0;
    pending.hear([{ index, failure: reason }], ranMs);
  }

  function results({ head, payload }: Frame & { name: "results" }): void {
    const pending = batches.get(head.inputs);
    if (!pending) return;
    pending.saidAtMs = systemClock.now();
    const told = resultsOf(pending, head, payload);
    if (told.length > 0) pending.hear(told, measure(head.runMs));
    if (!head.last) return;
    const seen = completed(head.failure);
    const droppedBytes = count(head.droppedBytes, Number.MAX_SAFE_INTEGER);
    const { cause } = pending;
    const open = pending.told.indexOf(false);
    const whole = cause?.kind === "cancelled" || seen?.kind === "cancelled" || head.guilty === undefined;
    if (!seen || open < 0) finish(pending, { droppedBytes });
    else if (whole) finish(pending, { failure: cause ?? seen, droppedBytes });
    else {
      blame(pending, pending.told[head.guilty as number] === false ? (head.guilty as number) : open, cause ?? seen);
      finish(pending, { droppedBytes });
    }
  }

  return {
    start(request, hear, dead) {
      const { promise, resolve } = Promise.withResolvers<InputsEnd>();
      if (dead) return { ended: Promise.resolve({ failure: dead, droppedBytes: 0 }), cancel: () => {} };
      const told = request.inputs.map(() => false);
      last = (last % 0xffff_ffff) + 1;
      const pending: Pending = { number: last, request, told, saidAtMs: 0, hear, resolve };
      batches.set(pending.number, pending);
      try {
        send(pending);
      } catch (error) {
        finish(pending, { failure: failure("infrastructure", error instanceof Error ? error.message : ""), droppedBytes: 0 });
      }
      return {
        ended: promise,
        cancel: () => batches.has(pending.number) && stop(pending, failure("cancelled", "the map was cancelled")),
      };
    },
    started(number) {
      const pending = batches.get(number);
      if (!pending || pending.saidAtMs > 0) return;
      pending.saidAtMs = systemClock.now();
      watch(pending);
    },
    results,
    end(cause) {
      for (const pending of batches.values()) {
        const open = pending.told.indexOf(false);
        const guilty = pending.cause ? pending.cause.kind !== "cancelled" : pending.saidAtMs > 0;
        if (guilty && open >= 0) blame(pending, open, pending.cause ?? cause);
        finish(pending, { failure: pending.cause ?? cause, droppedBytes: 0 });
      }
    },
  };
}

function resultsOf({ told, request }: Pending, head: FrameHeads["results"], payload: Buffer): InputResult[] {
  const sizes = head.sizes.map((size) => Math.max(0, size));
  const pieces = cutPayload({ name: "results", head, payload }, sizes);
  const own = payload.byteLength > 0 ? alone(payload) : payload; // views of one copy: they live no longer than the batch
  const found: InputResult[] = [];
  let failed = 0;
  let at = 0;
  for (const [offset, piece] of pieces.entries()) {
    const position = head.first + offset;
    const reason = head.sizes[offset] === -1 ? completed(head.failures[failed++]) : undefined;
    const json = own.subarray(at, at + piece.byteLength);
    at += piece.byteLength;
    if (told[position] !== false) continue; // user code may write to the runner's socket, too
    told[position] = true;
    const index = request.inputs[position]?.index ?? 0;
    found.push(reason ? { index, failure: reason } : { index, result: { json, large: undefined } });
  }
  return found;
}

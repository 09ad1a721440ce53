// ⑥ The agent's side of a runner: one socket, frames out, outcomes in. Every promise ends when the socket does.

import type { Duplex } from "node:stream";
import { systemClock } from "../../base/clock.ts";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";
import { answerLimitMs, createBatches } from "./batches.ts";
import { createFrameDecoder, encodeFrame, type Frame, type FrameHeads, protocolVersion } from "./frames.ts";
import { alone, childOf, completed, died, failure, linesOf, measure, responseOf, text, whole } from "./heard.ts";
import { createInspections } from "./inspections.ts";
import type { CallOutcome, CallRequest, LoadRequest, Runner, RunnerEvents } from "./runner.ts";

const readyLimitMs = 30_000;
/** Importing may load a model; a process that still imports after this long hangs. */
const loadLimitMs = 300_000;
const noAnswer = "it no longer answered, and was ended";

type LoadResult = Awaited<ReturnType<Runner["load"]>>;

interface PendingCall {
  timeoutMs: number;
  startedAtMs?: number;
  /** Why it was told to end; the first cause is the outcome, whatever the process made of it. */
  cause?: Failure;
  timer?: NodeJS.Timeout;
  resolve(outcome: CallOutcome): void;
}

interface PendingLoad {
  beganAtMs: number;
  cause?: Failure;
  timer: NodeJS.Timeout;
  resolve(result: LoadResult): void;
}

/** Resolves when the runner is ready; throws HobError "unavailable" when it ends or is silent instead. */
export async function connectRunner(socket: Duplex, events: RunnerEvents): Promise<Runner> {
  const decode = createFrameDecoder();
  const calls = new Map<string, PendingCall>();
  const loads = new Map<number, PendingLoad>();
  const ready = Promise.withResolvers<FrameHeads["ready"]>();
  const closed = Promise.withResolvers<string>();
  const inspections = createInspections((call) => send("inspect", { call }));
  const batches = createBatches({ send, broken: () => end(noAnswer) });
  let endReason: string | undefined;
  let lastLoad = 0;

  function send<K extends keyof FrameHeads>(name: K, head: FrameHeads[K], payload: readonly Uint8Array[] = []): void {
    if (endReason !== undefined) return;
    const pieces = encodeFrame(name, head, payload);
    if (socket.writableCorked === 0) {
      socket.cork(); // one write for all that is said now: a load and its call wake the runner once
      process.nextTick(() => socket.uncork());
    }
    for (const piece of pieces) socket.write(piece);
  }

  function end(reason: string): void {
    if (endReason !== undefined) return;
    endReason = reason;
    socket.destroy();
    ready.reject(new HobError("unavailable", `starting a runner: ${reason}`));
    for (const [call, pending] of calls) finishCall(call, { failure: pending.cause ?? died(reason), runMs: 0, droppedBytes: 0 });
    for (const [load, pending] of loads) finishLoad(load, pending.cause ?? died(reason));
    batches.end(died(reason));
    inspections.end(`its runner is gone: ${reason}`);
    closed.resolve(reason);
  }

  /** A process that was ended cannot say how long its call ran: since its start, then. */
  function finishCall(call: string, told: CallOutcome): void {
    const startedAtMs = calls.get(call)?.startedAtMs;
    const outcome =
      told.failure && told.runMs === 0 && startedAtMs !== undefined ? { ...told, runMs: systemClock.now() - startedAtMs } : told;
    const pending = calls.get(call);
    if (!pending) return;
    calls.delete(call);
    clearTimeout(pending.timer);
    if (!pending.cause) pending.resolve(outcome);
    else pending.resolve({ failure: pending.cause, runMs: outcome.runMs, droppedBytes: outcome.droppedBytes });
  }

  function finishLoad(load: number, failure: Failure | undefined, how?: FrameHeads["loaded"]): void {
    const pending = loads.get(load);
    if (!pending) return;
    loads.delete(load);
    clearTimeout(pending.timer);
    const reason = failure && pending.cause ? pending.cause : failure;
    const ms = systemClock.now() - pending.beganAtMs;
    const done = { ms, tier: how?.tier === "patch" ? ("patch" as const) : ("fork" as const), reason: text(how?.reason) };
    pending.resolve(reason ? { ...done, failure: reason } : done);
  }

  /** Asks for the end of a call or a load, and ends the runner when it does not answer. */
  function stop(pending: PendingCall | PendingLoad, target: FrameHeads["cancel"], cause: Failure): void {
    if (pending.cause) return;
    pending.cause = cause;
    clearTimeout(pending.timer);
    pending.timer = setTimeout(() => end(noAnswer), answerLimitMs);
    send("cancel", target);
  }

  function started(call: string, timeMs: number): void {
    const pending = calls.get(call);
    if (!pending || pending.startedAtMs !== undefined) return; // user code may write to the runner's socket, too
    pending.startedAtMs = systemClock.now();
    if (pending.timeoutMs > 0 && !pending.cause) {
      const message = `the call was still running after ${pending.timeoutMs / 1000} s, its function's timeout`;
      pending.timer = setTimeout(() => stop(pending, { call }, failure("timeout", message)), pending.timeoutMs);
    }
    events.started(call, timeMs);
  }

  function receive(frame: Frame): void {
    switch (frame.name) {
      case "ready":
        ready.resolve(frame.head);
        break;
      case "loaded":
        finishLoad(frame.head.load, completed(frame.head.failure), frame.head);
        break;
      case "started":
        if ("inputs" in frame.head) batches.started(frame.head.inputs);
        else started(frame.head.call, measure(frame.head.timeMs));
        break;
      case "output":
        events.output(linesOf(frame.head, frame.payload));
        break;
      case "result": {
        const { call, runMs, droppedBytes = 0 } = frame.head;
        const reason = completed(frame.head.failure);
        const response = responseOf(frame.head.response);
        const outcome = reason ? { failure: reason } : { result: { json: alone(frame.payload) }, ...(response && { response }) };
        finishCall(call, { ...outcome, runMs: measure(runMs), droppedBytes: whole(droppedBytes, Number.MAX_SAFE_INTEGER) });
        break;
      }
      case "part": {
        const response = responseOf(frame.head.response);
        events.part({ call: text(frame.head.call), ...(response && { response }), data: alone(frame.payload) });
        break;
      }
      case "results":
        batches.results(frame);
        break;
      case "map":
      case "mapInputs":
      case "mapTake":
      case "mapCancel":
        events.map(frame);
        break;
      case "childCall":
        events.childCall(childOf(frame));
        break;
      case "childCancel":
        events.childCancel(frame.head.id);
        break;
      case "childWait":
        events.childWait(frame.head.id);
        break;
      case "inspected":
        inspections.answered(frame.head);
        break;
      case "unloaded":
        events.unloaded(text(frame.head.snapshot));
        break;
      default:
        throw new HobError("corrupt", `the runner sent a ${frame.name} frame, which only the agent sends`);
    }
  }

  socket.on("data", (piece: Buffer) => {
    try {
      for (const frame of decode(piece)) receive(frame);
    } catch (error) {
      end(sentenceOf(error));
    }
  });
  socket.on("end", () => end("it ended"));
  socket.on("close", () => end("it ended"));
  socket.on("error", (error) => end(`its connection failed: ${error.message}`));

  const silence = setTimeout(() => end(`it said nothing for ${readyLimitMs / 1000} s`), readyLimitMs);
  const hello = await ready.promise.finally(() => clearTimeout(silence));
  if (hello.protocol !== protocolVersion) {
    end(`it speaks protocol ${hello.protocol}, this agent speaks ${protocolVersion}`);
    throw new HobError(
      "precondition",
      `the ${hello.language} runner speaks protocol ${hello.protocol}, this agent ${protocolVersion}`,
    );
  }

  function load(request: LoadRequest): Promise<LoadResult> {
    if (endReason !== undefined) return Promise.resolve({ ms: 0, tier: "fork", reason: "", failure: died(endReason) });
    const { promise, resolve } = Promise.withResolvers<LoadResult>();
    const id = ++lastLoad;
    const message = `importing the project had not finished after ${loadLimitMs / 1000} s`;
    const timer = setTimeout(() => stop(pending, { load: id }, failure("load", message)), loadLimitMs);
    const pending: PendingLoad = { beganAtMs: systemClock.now(), timer, resolve };
    loads.set(id, pending);
    const { blobs, ...rest } = request;
    const sizes = blobs.map(({ digest, data }) => ({ digest, size: data.byteLength }));
    try {
      send(
        "load",
        { ...rest, load: id, blobs: sizes },
        blobs.map(({ data }) => data),
      );
    } catch (error) {
      finishLoad(id, failure("infrastructure", sentenceOf(error)));
    }
    return promise;
  }

  function call(request: CallRequest): Promise<CallOutcome> {
    if (endReason !== undefined) return Promise.resolve({ failure: died(endReason), runMs: 0, droppedBytes: 0 });
    const { promise, resolve } = Promise.withResolvers<CallOutcome>();
    const { call, snapshot, version, positional, keywords, request: answered, keepFrames } = request;
    calls.set(call, { timeoutMs: request.timeoutMs, resolve });
    const sizes = { positional: positional.byteLength, keywords: keywords.byteLength };
    try {
      const more = { ...(answered && { request: answered }), ...(keepFrames && { keepFrames }) };
      send("call", { call, snapshot, version, function: request.function, ...sizes, ...more }, [positional, keywords]);
    } catch (error) {
      finishCall(call, { failure: failure("arguments", `${request.function}: ${sentenceOf(error)}`), runMs: 0, droppedBytes: 0 });
    }
    return promise;
  }

  return {
    language: hello.language,
    interpreter: hello.interpreter,
    load,
    call,
    cancel(call) {
      const pending = calls.get(call);
      if (pending) stop(pending, { call }, failure("cancelled", "the call was cancelled"));
    },
    inputs: (request, results) => batches.start(request, results, endReason === undefined ? undefined : died(endReason)),
    mapNews: (head, payload) => send("mapNews", head, payload),
    finish: () => send("finish", {}),
    partsTaken: (call, bytes, gone) => calls.has(call) && send("taken", { call, bytes, ...(gone && { gone }) }),
    rouse: () => send("rouse", {}),
    inspect(call) {
      const refused = hello.language === "python" ? endReason : "variables are kept of calls in Python only";
      return refused === undefined ? inspections.ask(call) : Promise.resolve({ frames: [], reason: refused });
    },
    childFinished(id, outcome) {
      if (outcome.failure) send("childResult", { id, failure: outcome.failure });
      else send("childResult", { id }, [outcome.result?.json ?? Buffer.from("null")]);
    },
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      end("it was closed");
    },
  };
}

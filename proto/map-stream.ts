// The client's half of one map, over however many connections that takes: inputs that control has not kept yet are sent again, results come once.

import { setTimeout as after } from "node:timers/promises";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { HobError } from "../base/errors.ts";
import type { Failure } from "./gen/hob/v1/common.ts";
import {
  type InputCredit,
  type MapEvent,
  type MapEvents,
  type MapInfo,
  MapInputs,
  type MapRequest,
  type OpenMap,
  type SomeResults,
} from "./gen/hob/v1/maps.ts";
import { fromServiceError } from "./status.ts";

type Stream = ClientDuplexStream<MapRequest, MapEvents>;

export interface MapListener {
  /** At the first answer, and again after each connection that was lost. */
  opened(info: MapInfo): void;
  /** Inputs below `recorded` are kept for good, those below `until` may be sent. */
  credit(credit: InputCredit): void;
  results(results: SomeResults): void;
  progress(info: MapInfo): void;
  /** Nothing more comes. */
  finished(info: MapInfo): void;
  /** A connection was lost; it is dialled again. */
  lost(cause: HobError): void;
  /** Nothing more comes: it was refused, or there was no connection for as long as `patienceMs`. */
  failed(cause: HobError): void;
}

export interface MapStreamOptions {
  /** Opens a stream to control, wherever that is by now. */
  dial(): Promise<Stream>;
  /** Its `position` is where the results go on. */
  open: OpenMap;
  /** How long without a connection before it is given up. */
  patienceMs: number;
}

export interface MapStream {
  /** Inputs from index `first` on; not beyond what the credit allows. With `last` there are no more. */
  send(first: number, inputs: readonly { positional: Buffer; keywords?: Buffer }[], last: boolean): void;
  /** How many results are wanted, in all so far. */
  take(results: number): void;
  /** The map ends; `finished` says so. */
  cancel(): void;
  /** Leaves it: what becomes of it is as it was opened. */
  close(): void;
}

const firstPauseMs = 50;
const longestPauseMs = 1_000;

/** Inputs that control may not have. */
interface Sent {
  end: number; // the index after the last of them
  bytes: Buffer;
  last: boolean;
}

export function openMapStream(options: MapStreamOptions, listener: MapListener): MapStream {
  const closing = new AbortController();
  let stream: Stream | undefined; // while control has answered on it
  let sent: Sent[] = [];
  let recorded = 0;
  let taken = 0;
  let delivered = 0; // results, by all streams
  let before = 0; // of these, by former streams
  let { position } = options.open;
  let known = options.open.resume;
  let cancelled = false;
  let aloneSinceMs = performance.now();

  const say = (request: NonNullable<MapRequest["request"]>): void => void stream?.write({ request });

  function hear(event: NonNullable<MapEvent["event"]>, current: Stream): boolean {
    switch (event.$case) {
      case "opened": {
        stream = current;
        known = true;
        before = delivered;
        const { info, credit } = event.value;
        if (info) listener.opened(info);
        if (credit) heardOf(credit);
        for (const { bytes, last } of sent) say({ $case: "inputs", value: { inputs: bytes, last } });
        if (taken > before) say({ $case: "credit", value: { results: taken - before } });
        if (cancelled) say({ $case: "cancel", value: {} });
        return false;
      }
      case "credit":
        heardOf(event.value);
        return false;
      case "results":
        delivered += event.value.count;
        position = event.value.position;
        listener.results(event.value);
        return false;
      case "progress":
        listener.progress(event.value);
        return false;
      case "finished":
        closing.abort();
        listener.finished(event.value);
        return true;
    }
  }

  function heardOf(credit: InputCredit): void {
    if (credit.recorded > recorded) recorded = credit.recorded;
    sent = sent.filter(({ end, last }) => end > recorded || last); // the word that there are no more has no index of its own
    listener.credit(credit);
  }

  /** One connection, until it ends; resolves when the map is done with. */
  async function serve(): Promise<void> {
    const current = await options.dial();
    const leave = (): void => void current.cancel();
    closing.signal.addEventListener("abort", leave, { once: true });
    try {
      closing.signal.throwIfAborted();
      current.write({ request: { $case: "open", value: { ...options.open, resume: known, position } } });
      for await (const { events } of current as AsyncIterable<MapEvents>) {
        for (const { event } of events) if (event && hear(event, current)) return;
      }
      throw new HobError("unavailable", "control ended the map's stream");
    } finally {
      if (stream) aloneSinceMs = performance.now();
      stream = undefined;
      closing.signal.removeEventListener("abort", leave);
      current.on("error", () => {}); // of the cancel
      current.cancel();
    }
  }

  async function run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!closing.signal.aborted) {
      const wasKnown = known;
      try {
        await serve();
        return;
      } catch (error) {
        if (closing.signal.aborted) return;
        const seen = fromServiceError(error);
        const cause = seen instanceof HobError ? seen : new HobError("internal", String(error), { cause: error });
        const patient = performance.now() - aloneSinceMs < options.patienceMs;
        if ((cause.kind !== "unavailable" && cause.kind !== "cancelled") || !patient) {
          closing.abort();
          return listener.failed(cause);
        }
        if (known && !wasKnown) pauseMs = firstPauseMs;
        listener.lost(cause);
      }
      await after(pauseMs, undefined, { signal: closing.signal }).catch(() => {}); // closed: the loop ends
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }

  void run();
  return {
    send(first, inputs, last) {
      const none = Buffer.alloc(0);
      const items = inputs.map(({ positional, keywords = none }, at) => {
        return { index: first + at, arguments: { positional, keywords, large: undefined } };
      });
      const bytes = Buffer.from(MapInputs.encode({ inputs: items }).finish());
      sent.push({ end: first + inputs.length, bytes, last });
      say({ $case: "inputs", value: { inputs: bytes, last } });
    },
    take(results) {
      taken = results;
      if (taken > before) say({ $case: "credit", value: { results: taken - before } });
    },
    cancel() {
      cancelled = true;
      say({ $case: "cancel", value: {} });
    },
    close: () => closing.abort(),
  };
}

/** Why a map as a whole gave no more results; undefined when it did. */
export function mapFailure({ state, failure }: MapInfo): Failure | undefined {
  if (failure) return failure;
  if (state !== "cancelled") return undefined;
  return { kind: "cancelled", type: "", message: "the map was cancelled", traceback: "", frames: [] };
}

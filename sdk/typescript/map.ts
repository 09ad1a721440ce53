// ⑥ Maps as user code sees them: inputs go out as they are wanted and results come as they are taken, so neither are ever all in memory.

import type { Channel, MapNews, MapStart, RemoteMap, RemoteOutcome } from "./channel.ts";
import { remoteError } from "./errors.ts";
import { decodeValue } from "./values.ts";

export interface MapOptions {
  /** Results in the inputs' order (the default), or as they finish. */
  ordered?: boolean;
  /** Give a failed input's RemoteError as its result instead of throwing it. */
  returnExceptions?: boolean;
}

export type Inputs<T> = Iterable<T> | AsyncIterable<T>;

/** Inputs go out when they are so many or so large, or when the first of them has waited so long. */
const chunkInputs = 256;
const chunkCharacters = 256 << 10;
const chunkMs = 5;
/** Results that may be on their way or wait here. */
const window = 2048;

interface Running {
  readonly remote: RemoteMap;
  readonly finished: boolean;
  readonly until: number;
  readonly recorded: number;
  /** Resolves at the next news. */
  news(): Promise<void>;
  /** Something here has changed: who waits for news looks again. */
  wake(): void;
  /** Asks for results a window ahead of those that were taken. */
  want(): void;
  next(): RemoteOutcome | undefined;
  /** Throws when the map has failed as a whole. */
  check(): void;
  cancel(): void;
}

function begin(channel: Channel, start: MapStart): Running {
  const results: RemoteOutcome[] = [];
  let read = 0; // of `results`: shift() of a long array moves all of it
  let taken = 0;
  let wanted = 0;
  let [until, recorded] = [0, 0];
  let finished = false;
  let failure: MapNews["failure"];
  let waiting = Promise.withResolvers<void>();

  function wake(): void {
    waiting.resolve();
    waiting = Promise.withResolvers<void>();
  }

  const remote = channel.map(start, (news) => {
    until = Math.max(until, news.until ?? 0);
    recorded = Math.max(recorded, news.recorded ?? 0);
    for (const { outcome } of news.results) results.push(outcome);
    finished ||= news.finished;
    failure ??= news.failure;
    wake();
  });

  function want(): void {
    if (taken + window - wanted < window / 4) return;
    wanted = taken + window;
    remote.take(wanted);
  }

  return {
    remote,
    wake,
    want,
    get finished() {
      return finished;
    },
    get until() {
      return until;
    },
    get recorded() {
      return recorded;
    },
    news: () => waiting.promise,
    next() {
      const outcome = results[read];
      if (!outcome) return undefined;
      read++;
      taken++;
      if (read === results.length) results.length = read = 0;
      want();
      return outcome;
    },
    check() {
      if (failure) throw remoteError(failure);
    },
    cancel() {
      if (finished) return;
      remote.cancel();
      finished = true;
      failure ??= { kind: "cancelled", message: "the map was cancelled" };
      wake();
    },
  };
}

/** Sends the inputs, no more than are wanted; resolves with their number. */
async function feed<T>(running: Running, inputs: Inputs<T>, encode: (input: T) => string): Promise<number> {
  let sent = 0;
  let chunk: string[] = [];
  let characters = 0;
  let timer: NodeJS.Timeout | undefined;

  function send(last: boolean): void {
    clearTimeout(timer);
    timer = undefined;
    const ready = chunk;
    [chunk, characters] = [[], 0];
    sent += ready.length;
    running.remote.send(sent - ready.length, ready, last);
  }

  try {
    for await (const input of inputs) {
      while (!running.finished && running.until <= sent + chunk.length) {
        if (chunk.length > 0) send(false);
        await running.news();
      }
      if (running.finished) return sent;
      const text = encode(input);
      chunk.push(text);
      characters += text.length;
      if (chunk.length >= chunkInputs || characters >= chunkCharacters) send(false);
      else timer ??= setTimeout(() => send(false), chunkMs);
    }
    if (!running.finished) send(true);
    return sent;
  } finally {
    clearTimeout(timer);
  }
}

async function* results<R>(running: Running, returnExceptions: boolean, fault: () => unknown): AsyncGenerator<R> {
  for (;;) {
    for (let outcome = running.next(); outcome; outcome = running.next()) {
      if (!("failure" in outcome)) yield decodeValue(outcome.json) as R;
      else if (returnExceptions) yield remoteError(outcome.failure) as R;
      else throw remoteError(outcome.failure);
    }
    if (fault() !== undefined) throw fault();
    if (running.finished) return running.check();
    await running.news();
  }
}

/** The results, in the order of the inputs or as they come. Begins when the first of them is asked for. */
export async function* mapEach<T, R>(
  open: (start: Pick<MapStart, "ordered" | "spawned">) => { channel: Channel; start: MapStart },
  inputs: Inputs<T>,
  encode: (input: T) => string,
  { ordered = true, returnExceptions = false }: MapOptions,
): AsyncGenerator<R> {
  const { channel, start } = open({ ordered, spawned: false });
  const running = begin(channel, start);
  let fault: unknown;
  running.want();
  const fed = feed(running, inputs, encode).catch((error: unknown) => {
    fault = error ?? new Error("the inputs ended with an exception that is none");
    running.wake();
  });
  try {
    yield* results<R>(running, returnExceptions, () => fault);
    await fed;
  } finally {
    running.cancel();
  }
}

/** A map that goes on by itself. `id` names it for good: `hob map --resume ID` gives its results to whoever asks. */
export class MapCall<R> {
  readonly id: string;
  readonly #running: Running;

  constructor(running: Running) {
    this.id = running.remote.id;
    this.#running = running;
  }

  /** The results that have not been taken yet, as they come; waits for those that are not there. */
  results({ returnExceptions = false }: Pick<MapOptions, "returnExceptions"> = {}): AsyncGenerator<R> {
    this.#running.want();
    return results<R>(this.#running, returnExceptions, () => undefined);
  }

  /** All of them as a list; rejects with the first failure. */
  async get(): Promise<R[]> {
    const all: R[] = [];
    for await (const result of this.results()) all.push(result);
    return all;
  }

  cancel(): void {
    this.#running.cancel();
  }
}

/** Resolves when the pool has all inputs: from then on nothing of it depends on this process. */
export async function spawnMap<T, R>(
  { channel, start }: { channel: Channel; start: MapStart },
  inputs: Inputs<T>,
  encode: (input: T) => string,
): Promise<MapCall<R>> {
  const running = begin(channel, start);
  running.want(); // a window of them waits here for `results`
  try {
    const sent = await feed(running, inputs, encode);
    while (!running.finished && running.recorded < sent) await running.news();
  } catch (error) {
    running.cancel(); // without all of its inputs it is not what was asked for
    throw error;
  }
  if (running.finished) running.check();
  return new MapCall<R>(running);
}

// ⑥ HTTP requests answered by a web-standard fetch handler: whole, or as they come, no further ahead of their reader than a mebibyte.

import type { Body } from "./code.ts";
import type { FrameName, Heads, RequestHead, ResponseHead } from "./frames.ts";

const windowBytes = 1 << 20;
const pieceBytes = 256 << 10;

type Send = <K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]) => void;

interface Reading {
  sent: number;
  taken: number;
  /** Ends the handler's request too. */
  gone: AbortController;
  reader: Reader | undefined;
  wake(): void;
}

export interface Answering {
  /** `response` where it was not streamed. */
  answer(
    call: string,
    asked: { head: RequestHead; body: Buffer },
    handler: Body,
  ): Promise<{ response?: ResponseHead; data: Buffer }>;
  taken(head: Heads["taken"]): void;
}

const nothing = Buffer.alloc(0);

export function createAnswering(send: Send): Answering {
  const readings = new Map<string, Reading>();

  /** Resolves when there is room; false when nobody reads any more. */
  async function room(reading: Reading): Promise<boolean> {
    while (reading.sent - reading.taken >= windowBytes && !reading.gone.signal.aborted) {
      await new Promise<void>((resolve) => {
        reading.wake = resolve;
      });
    }
    return !reading.gone.signal.aborted;
  }

  async function stream(call: string, reading: Reading, first: Piece, rest: Promise<Piece>, reader: Reader): Promise<void> {
    let next = first;
    let following: Promise<Piece> | undefined = rest;
    while (!next.done) {
      const bytes = asBytes(next.value);
      for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
        if (!(await room(reading))) return;
        const piece = bytes.subarray(at, at + pieceBytes);
        reading.sent += piece.byteLength;
        send("part", { call }, piece);
      }
      next = await (following ?? reader.read());
      following = undefined;
    }
  }

  return {
    async answer(call, { head, body }, handler) {
      const gone = new AbortController();
      const reading: Reading = { sent: 0, taken: 0, gone, reader: undefined, wake() {} };
      readings.set(call, reading);
      try {
        const response = await handler(requestOf(head, body, gone.signal));
        if (!isResponse(response))
          throw new TypeError(`a fetch handler returns a Response, and this one returned ${String(response)}`);
        const told: ResponseHead = { status: response.status, headers: [...response.headers] };
        const reader = response.body?.getReader();
        reading.reader = reader;
        const first = await reader?.read();
        if (!reader || !first || first.done) return { response: told, data: nothing };
        // What is whole has its end at hand; what is not after this turn of the loop is still to be made.
        const rest = reader.read();
        const end = await Promise.race([rest, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
        if (end?.done) return { response: told, data: Buffer.from(asBytes(first.value)) };
        send("part", { call, response: told });
        await stream(call, reading, first, rest, reader);
        return { data: nothing };
      } finally {
        readings.delete(call);
      }
    },
    taken({ call, bytes, gone = false }) {
      const reading = readings.get(call);
      if (!reading) return;
      reading.taken = bytes;
      if (gone) reading.gone.abort(new Error("nobody reads the answer any more"));
      reading.wake();
      if (gone) reading.reader?.cancel().catch(() => {}); // a read that waits ends with it; what the handler's stream says to that is its own
    },
  };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Piece = { done: false; value: Uint8Array } | { done: true; value?: Uint8Array | undefined };

const asBytes = (piece: unknown): Uint8Array => (typeof piece === "string" ? Buffer.from(piece) : (piece as Uint8Array));

/** Not instanceof: frameworks bring classes of their own. */
function isResponse(value: unknown): value is Response {
  return typeof value === "object" && value !== null && "status" in value && "headers" in value && "body" in value;
}

/** Its path begins below the endpoint's; where that lies is in x-forwarded-prefix. */
function requestOf({ method, origin, prefix, path, query, headers }: RequestHead, body: Buffer, signal: AbortSignal): Request {
  const pairs: [string, string][] = [...headers, ["x-forwarded-prefix", prefix]];
  const bodied = method !== "GET" && method !== "HEAD";
  return new Request(`${origin}${path}${query ? `?${query}` : ""}`, {
    ...{ method, headers: pairs, signal },
    ...(bodied ? { body: new Uint8Array(body) } : {}),
  });
}

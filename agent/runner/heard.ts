// ⑥ What a runner says, put into the wire's ranges: it shares its container with user code, and one odd number would end the link to control.

import type { Failure, HttpRequest, HttpResponse } from "../../proto/gen/hob/v1/common.ts";
import { cutPayload, type Frame, type FrameHeads, type RequestHead, type ResponseHead } from "./frames.ts";
import type { ChildCall, OutputLine } from "./runner.ts";

/** A copy: the payload is a view of a larger piece, which would live as long as the result. Nor is it of Node's pool, for the same reason. */
export function alone(view: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(view.byteLength);
  copy.set(view);
  return copy;
}

export function failure(kind: string, message: string): Failure {
  return { kind, message, type: "", traceback: "", frames: [] };
}

/** No code of the user's can end a runner, the first process of its container: what ran in it is run elsewhere. */
export function died(reason: string): Failure {
  return failure("infrastructure", `the runner is gone: ${reason}`);
}

const greatestUint32 = 2 ** 32 - 1;
export const whole = (value: unknown, greatest: number): number =>
  typeof value === "number" && value > 0 ? Math.min(Math.floor(value), greatest) : 0;
export const measure = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);
export const text = (value: unknown, longest = longestName): string => {
  if (typeof value !== "string") return "";
  return value.length <= longest ? value : `${value.slice(0, longest)}… (${value.length - longest} more characters)`;
};

// A failure goes to clients whole, with room to spare in a message: an exception's text may be as long as its author likes.
const longestName = 1 << 10;
// Runners cut it, at 16 and 256 KiB; this is for one that does not.
const longestMessage = 17 << 10;
const longestTraceback = 257 << 10;
const mostFrames = 200; // the innermost

/** A runner may leave out what is empty. */
export function completed(partial: Failure | undefined): Failure | undefined {
  if (!partial) return undefined;
  const { kind, type, message, traceback, frames } = partial;
  return {
    kind: text(kind) || "exception",
    type: text(type),
    message: text(message, longestMessage),
    traceback: text(traceback, longestTraceback),
    frames: (Array.isArray(frames) ? frames : []).slice(-mostFrames).map((frame) => ({
      file: text(frame?.file),
      line: whole(frame?.line, greatestUint32),
      function: text(frame?.function),
      source: text(frame?.source),
      own: frame?.own === true,
    })),
  };
}

export function linesOf(head: FrameHeads["output"], payload: Buffer): OutputLine[] {
  const { call, stream } = head;
  const input = typeof head.index === "number" ? { index: whole(head.index, greatestUint32) } : {};
  const timeMs = measure(head.timeMs);
  const dropped = whole(head.dropped, greatestUint32);
  return payload
    .toString()
    .split(/\r?\n/)
    .map((text, at) => ({ call, ...input, stream, timeMs, text, dropped: at === 0 ? dropped : 0 }));
}

const mostHeaders = 200;
const longestHeader = 16 << 10;
/** RFC 9110, 5.6.2 and 5.5: what Node would refuse would end control's answer. */
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Undefined for none; headers that cannot be sent are left out. */
export function responseOf(head: ResponseHead | undefined): HttpResponse | undefined {
  if (!head) return undefined;
  const status = whole(head.status, 599);
  const headers = (Array.isArray(head.headers) ? head.headers : []).slice(0, mostHeaders).flatMap((pair) => {
    const [name, value] = [text(pair?.[0]), text(pair?.[1], longestHeader)];
    return headerName.test(name) && headerValue.test(value) ? [{ name, value }] : [];
  });
  return { status: status < 200 ? 500 : status, headers };
}

/** A request as a runner is told of it, but for its body. */
export function requestHead({ headers, ...request }: HttpRequest): RequestHead {
  const { kind, method, path, prefix, query, parameters, origin, client } = request;
  const pairs = headers.map(({ name, value }): [string, string] => [name, value]);
  return { kind, method, path, prefix, query, headers: pairs, parameters, origin, client };
}

export function childOf(frame: Frame & { name: "childCall" }): ChildCall {
  const { id, parent, app, function: name, origin } = frame.head;
  const [positional = Buffer.alloc(0), keywords = Buffer.alloc(0)] = cutPayload(frame, [
    frame.head.positional,
    frame.head.keywords,
  ]);
  return { id, parent, app, function: name, origin, positional, keywords };
}

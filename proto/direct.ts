// Two-way streams between processes of one machine: the messages of proto/hob/v1 in frames on control's own socket, without HTTP/2. Of a save's way a
// third was HTTP/2's and gRPC's code, which sleeps in no cache between saves. What begins otherwise than with the greeting is gRPC (direct-server.ts).

import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { status } from "@grpc/grpc-js";
import { greatestMessageBytes } from "./transport.ts";

/** The first bytes of either side: the client's begin a stream, the server's accept it. */
export const greeting: Buffer = Buffer.from("HOBLINK1");

/** u32 length of what follows, u8 kind, body. */
export const frameKinds = {
  /** The method's path, once, from the client. */
  open: 1,
  message: 2,
  /** The client says nothing more. */
  end: 3,
  /** Of the server, its last: {code, details} as JSON, gRPC's. */
  status: 4,
  ping: 5,
  pong: 6,
} as const;

type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

/** A stream as its server sees it, however it came. It ends with an "error" emitted on it, or with `end`. */
export interface Served<Out> extends EventEmitter {
  write(message: Out): boolean;
  end(): unknown;
  readonly writableEnded: boolean;
}

/** A generated message type. */
export interface Codec<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
}

export interface Wire {
  /** One write. Answers whether the connection wants more. */
  send(kind: FrameKind, body?: Uint8Array): boolean;
  /** What has come on the connection already. */
  take(piece: Buffer): void;
}

const prefixBytes = 5;
/** A smaller frame is copied to be one piece, which is one write. */
const copiedBytes = 64 << 10;
const pingAfterMs = 10_000;
const deafAfterMs = 15_000;
const lookEveryMs = 5_000;

interface Listener {
  hear(kind: FrameKind, body: Buffer): void;
  /** Once: nothing more comes. `details` says why, for a person. */
  broken(code: status, details: string): void;
}

/** `greeted`: the other side's greeting has been read. */
export function openWire(socket: Socket, listener: Listener): Wire {
  let pieces: Buffer[] = [];
  let buffered = 0;
  let needed = prefixBytes;
  let over = false;
  let heardAtMs = performance.now();
  let lookedAtMs = heardAtMs;

  function fail(code: status, details: string): void {
    if (over) return;
    over = true;
    clearInterval(looking);
    socket.destroy();
    listener.broken(code, details);
  }

  function send(kind: FrameKind, body: Uint8Array = new Uint8Array()): boolean {
    const length = body.byteLength;
    const copied = length <= copiedBytes;
    const front = Buffer.allocUnsafe(prefixBytes + (copied ? length : 0));
    front.writeUInt32BE(1 + length, 0);
    front[4] = kind;
    if (copied) {
      front.set(body, prefixBytes);
      return socket.write(front);
    }
    socket.cork();
    socket.write(front);
    const more = socket.write(body);
    socket.uncork();
    return more;
  }

  function take(piece: Buffer): void {
    heardAtMs = performance.now();
    pieces.push(piece);
    buffered += piece.byteLength;
    if (buffered < needed) return; // pieces of a large frame are joined once, when it is whole
    let rest = pieces.length === 1 ? piece : Buffer.concat(pieces);
    while (!over) {
      const length = rest.byteLength < prefixBytes ? 1 : rest.readUInt32BE(0);
      if (length < 1 || length > greatestMessageBytes) {
        fail(status.RESOURCE_EXHAUSTED, `a message of ${length} bytes came; the limit is ${greatestMessageBytes}`);
        return;
      }
      needed = rest.byteLength < prefixBytes ? prefixBytes : prefixBytes - 1 + length;
      if (rest.byteLength < needed) break;
      hear(rest[4] as FrameKind, rest.subarray(prefixBytes, needed));
      rest = rest.subarray(needed);
    }
    pieces = rest.byteLength > 0 ? [rest] : [];
    buffered = rest.byteLength;
  }

  function hear(kind: FrameKind, body: Buffer): void {
    if (kind === frameKinds.ping) send(frameKinds.pong);
    else if (kind !== frameKinds.pong) listener.hear(kind, body);
  }

  /** One who hangs keeps the connection open. Were we the one who hung, what came meanwhile has not been read yet. */
  const looking = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - lookedAtMs > 2 * lookEveryMs) heardAtMs = nowMs;
    lookedAtMs = nowMs;
    if (nowMs - heardAtMs > deafAfterMs) fail(status.UNAVAILABLE, `the other side has not answered for ${deafAfterMs / 1000} s`);
    else if (nowMs - heardAtMs > pingAfterMs) send(frameKinds.ping);
  }, lookEveryMs);
  looking.unref();

  socket.on("data", take);
  socket.on("error", (error) => fail(status.UNAVAILABLE, error.message));
  socket.on("close", () => fail(status.UNAVAILABLE, "the connection was dropped"));
  return { send, take };
}

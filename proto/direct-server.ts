// The server's end of direct streams: which of a socket's connections are theirs, and each as the handlers of gRPC's streams know one.

import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Codec, frameKinds, greeting, openWire, type Served, type Wire } from "./direct.ts";

/** What gRPC's handlers are given, as far as these streams have it. */
export interface ServedDirectly<Out> extends Served<Out> {
  readonly metadata: Metadata;
  getPeer(): string;
}

interface Route {
  in: Codec<unknown>;
  out: Codec<unknown>;
  serve(stream: ServedDirectly<unknown>): void;
}

/** By the path of the method. */
export type Routes = ReadonlyMap<string, Route>;

export const route = <In, Out>(incoming: Codec<In>, out: Codec<Out>, serve: (stream: ServedDirectly<Out>) => void): Route => ({
  in: incoming,
  out: out as Codec<unknown>,
  serve: serve as Route["serve"],
});

/** Serves the connection when it begins with the greeting, else gives it to `other` with nothing of it taken. */
export function takeConnection(socket: Socket, routes: Routes, other: () => void): void {
  const ignore = (): void => {};
  let first = Buffer.alloc(0);
  const look = (): void => {
    const piece: Buffer | null = socket.read();
    if (piece === null) return;
    first = Buffer.concat([first, piece]);
    if (first.length < greeting.length && greeting.subarray(0, first.length).equals(first)) return;
    socket.off("readable", look).off("error", ignore);
    if (greeting.equals(first.subarray(0, greeting.length))) {
      serve(socket, routes, first.subarray(greeting.length));
      return;
    }
    socket.unshift(first);
    other();
  };
  socket.on("readable", look).on("error", ignore);
}

function serve(socket: Socket, routes: Routes, rest: Buffer): void {
  let stream: ServedStream | undefined;
  const wire = openWire(socket, {
    hear(kind, body) {
      if (stream) return stream.hear(kind, body);
      const path = body.toString("utf8");
      const found = kind === frameKinds.open ? routes.get(path) : undefined;
      stream = new ServedStream(socket, wire, found);
      if (found) found.serve(stream);
      else stream.fail(status.UNIMPLEMENTED, `control has no stream ${path}`);
    },
    broken: () => stream?.lost(),
  });
  socket.write(greeting);
  if (rest.length > 0) wire.take(rest);
}

class ServedStream extends EventEmitter implements ServedDirectly<unknown> {
  readonly metadata = new Metadata();
  writableEnded = false;
  readonly #socket: Socket;
  readonly #wire: Wire;
  readonly #route: Route | undefined;
  #lost = false;

  constructor(socket: Socket, wire: Wire, found: Route | undefined) {
    super();
    this.#socket = socket;
    this.#wire = wire;
    this.#route = found;
    this.on("error", ({ code, details, message }: Partial<ServiceError> & Error) =>
      this.fail(code ?? status.INTERNAL, details ?? message),
    );
    socket.on("drain", () => this.emit("drain"));
  }

  getPeer(): string {
    return "unix";
  }

  hear(kind: number, body: Buffer): void {
    if (this.writableEnded) return;
    if (kind === frameKinds.end) this.emit("end");
    else if (kind === frameKinds.message) {
      let message: unknown;
      try {
        message = this.#route!.in.decode(body);
      } catch (error) {
        this.fail(status.INTERNAL, `a message could not be read: ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
      this.emit("data", message);
    }
  }

  write(message: unknown): boolean {
    return this.writableEnded || this.#wire.send(frameKinds.message, this.#route!.out.encode(message).finish());
  }

  end(): void {
    this.fail(status.OK, "");
  }

  /** The stream's last word. */
  fail(code: status, details: string): void {
    if (this.writableEnded) return;
    this.writableEnded = true;
    if (!this.#lost) {
      this.#wire.send(frameKinds.status, Buffer.from(JSON.stringify({ code, details })));
      this.#socket.end();
    }
    process.nextTick(() => this.emit("finish"));
  }

  /** Its connection has gone. */
  lost(): void {
    this.#lost = true;
    if (!this.writableEnded) this.emit("cancelled");
    this.writableEnded = true;
    this.emit("close");
  }
}

// The client's end of a stream to control: direct where control is on this machine, gRPC elsewhere and with a server that knows only that.

import { EventEmitter } from "node:events";
import { connect } from "node:net";
import { type ClientDuplexStream, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Codec, frameKinds, greeting, openWire, type Wire } from "./direct.ts";

interface Method<Out, In> {
  path: string;
  out: Codec<Out>;
  in: Codec<In>;
}

/** As grpc-js has it, of which this is a part. */
export interface Dialled<Out, In> extends EventEmitter<{ data: [In]; end: []; error: [Error]; drain: [] }> {
  write(message: Out): boolean;
  /** Says nothing more. */
  end(): void;
  cancel(): void;
}

const scheme = "unix:";

/** Never throws: what fails is an "error". */
export function dialStream<Out, In>(
  address: string,
  method: Method<Out, In>,
  overGrpc: () => ClientDuplexStream<Out, In>,
): Dialled<Out, In> | ClientDuplexStream<Out, In> {
  return address.startsWith(scheme) ? new DirectStream(address.slice(scheme.length), method, overGrpc) : overGrpc();
}

class DirectStream<Out, In> extends EventEmitter<{ data: [In]; end: []; error: [Error]; drain: [] }> implements Dialled<Out, In> {
  readonly #method: Method<Out, In>;
  readonly #socket: ReturnType<typeof connect>;
  #wire: Wire | undefined; // once it has been accepted
  #waiting: Out[] = []; // until then
  #ended = false; // by us
  #over = false; // nothing is emitted any more
  #other: ClientDuplexStream<Out, In> | undefined;

  constructor(path: string, method: Method<Out, In>, overGrpc: () => ClientDuplexStream<Out, In>) {
    super();
    this.#method = method;
    this.#socket = connect(path);
    const { length } = greeting;
    const opening = Buffer.from(method.path);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(1 + opening.length);
    head[4] = frameKinds.open;
    this.#socket.write(Buffer.concat([greeting, head, opening]));
    let first = Buffer.alloc(0);
    const look = (piece: Buffer): void => {
      first = Buffer.concat([first, piece]);
      if (first.length < length && greeting.subarray(0, first.length).equals(first)) return;
      leave();
      if (greeting.equals(first.subarray(0, length))) this.#accepted(first.subarray(length));
      else this.#goOver(overGrpc()); // HTTP/2's first frame
    };
    const fail = (error: Error): void => this.#fail(status.UNAVAILABLE, `no connection to ${path}: ${error.message}`);
    const close = (): void => this.#fail(status.UNAVAILABLE, `${path}: the connection was dropped`);
    const leave = (): void => {
      this.#socket.off("data", look).off("error", fail).off("close", close);
    };
    this.#socket.on("data", look).on("error", fail).on("close", close);
  }

  #accepted(rest: Buffer): void {
    const wire = openWire(this.#socket, {
      hear: (kind, body) => {
        if (kind === frameKinds.message) this.#take(body);
        else if (kind === frameKinds.status) this.#finish(body);
      },
      broken: (code, details) => this.#fail(code, details),
    });
    this.#wire = wire;
    this.#socket.on("drain", () => this.#over || this.emit("drain"));
    for (const message of this.#waiting.splice(0)) this.write(message);
    if (this.#ended) wire.send(frameKinds.end);
    if (rest.length > 0) wire.take(rest);
  }

  #goOver(other: ClientDuplexStream<Out, In>): void {
    this.#socket.on("error", () => {}).destroy();
    this.#other = other;
    other.on("data", (message: In) => this.emit("data", message));
    other.on("error", (error) => this.emit("error", error));
    other.on("end", () => this.emit("end"));
    other.on("drain", () => this.emit("drain"));
    for (const message of this.#waiting.splice(0)) other.write(message);
    if (this.#ended) other.end();
  }

  #take(body: Buffer): void {
    if (this.#over) return;
    let message: In;
    try {
      message = this.#method.in.decode(body);
    } catch (error) {
      this.#fail(status.INTERNAL, `a message could not be read: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    this.emit("data", message);
  }

  #finish(body: Buffer): void {
    const { code, details } = JSON.parse(body.toString("utf8")) as { code: status; details: string };
    if (code !== status.OK) this.#fail(code, details);
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    this.emit("end");
  }

  #fail(code: status, details: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    const error: ServiceError = Object.assign(new Error(details), { code, details, metadata: new Metadata() });
    this.emit("error", error);
  }

  write(message: Out): boolean {
    if (this.#other) return this.#other.write(message);
    if (this.#over) return true;
    if (this.#wire) return this.#wire.send(frameKinds.message, this.#method.out.encode(message).finish());
    this.#waiting.push(message);
    return true;
  }

  end(): void {
    this.#ended = true;
    if (this.#other) this.#other.end();
    else if (!this.#over) this.#wire?.send(frameKinds.end);
  }

  cancel(): void {
    if (this.#other) this.#other.cancel();
    else process.nextTick(() => this.#fail(status.CANCELLED, "cancelled by its client"));
  }
}

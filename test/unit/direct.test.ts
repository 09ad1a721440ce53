// Streams between processes of one machine without HTTP/2: they say what gRPC's would, and what is no such stream is left to gRPC.

import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HobError } from "../../base/errors.ts";
import { frameKinds, openWire } from "../../proto/direct.ts";
import { dialStream } from "../../proto/direct-client.ts";
import { route, type ServedDirectly, takeConnection } from "../../proto/direct-server.ts";
import { ClientMessage, SessionEvents } from "../../proto/gen/hob/v1/calls.ts";
import { toServiceError } from "../../proto/status.ts";

const method = { path: "/test/Talk", out: ClientMessage, in: SessionEvents };
const cancel = (call: string): ClientMessage => ({ message: { $case: "cancel", value: { call } } });
const notice = (text: string): SessionEvents => ({
  events: [{ event: { $case: "notice", value: { level: "info", text, timeMs: 1 } } }],
});
const noGrpc = () => {
  throw new Error("gRPC was dialled");
};

let folder = "";
let socket = "";
let others: Buffer[] = []; // first bytes of connections that are not direct
let connections: Socket[] = [];
let stop: () => void;

function serve(handler: (stream: ServedDirectly<SessionEvents>) => void): Promise<void> {
  const routes = new Map([[method.path, route(ClientMessage, SessionEvents, handler)]]);
  const server = createServer((connection) => {
    connections.push(connection);
    takeConnection(connection, routes, () => others.push(connection.read()));
  });
  stop = () => server.close();
  return new Promise((resolve) => server.listen(socket, resolve));
}

/** What a stream says until its end: messages as texts, then "end" or the error's code and details. */
function hear(stream: ReturnType<typeof dialStream<ClientMessage, SessionEvents>>): Promise<string[]> {
  const heard: string[] = [];
  return new Promise((resolve) => {
    stream.on("data", ({ events }: SessionEvents) => {
      for (const { event } of events) if (event?.$case === "notice") heard.push(event.value.text);
    });
    stream.on("end", () => resolve([...heard, "end"]));
    stream.on("error", (error: Error & { code?: number; details?: string }) =>
      resolve([...heard, `${error.code} ${error.details}`]),
    );
  });
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hob-direct-"));
  socket = join(folder, "s");
  [others, connections, stop] = [[], [], () => {}];
});
afterEach(() => {
  stop();
  for (const connection of connections) connection.destroy();
  rmSync(folder, { recursive: true, force: true });
});

test("messages of any size go both ways in order, what was said before the server accepted among them, and both ends end", async () => {
  const large = "x".repeat(3 << 20);
  await serve((stream) => {
    stream.on("data", ({ message }: ClientMessage) => {
      if (message?.$case === "cancel") stream.write(notice(message.value.call));
    });
    stream.on("end", () => stream.end());
  });
  const stream = dialStream(`unix:${socket}`, method, noGrpc);
  const heard = hear(stream);
  for (const text of ["a", large, "b", ""]) stream.write(cancel(text));
  stream.end();
  expect(await heard).toEqual(["a", large, "b", "", "end"]);
});

test("an error on the server's end comes with its kind, after what was said before it", async () => {
  await serve((stream) => {
    stream.write(notice("first"));
    stream.emit("error", toServiceError(new HobError("exhausted", "too much of it")));
    stream.write(notice("never"));
  });
  const heard = await hear(dialStream(`unix:${socket}`, method, noGrpc));
  expect(heard).toEqual(["first", `${status.RESOURCE_EXHAUSTED} too much of it`]);
});

test("a client that cancels or dies is told of on the server's end once, and a server that dies on the client's", async () => {
  const ends: string[] = [];
  const closed = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const again = Promise.withResolvers<void>();
  await serve((stream) => {
    for (const name of ["cancelled", "finish", "end"]) stream.on(name, () => ends.push(name));
    stream.on("close", closed.resolve);
    stream.on("data", () => (connections.length === 1 ? reached : again).resolve());
  });
  const stream = dialStream(`unix:${socket}`, method, noGrpc);
  const heard = hear(stream);
  stream.write(cancel("hello"));
  await reached.promise;
  stream.cancel();
  expect(await heard).toEqual([`${status.CANCELLED} cancelled by its client`]);
  await closed.promise;
  expect(ends).toEqual(["cancelled"]);

  const other = dialStream(`unix:${socket}`, method, noGrpc);
  const last = hear(other);
  other.write(cancel("hello"));
  await again.promise;
  connections[1]!.destroy();
  expect(await last).toEqual([`${status.UNAVAILABLE} the connection was dropped`]);
});

test("what cannot be a frame, a message or a known stream ends that stream with a sentence and nothing else", async () => {
  await serve((stream) => stream.on("data", () => {}));
  const said = (bytes: Buffer): Promise<string> =>
    new Promise((resolve) => {
      const raw = connect(socket);
      let answer = "";
      raw.on("data", (data) => (answer += data.toString("latin1"))).on("close", () => resolve(answer));
      raw.on("error", () => {});
      raw.write(bytes);
    });
  const open = (path: string): Buffer => frame(1, Buffer.from(path));
  const greeting = Buffer.from("HOBLINK1");
  expect(await said(Buffer.concat([greeting, open("/test/Other")]))).toContain("control has no stream /test/Other");
  expect(await said(Buffer.concat([greeting, open(method.path), frame(2, Buffer.from([0xff, 0xff]))]))).toContain(
    "a message could not be read",
  );
  expect(await said(Buffer.concat([greeting, Buffer.from("ffffffff02", "hex")]))).toBe("HOBLINK1");
  const stream = dialStream(`unix:${socket}`, method, noGrpc);
  const heard = hear(stream);
  stream.write(cancel("still served"));
  stream.cancel();
  expect(await heard).toHaveLength(1);
});

test("one who hangs is asked after ten seconds and given up after fifteen, but not by one who hung itself", () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  try {
    const written: number[] = [];
    const said: string[] = [];
    const silent = Object.assign(new EventEmitter(), {
      write: (bytes: Buffer) => written.push(bytes[4]!) > 0,
      destroy: () => said.push("destroyed"),
    }) as unknown as Socket;
    openWire(silent, { hear() {}, broken: (_code, details) => said.push(details) });
    vi.advanceTimersByTime(5_000);
    const hung = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 60_000);
    vi.advanceTimersByTime(5_000); // the only look in a minute
    expect([written, said]).toEqual([[], []]);
    hung.mockRestore();
    silent.emit("data", frame(frameKinds.ping, Buffer.alloc(0)));
    expect(written).toEqual([frameKinds.pong]);
    vi.advanceTimersByTime(15_000);
    expect([written, said]).toEqual([[frameKinds.pong, frameKinds.ping], []]);
    vi.advanceTimersByTime(5_000);
    expect(said).toEqual(["destroyed", "the other side has not answered for 15 s"]);
  } finally {
    vi.useRealTimers();
  }
});

test("a connection that begins otherwise is handed on whole, however its first bytes come", async () => {
  await serve(() => {});
  const raw = connect(socket);
  raw.write("HOB");
  await new Promise((resolve) => setTimeout(resolve, 20)); // so that they come apart
  raw.write("T stuff");
  while (others.length === 0) await new Promise((resolve) => setImmediate(resolve));
  raw.destroy();
  expect(others[0]!.toString()).toBe("HOBT stuff");
});

test("nobody there, or no socket, is an error that names the path", async () => {
  expect((await hear(dialStream(`unix:${socket}`, method, noGrpc)))[0]).toContain(`no connection to ${socket}`);
});

function frame(kind: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + body.length);
  head[4] = kind;
  return Buffer.concat([head, body]);
}

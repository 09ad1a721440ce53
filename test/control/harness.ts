// What the tests of control drive it with: control itself, a client of its session, and what is published and called. agent-double.ts is their agent.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { type ControlOptions, runControl } from "../../control/main.ts";
import { isNetwork } from "../../proto/address.ts";
import { CallsClient, type ClientMessage, type SessionEvent, type SessionEvents } from "../../proto/gen/hob/v1/calls.ts";
import { type Backoff, type Endpoint, type FileEntry, type ImageRef, Version } from "../../proto/gen/hob/v1/common.ts";
import { Publish, StartCall } from "../../proto/gen/hob/v1/registry.ts";
import { fromServiceError } from "../../proto/status.ts";
import { channelOptions, channelOptionsOf, clientCredentials, unixAddress } from "../../proto/transport.ts";

export const hostDigest = sha256("the host's image");
export const megabytes512 = 512 * 2 ** 20;

export interface Place extends Disposable {
  folder: string;
  socket: string;
  state: string;
  store: string;
}

export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), "hob-control-"));
  return {
    folder,
    socket: join(folder, "run", "control.sock"),
    state: join(folder, "state"),
    store: join(folder, "blobs"),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export interface RunningControl extends AsyncDisposable {
  ended: Promise<void>;
}

/** Resolves when somebody serves there. */
async function listening(socket: string): Promise<void> {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  try {
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + 20_000, (error) => (error ? reject(error) : resolve()));
    });
  } finally {
    client.close();
  }
}

/** In this process; resolves once it serves, rejects when it ends before. */
export async function startControl(place: Place, options: Partial<ControlOptions> = {}): Promise<RunningControl> {
  const stop = new AbortController();
  const { socket, state, store } = place;
  const all = { socket, state, store, build: "test", lingerMs: Number.POSITIVE_INFINITY, log: silentLog, ...options };
  const ended = runControl(all, stop.signal);
  await Promise.race([listening(socket), ended.then(() => Promise.reject(new Error("control ended before it served")))]);
  return {
    ended,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended.catch(() => {});
    },
  };
}

/** Control as a process of its own, to be killed; resolves once it serves. */
export async function spawnControl(place: Place, nats?: string): Promise<ChildProcess> {
  const entry = fileURLToPath(new URL("serve.ts", import.meta.url));
  const child = spawn(process.execPath, [entry, place.socket, place.state, place.store, ...(nats === undefined ? [] : [nats])], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  await listening(place.socket);
  return child;
}

export async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Waits for things that arrive: `of` resolves with the first, past or future, that `matches`. */
export class Arrivals<T> {
  readonly all: T[] = [];
  #waiting: { matches(item: T): boolean; resolve(item: T): void; reject(error: unknown): void }[] = [];
  #failure: unknown;

  add(item: T): void {
    this.all.push(item);
    this.#waiting = this.#waiting.filter((waiter) => {
      if (!waiter.matches(item)) return true;
      waiter.resolve(item);
      return false;
    });
  }

  fail(error: unknown): void {
    this.#failure = error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }

  of(matches: (item: T) => boolean): Promise<T> {
    const found = this.all.find(matches);
    if (found !== undefined) return Promise.resolve(found);
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiting.push({ matches, resolve, reject }));
  }
}

type Event = NonNullable<SessionEvent["event"]>;

export interface TestSession extends Disposable {
  readonly arrivals: Arrivals<Event>;
  readonly stream: ClientDuplexStream<ClientMessage, SessionEvents>;
  send(message: NonNullable<ClientMessage["message"]>): void;
  next<K extends Event["$case"]>(
    kind: K,
    matches?: (value: Extract<Event, { $case: K }>["value"]) => boolean,
  ): Promise<Extract<Event, { $case: K }>["value"]>;
  /** The call's last word. */
  outcome(id: string): Promise<NonNullable<Extract<Event, { $case: "call" }>["value"]["call"]>>;
  call(name: string, positional?: unknown[], more?: Partial<StartCall>): string;
  /** The error that ended the session. */
  failed: Promise<unknown>;
}

const finishedStates = ["succeeded", "failed", "cancelled"];

/** A test names control by its socket, or by its address on the network. */
export const addressOf = (control: string): string => (isNetwork(control) ? control : unixAddress(control));

export function openSession(
  control: string,
  open: { client?: string; build?: string; calls?: string[]; logsAfter?: number; lastsMs?: number } = {},
): TestSession {
  const address = addressOf(control);
  const client = new CallsClient(address, clientCredentials(address), channelOptionsOf(address));
  const stream = client.session({ deadline: Date.now() + (open.lastsMs ?? 60_000) });
  const arrivals = new Arrivals<Event>();
  const failed = new Promise<unknown>((resolve) => {
    stream.on("error", (error) => {
      const sentence = fromServiceError(error);
      arrivals.fail(sentence);
      resolve(sentence);
    });
  });
  stream.on("data", ({ events }: SessionEvents) => {
    for (const { event } of events) if (event) arrivals.add(event);
  });
  const send = (message: NonNullable<ClientMessage["message"]>) => void stream.write({ message });
  send({
    $case: "open",
    value: {
      client: open.client ?? "test",
      build: open.build ?? "test",
      logsAfter: open.logsAfter ?? 0,
      calls: open.calls ?? [],
    },
  });
  const session: TestSession = {
    arrivals,
    stream,
    failed,
    send,
    async next(kind, matches = () => true) {
      const event = await arrivals.of((item) => item.$case === kind && matches(item.value as never));
      return event.value as never;
    },
    async outcome(id) {
      const update = await session.next("call", ({ call }) => call?.id === id && finishedStates.includes(call.state));
      return update.call!;
    },
    call(name, positional = [], more = {}) {
      const id = newId();
      send({ $case: "call", value: startCall(id, name, positional, more) });
      return id;
    },
    [Symbol.dispose]() {
      stream.cancel();
      client.close();
    },
  };
  return session;
}

export const newId = (): string => randomBytes(8).toString("hex");

export function startCall(id: string, name: string, positional: unknown[] = [], more: Partial<StartCall> = {}): StartCall {
  const args = { positional: Buffer.from(JSON.stringify(positional)), keywords: Buffer.alloc(0), large: undefined };
  return { ...StartCall.create(), id, app: "shop", function: name, arguments: args, origin: "key", ...more };
}

export interface Source {
  path: string;
  text: string;
}

function entryOf({ path, text }: Source): FileEntry {
  return { path, digest: sha256(text), size: Buffer.byteLength(text), mode: 0o644 };
}

export function snapshotDigest(files: Source[]): string {
  const lines = files.map((file) => `644 ${sha256(file.text)} ${Buffer.byteLength(file.text)} ${file.path}\n`);
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
}

interface FunctionWish {
  name: string;
  retries?: number;
  backoff?: Backoff;
  language?: string;
  maxContainers?: number;
  minContainers?: number;
  bufferContainers?: number;
  concurrency?: number;
  idleTimeoutMs?: number;
  className?: string;
  memoryBytes?: number;
  secrets?: string[];
  gpu?: string;
  image?: ImageRef;
  endpoint?: Partial<Endpoint>;
  parameters?: { name: string; kind: string }[];
}

/** A whole snapshot of one file, and versions of these functions in it. */
export function makePublish(text: string, functions: FunctionWish[], more: Partial<Publish> = {}): Publish {
  const files = [{ path: "app.py", text }];
  const snapshot = snapshotDigest(files);
  return Publish.fromPartial({
    id: 1,
    app: "shop",
    snapshot: {
      digest: snapshot,
      base: "",
      changed: files.map(entryOf),
      blobs: files.map((file) => ({ digest: sha256(file.text), data: Buffer.from(file.text) })),
    },
    versions: functions.map((wish) => makeVersion(snapshot, text, wish)),
    changes: functions.map(({ name }) => ({ function: name, tier: "fork", reason: "new" })),
    ...more,
  });
}

export function makeVersion(snapshot: string, text: string, wish: FunctionWish): Version {
  const { name, language = "python", ...limits } = wish;
  const spec = { app: "shop", name, language, module: "app.py", qualname: name, image: { source: "host" } };
  const parameters = [{ name: "items", kind: "variadic" }];
  return Version.fromPartial({
    function: name,
    digest: sha256(`${name} ${text}`),
    snapshot,
    spec: { ...spec, parameters, ...limits },
  });
}

export const resultOf = (call: { result: { json: Buffer } | undefined }): unknown =>
  call.result && JSON.parse(call.result.json.toString());

/** Publishes and waits until the code is in place. */
export async function publishAndLoad(session: TestSession, publish: Publish): Promise<void> {
  session.send({ $case: "publish", value: publish });
  await session.next("reloaded", (reloaded) => reloaded.publish === publish.id);
}

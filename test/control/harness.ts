// What the tests of control drive it with: control itself, a client of its session, and an agent that speaks Agents.Link.

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
import {
  type AgentCommand,
  type AgentCommands,
  AgentMessage,
  AgentsClient,
  type Dispatch,
  type DispatchInputs,
  InputsFinished,
  type Load,
  type PartsTaken,
  type ResolveImage,
} from "../../proto/gen/hob/v1/agents.ts";
import { CallsClient, type ClientMessage, type SessionEvent, type SessionEvents } from "../../proto/gen/hob/v1/calls.ts";
import { type Backoff, type Endpoint, type FileEntry, type ImageRef, Version } from "../../proto/gen/hob/v1/common.ts";
import { ContainerInfo, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { MapInputs, MapResult, MapResults } from "../../proto/gen/hob/v1/maps.ts";
import { Publish, StartCall } from "../../proto/gen/hob/v1/registry.ts";
import { hostImageKey, imageKey } from "../../proto/image.ts";
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
export async function spawnControl(place: Place): Promise<ChildProcess> {
  const entry = fileURLToPath(new URL("serve.ts", import.meta.url));
  const child = spawn(process.execPath, [entry, place.socket, place.state, place.store], {
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
const addressOf = (control: string): string => (isNetwork(control) ? control : unixAddress(control));

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

export interface TestAgent extends Disposable {
  readonly commands: Arrivals<NonNullable<AgentCommand["command"]>>;
  send(message: NonNullable<AgentMessage["message"]>): void;
  succeed(dispatch: Dispatch, value?: unknown): void;
  fail(dispatch: Dispatch, kind: string): void;
  loaded(load: Load): void;
  /** The container ends, whatever runs in it. */
  lose(container: string): void;
  dispatchOf(call: string, attempt?: number): Promise<Dispatch>;
  /** From now on it reads nothing more of what control sends. */
  pause(): void;
  /** Its containers that wait, by language. */
  readonly containers: Map<string, ContainerInfo>;
}

export interface AgentScript {
  name?: string;
  /** Where other nodes are to fetch from it. */
  peerAddress?: string;
  epoch?: string;
  cores?: number;
  calls?: string[];
  containers?: ContainerInfo[];
  /** What it does with a dispatch; the standard is to answer the load, and the call with its own first argument. */
  dispatch?(agent: TestAgent, dispatch: Dispatch): void | Promise<void>;
  load?(agent: TestAgent, load: Load): void;
  /** What it does with a batch of a map, once its load is answered; the standard is to answer each input with its first argument. */
  inputs?(agent: TestAgent, dispatch: DispatchInputs): void;
  /** What it does when a reader of a streamed response goes on, or has gone. */
  partsTaken?(taken: PartsTaken): void;
  /** What it does when it is to build an image. */
  build?(agent: TestAgent, resolve: ResolveImage): void;
  /** Makes as many generic containers as control wishes; the standard. */
  pools?: boolean;
}

/** An agent without containers of its own: it speaks the protocol and does what the script says. */
export function linkAgent(control: string, script: AgentScript = {}): TestAgent {
  const address = addressOf(control);
  const client = new AgentsClient(address, clientCredentials(address), channelOptionsOf(address));
  const stream = client.link({ deadline: Date.now() + 120_000 });
  const commands = new Arrivals<NonNullable<AgentCommand["command"]>>();
  const containers = new Map((script.containers ?? []).map((container) => [container.id, container]));
  stream.on("error", () => {}); // control ended, or this agent was disposed of
  const send = (message: NonNullable<AgentMessage["message"]>) => void stream.write({ messages: [{ message }] });

  function fill(command: Extract<AgentCommand["command"], { $case: "pools" }>["value"]): void {
    for (const pool of command.pools) {
      const { cpu, memoryBytes, language } = pool.resourceClass!;
      const same = [...containers.values()].filter(
        ({ app, image, resourceClass: has }) =>
          !app && image === pool.image && has?.language === language && has.memoryBytes === memoryBytes && has.cpu === cpu,
      );
      for (let i = same.length; i < pool.warm; i++) {
        const id = randomBytes(4).toString("hex");
        const container = ContainerInfo.fromPartial({ id, image: pool.image, resourceClass: pool.resourceClass!, state: "warm" });
        containers.set(id, container);
        send({ $case: "container", value: { container, gone: false, reason: "" } });
      }
    }
  }

  function specialise(load: Load): void {
    const container = containers.get(load.container);
    if (!container) return;
    container.app = load.app;
    container.state = "specialised";
  }

  const agent: TestAgent = {
    commands,
    containers,
    send,
    loaded(load) {
      specialise(load);
      const { id, container, snapshot } = load;
      containers.get(container)?.snapshots.push(snapshot!.digest);
      send({
        $case: "loaded",
        value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure: undefined, tier: load.tier, reason: "" },
      });
    },
    succeed(dispatch, value = null) {
      const { call, container, attempt } = dispatch;
      const result = { json: Buffer.from(JSON.stringify(value)) };
      send(
        AgentMessage.fromPartial({ message: { $case: "finished", value: { call, container, attempt, result, runMs: 1 } } })
          .message!,
      );
    },
    fail(dispatch, kind) {
      const { call, container, attempt } = dispatch;
      const failure = { kind, message: `it failed: ${kind}` };
      send(AgentMessage.fromPartial({ message: { $case: "finished", value: { call, container, attempt, failure } } }).message!);
    },
    lose(id) {
      const container = containers.get(id)!;
      containers.delete(id);
      send({ $case: "container", value: { container, gone: true, reason: "it was killed" } });
    },
    pause: () => void stream.pause(),
    async dispatchOf(call, attempt = 1) {
      const command = await commands.of(
        (item) => item.$case === "dispatch" && item.value.call === call && item.value.attempt === attempt,
      );
      return command.value as Dispatch;
    },
    [Symbol.dispose]() {
      stream.cancel();
      client.close();
    },
  };

  function hear(command: NonNullable<AgentCommand["command"]>): void {
    if (command.$case === "resolve" && script.build && imageKey(command.value.image!) !== hostImageKey) {
      script.build(agent, command.value);
    } else if (command.$case === "resolve") {
      const image = { digest: hostDigest, source: "host" };
      send(AgentMessage.fromPartial({ message: { $case: "image", value: { requested: { source: "host" }, image } } }).message!);
    } else if (command.$case === "pools") {
      if (script.pools ?? true) fill(command.value);
    } else if (command.$case === "load") {
      specialise(command.value);
      if (script.load) script.load(agent, command.value);
      else agent.loaded(command.value);
    } else if (command.$case === "dispatch") {
      if (command.value.load) specialise(command.value.load);
      if (script.dispatch) void script.dispatch(agent, command.value);
      else answer(agent, command.value);
    } else if (command.$case === "inputs") {
      const { load } = command.value;
      if (load) agent.loaded(load);
      (script.inputs ?? answerInputs)(agent, command.value);
    } else if (command.$case === "partsTaken") script.partsTaken?.(command.value);
    else if (command.$case === "shutdown") stream.end();
    commands.add(command);
  }

  stream.on("data", ({ commands: heard }: AgentCommands) => {
    for (const { command } of heard) if (command) hear(command);
  });
  const node = NodeInfo.fromPartial({
    name: script.name ?? "node-1",
    state: "ready",
    cores: script.cores ?? 2,
    memoryBytes: 2 ** 33,
    containers: [...containers.values()],
  });
  send({
    $case: "hello",
    value: { node, build: "test", calls: script.calls ?? [], peerAddress: script.peerAddress ?? "", epoch: script.epoch ?? "" },
  });
  return agent;
}

/** Answers with what `resultOf` makes of each input's first argument. */
export function answerInputs(agent: TestAgent, dispatch: DispatchInputs, outcome: (value: unknown) => object = asValue): void {
  const results = MapInputs.decode(dispatch.inputs).inputs.map(({ index, arguments: given }) => {
    const [first] = JSON.parse(given!.positional.toString()) as unknown[];
    return MapResult.fromPartial({ index, ...outcome(first) });
  });
  finishInputs(agent, dispatch, results, { last: true });
}

const asValue = (value: unknown) => ({ value: { json: Buffer.from(JSON.stringify(value)) } });

export function finishInputs(
  agent: TestAgent,
  { batch, container }: DispatchInputs,
  results: MapResult[],
  more: Partial<InputsFinished>,
): void {
  const bytes = Buffer.from(MapResults.encode({ results }).finish());
  const value = InputsFinished.fromPartial({ batch, container, results: bytes, count: results.length, runMs: 0.01, ...more });
  agent.send({ $case: "inputs", value });
}

export function answer(agent: TestAgent, dispatch: Dispatch): void {
  if (dispatch.load) agent.loaded(dispatch.load);
  const [first] = JSON.parse(dispatch.arguments!.positional.toString() || "[]") as unknown[];
  agent.succeed(dispatch, first);
}

export const resultOf = (call: { result: { json: Buffer } | undefined }): unknown =>
  call.result && JSON.parse(call.result.json.toString());

/** Publishes and waits until the code is in place. */
export async function publishAndLoad(session: TestSession, publish: Publish): Promise<void> {
  session.send({ $case: "publish", value: publish });
  await session.next("reloaded", (reloaded) => reloaded.publish === publish.id);
}

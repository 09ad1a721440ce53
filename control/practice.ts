// ④ Control's part of proto/practice.ts: a pool of its own in a folder of its own, with a workbench and an agent that are doubles, and nothing of it left.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { HobError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import type { Rest } from "../base/rest.ts";
import { takeConnection } from "../proto/direct-server.ts";
import {
  type AgentCommand,
  AgentCommands,
  AgentMessage,
  AgentMessages,
  AgentsService,
  type Load,
} from "../proto/gen/hob/v1/agents.ts";
import { CallsService, ClientMessage, SessionEvents } from "../proto/gen/hob/v1/calls.ts";
import { ContainerInfo, NodeInfo } from "../proto/gen/hob/v1/fleet.ts";
import {
  dialPractice,
  practiceApp,
  practisedAnswers,
  practisedLoaded,
  practisedPublish,
  type Rehearsal,
  servePractice,
} from "../proto/practice.ts";
import { directStreams } from "./direct-streams.ts";
import { openSqliteEngine } from "./engine/sqlite.ts";
import type { ControlOptions } from "./main.ts";
import { openPlane } from "./plane.ts";

type Command = NonNullable<AgentCommand["command"]>;
type Said = NonNullable<AgentMessage["message"]>;

/** A pool beside the one that `socket` is of, in a folder that is cleared before and after. */
export async function rehearseControl(options: Pick<ControlOptions, "socket" | "build">, rest: Rest): Promise<Rehearsal> {
  const folder = join(dirname(options.socket), `.${basename(options.socket)}.p`);
  const [state, store, socket] = [join(folder, "state"), join(folder, "blobs"), join(folder, "s")];
  const { build } = options;
  await using stack = new AsyncDisposableStack();
  const clear = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await clear(); // what one that was killed has left
  stack.defer(clear);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const engine = stack.use(openSqliteEngine(state, store));
  const own = { ...{ state, store, build }, embedded: true, lingerMs: Number.POSITIVE_INFINITY, log: silentLog };
  const plane = openPlane(own, engine, { rest, end() {}, stack });
  const routes = directStreams(plane);
  stack.use(await servePractice(socket, (connection) => takeConnection(connection, routes, () => connection.destroy())));
  linkAgent(socket, build);
  const save = openWorkbench(socket, build);
  const opened = stack.move();
  return { save, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** An agent that has containers in name only. */
function linkAgent(socket: string, build: string): void {
  const stream = dialPractice(socket, { path: AgentsService.link.path, out: AgentMessages, in: AgentCommands });
  const say = (...messages: Said[]): void => void stream.write({ messages: messages.map((message) => ({ message })) });
  const node = NodeInfo.fromPartial({ name: practiceApp, state: "ready", cores: 2, memoryBytes: 2 ** 33 });
  let containers = 0;
  let loading: Load | undefined; // is answered with its call, as agents do
  function hear(command: Command): void {
    if (command.$case === "resolve") {
      const image = { digest: "0".repeat(64), source: "host" };
      say(AgentMessage.fromPartial({ message: { $case: "image", value: { requested: { source: "host" }, image } } }).message!);
    } else if (command.$case === "pools") {
      for (const { image, resourceClass, warm } of command.value.pools) {
        if (containers >= warm) continue;
        const info = { id: `${practiceApp}${++containers}`, image, resourceClass: resourceClass!, state: "warm" };
        say({ $case: "container", value: { container: ContainerInfo.fromPartial(info), gone: false, reason: "" } });
      }
    } else if (command.$case === "load") {
      if (command.value.called) loading = command.value;
      else say(practisedLoaded(command.value));
    } else if (command.$case === "dispatch") {
      const load = command.value.load ?? loading;
      loading = undefined;
      say(...(load ? [practisedLoaded(load)] : []), ...practisedAnswers(command.value));
    }
  }
  stream.on("data", ({ commands }) => {
    for (const { command } of commands) if (command) hear(command);
  });
  say({ $case: "hello", value: { node, build, calls: [], peerAddress: "", epoch: practiceApp } });
}

/** A workbench; the function that it gives makes a save. */
function openWorkbench(socket: string, build: string): Rehearsal["save"] {
  const stream = dialPractice(socket, { path: CallsService.session.path, out: ClientMessage, in: SessionEvents });
  const send = (message: NonNullable<ClientMessage["message"]>): void => void stream.write({ message });
  let waiting: { call: string; resolve(): void; reject(cause: Error): void } | undefined;
  stream.on("data", ({ events }) => {
    for (const { event } of events) {
      const call = event?.$case === "call" ? event.value.call : undefined;
      if (!call || call.id !== waiting?.call || call.finishedAtMs === 0) continue;
      if (call.state === "succeeded") waiting.resolve();
      else waiting.reject(new HobError("internal", `a practised call ${call.state}: ${call.failure?.message}`));
    }
  });
  send({ $case: "open", value: { client: "dev", build, logsAfter: 0, calls: [] } });
  send({ $case: "watch", value: { apps: [practiceApp], fleet: true } });
  return (n) => {
    const publish = practisedPublish(n);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting = { call: publish.calls[0]!.id, resolve, reject };
    send({ $case: "rouse", value: { apps: [practiceApp] } });
    send({ $case: "publish", value: publish });
    return promise;
  };
}

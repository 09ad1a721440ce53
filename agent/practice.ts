// ⑤⑥ The agent's part of proto/practice.ts: a link and a dispatcher of their own, with a control and a runner that are doubles, and nothing of it left.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { openContentFolder } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { unixAddress } from "../proto/address.ts";
import { route, type ServedDirectly, takeConnection } from "../proto/direct-server.ts";
import { type AgentCommand, AgentCommands, type AgentMessage, AgentMessages, AgentsService } from "../proto/gen/hob/v1/agents.ts";
import { NodeInfo, ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import { isKept } from "../proto/kept.ts";
import { practiceApp, practisedCommands, type Rehearsal, servePractice, type Unless } from "../proto/practice.ts";
import { createContent } from "./content.ts";
import { openControlLink } from "./control-link.ts";
import { createDispatcher } from "./dispatch.ts";
import type { Held } from "./inside.ts";
import { connectRunner } from "./runner/connect.ts";
import { createFrameDecoder, encodeFrame, type FrameHeads, protocolVersion } from "./runner/frames.ts";

type Command = NonNullable<AgentCommand["command"]>;

const container = practiceApp;
const build = "practice";

const none = (): never => {
  throw new HobError("internal", "a practice has nobody to ask");
};

/** In `folder`, which is cleared before and after. */
export async function rehearseAgent(folder: string, unless: Unless): Promise<Rehearsal> {
  const [socket, runnerSocket] = [join(folder, "s"), join(folder, "r")];
  await using stack = new AsyncDisposableStack();
  const clear = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await clear(); // what one that was killed has left
  stack.defer(clear);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const control = createControl();
  stack.use(await servePractice(socket, (connection) => takeConnection(connection, control.routes, () => connection.destroy())));
  stack.use(await servePractice(runnerSocket, serveRunner));
  const ending = new AbortController();
  const store = openContentFolder(join(folder, "blobs"), { durable: false });
  const content = createContent(store, { fetch: none }, silentLog);
  stack.defer(content.settled);
  const dispatcher = createDispatcher({
    ...{ content, store, client: none, dialMap: none, answered() {}, clock: systemClock, log: silentLog },
    fuse: () => ({ addSnapshot: async () => {}, removeSnapshot: async () => {} }),
    send: (message) => link.send(message),
  });
  const link = openControlLink(
    {
      control: unixAddress(socket),
      hello: () => ({ node: NodeInfo.fromPartial({ name: practiceApp }), build, calls: dispatcher.calls(), peerAddress: "" }),
      onCommand(command) {
        if (command.$case === "rouse") for (const id of command.value.containers) dispatcher.rouse(id);
        else if (command.$case === "load") void dispatcher.load(command.value);
        else if (command.$case === "dispatch") void dispatcher.dispatch(command.value);
      },
      onLost() {},
      log: silentLog,
    },
    ending.signal,
  );
  stack.defer(async () => {
    ending.abort();
    await link.ended;
  });
  const runner = stack.use(await connectRunner(connect(runnerSocket), dispatcher.eventsOf(container)));
  const held: Held = {
    ...{ id: container, runner, state: { name: "specialised", app: practiceApp }, specialise() {}, stop: async () => {} },
    resourceClass: ResourceClass.fromPartial({ language: "python", memoryBytes: 512 << 20 }),
    meter: { oomKills: () => 0, refusedPids: () => 0, filesBytes: () => 0, peakMemoryBytes: () => 16 << 20 },
  };
  dispatcher.add(held);
  await unless(control.linked);
  const opened = stack.move();
  return { save: control.save, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

interface ControlDouble extends Pick<Rehearsal, "save"> {
  routes: Parameters<typeof takeConnection>[1];
  /** Resolves when the agent has said hello. */
  linked: Promise<void>;
}

function createControl(): ControlDouble {
  const linked = Promise.withResolvers<void>();
  let stream: ServedDirectly<AgentCommands> | undefined;
  let acknowledged = 0;
  let waiting: { call: string; resolve(): void; reject(cause: Error): void } | undefined;
  const say = (command: Command): void => void stream?.write({ commands: [{ command }], acknowledged });
  function hear(message: NonNullable<AgentMessage["message"]>): void {
    if (isKept(message)) acknowledged++;
    if (message.$case === "hello") {
      say({ $case: "welcome", value: { control: practiceApp, build, peerKey: "" } });
      linked.resolve();
    } else if (message.$case === "finished" && message.value.call === waiting?.call) {
      const { failure } = message.value;
      if (failure) waiting.reject(new HobError("internal", `a practised call failed: ${failure.message}`));
      else waiting.resolve();
    }
  }
  const serve = (opened: ServedDirectly<AgentCommands>): void => {
    stream = opened;
    opened.on("data", ({ messages }: AgentMessages) => {
      for (const { message } of messages) if (message) hear(message);
    });
  };
  return {
    routes: new Map([[AgentsService.link.path, route(AgentMessages, AgentCommands, serve)]]),
    linked: linked.promise,
    save(n) {
      const { load, dispatch } = practisedCommands(n, container);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting = { call: dispatch.call, resolve, reject };
      say({ $case: "rouse", value: { containers: [container] } });
      if (load) say({ $case: "load", value: load });
      say({ $case: "dispatch", value: dispatch });
      return promise;
    },
  };
}

/** A runner that has loaded everything, and of which every call gives 1. */
function serveRunner(socket: Socket): void {
  const decode = createFrameDecoder();
  const say = <K extends keyof FrameHeads>(name: K, head: FrameHeads[K], payload: Uint8Array[] = []): void => {
    socket.write(Buffer.concat(encodeFrame(name, head, payload)));
  };
  say("ready", { protocol: protocolVersion, language: "python", interpreter: "Python 3" });
  socket.on("data", (piece: Buffer) => {
    for (const frame of decode(piece)) {
      if (frame.name === "load") say("loaded", { load: frame.head.load, tier: "patch" });
      else if (frame.name === "call") {
        const { call } = frame.head;
        say("started", { call, timeMs: systemClock.now() });
        say("result", { call, runMs: 0.1 }, [Buffer.from("1")]);
      }
    }
  });
}

// ④⑤ The Agents service: one stream a node. Its messages are routed by kind; when it ends, what ran on the node runs elsewhere.

import { once } from "node:events";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Batch, createBatch } from "../proto/batch.ts";
import type {
  AgentCommand,
  AgentCommands,
  AgentHello,
  AgentMessage,
  AgentMessages,
  ContainerChanged,
  ImageResolved,
  Load,
} from "../proto/gen/hob/v1/agents.ts";
import { hostImageKey, hostImageRef, imageKey } from "../proto/image.ts";
import { toServiceError } from "../proto/status.ts";
import type { Calls } from "./calls.ts";
import type { Builds } from "./images/builds.ts";
import type { ImageRecords } from "./images/records.ts";
import type { Logs } from "./logs.ts";
import { isBatch } from "./maps/map.ts";
import type { Maps } from "./maps/maps.ts";
import type { Command, Container, Node, Nodes } from "./nodes.ts";
import type { Publishes } from "./publishes.ts";
import type { Scheduler } from "./scheduler/scheduler.ts";
import type { Sessions } from "./sessions.ts";
import type { Shells } from "./shells.ts";
import type { Turn } from "./turn.ts";

const resolveAgainMs = 15_000;
const shutdownMs = 5_000;

type Stream = ServerDuplexStream<AgentMessages, AgentCommands>;
type Message = NonNullable<AgentMessage["message"]>;
type Kind = Message["$case"];
type ValueOf<K extends Kind> = Extract<Message, { $case: K }>["value"];

interface AgentsParts {
  nodes: Nodes;
  calls: Calls;
  maps: Pick<Maps, "childStarted" | "finished" | "containerGone" | "nodeLinked" | "snapshotOf">;
  scheduler: Scheduler;
  publishes: Publishes;
  sessions: Pick<Sessions, "progress" | "forgetProgress" | "notice" | "trouble">;
  logs: Pick<Logs, "append">;
  shells: Pick<Shells, "containerGone">;
  images: Pick<ImageRecords, "keepTrace">;
  builds: Builds;
  turn: Turn;
  clock: Clock;
  log: Log;
  build: string;
}

export interface Agents {
  serve(stream: Stream): void;
  /** False once the pool ends: nothing is placed any more. */
  readonly placing: boolean;
  /** Tells every node to end what it runs, for which calls have `patienceMs`; resolves when all have, or five seconds after that. */
  shutdown(patienceMs: number): Promise<void>;
}

export function createAgents(parts: AgentsParts): Agents {
  const { nodes, calls, maps, scheduler, publishes, sessions, logs, shells, images, builds, turn, clock, log, build } = parts;
  const streams = new Map<Node, { stream: Stream; batch: Batch<AgentCommand> }>();
  let closing = false;

  /** One row for each message of an agent after its hello. */
  const handlers: { [K in Exclude<Kind, "hello">]: (node: Node, value: ValueOf<K>) => void } = {
    sample(node, info) {
      for (const container of nodes.sample(node, info, clock.now())) gone(container, "the node does not have it any more");
      turn.wake();
    },
    container: containerChanged,
    loaded(node, message) {
      const outcome = scheduler.loadFinished(node, message);
      if (outcome) publishes.loaded(outcome);
    },
    started: (_node, message) => calls.started(message),
    logs: (_node, { lines }) => logs.append(lines),
    finished(node, message) {
      const { container, loadMs, failure } = message;
      impliedLoad(node, calls.active(message.call)?.snapshot, { container, loadMs, failure: failure?.kind });
      calls.attemptFinished(node, message);
    },
    child(node, request) {
      calls.start({ ...request, origin: request.origin || "function" }, node.name);
      if (request.origin !== "spawn") maps.childStarted(request.parent, request.id);
    },
    cancel: (_node, { call }) => calls.cancel(call),
    progress(node, said) {
      const progress = builds.progress({ ...said, node: said.node || node.name });
      if (progress) sessions.progress(progress);
    },
    inputs(node, message) {
      const { batch, container, loadMs, failure } = message;
      impliedLoad(node, maps.snapshotOf(batch), { container, loadMs, failure: failure?.kind });
      maps.finished(node, message);
    },
    image(node, message) {
      if (message.requested && imageKey(message.requested) !== hostImageKey) builds.resolved(node, message);
      else hostResolved(node, message);
    },
    imageStep: (_node, message) => builds.stepBuilt(message),
    buildLog: (_node, message) => builds.said(message),
    trace(_node, { image, blob }) {
      images.keepTrace(image, blob);
      turn.wake();
    },
  };

  /** A call that ran with its load says that the load is done, should the answer to the load itself not have come first. */
  function impliedLoad(
    node: Node,
    snapshot: string | undefined,
    { container: id, loadMs: ms, failure }: { container: string; loadMs: number; failure: string | undefined },
  ): void {
    const pending = snapshot === undefined ? undefined : node.containers.get(id)?.loading.has(snapshot);
    if (!pending || failure === "load" || failure === "infrastructure") return;
    const outcome = scheduler.loadFinished(node, {
      ...{ load: 0, container: id, snapshot: snapshot!, ms, failure: undefined },
      ...{ tier: "fork", reason: "" },
    });
    if (outcome) publishes.loaded(outcome);
  }

  function containerChanged(node: Node, { container: info, gone: ended, reason }: ContainerChanged): void {
    if (!info) return;
    if (!ended) nodes.report(node, info, clock.now());
    else {
      const container = node.containers.get(info.id);
      if (container) gone(container, reason);
    }
    turn.wake();
  }

  function gone(container: Container, reason: string): void {
    container.owner.containers.delete(container.id);
    scheduler.containerGone(container);
    calls.containerGone(container, reason);
    maps.containerGone(container, reason);
    shells.containerGone(container, reason);
  }

  function hostResolved(node: Node, { image, failure }: ImageResolved): void {
    if (image && !failure) {
      nodes.resolved(node, image);
      turn.wake();
      return;
    }
    const what = "image host";
    const message = failure?.message ?? "the node gave no reason";
    log.error({ node: node.name, what, message }, "an image could not be resolved");
    sessions.progress({ what, phase: "failed", done: 0, total: 0, unit: "", node: node.name, message });
    sessions.notice("error", `${what} on ${node.name}: ${message}`);
    setTimeout(() => {
      if (nodes.all.get(node.name) === node) resolveHost(node);
    }, resolveAgainMs).unref();
  }

  function resolveHost(node: Node): void {
    node.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
  }

  function welcome(stream: Stream, hello: AgentHello): Node {
    if (!hello.node?.name) throw new HobError("usage", "an agent said hello without the name of its node");
    const former = nodes.all.get(hello.node.name);
    if (former) lost(former, "another agent took its name");
    if (hello.build !== build) log.warn({ node: hello.node.name, agent: hello.build, control: build }, "builds differ");
    const batch = createBatch<AgentCommand>((commands) => stream.write({ commands }));
    const node = nodes.link(hello.node, clock.now(), (command: Command) => void batch.add({ command }, bytesOf(command)));
    streams.set(node, { stream, batch });
    sessions.trouble("");
    node.peerAddress = hello.peerAddress;
    node.send({ $case: "welcome", value: { control: `hob control, pid ${process.pid}`, build, peerKey: node.peerKey } });
    if (closing) node.send({ $case: "shutdown", value: { patienceMs: 0 } });
    if (!node.images.has(hostImageKey)) resolveHost(node);
    const [batches, held] = [hello.calls.filter(isBatch), hello.calls.filter((id) => !isBatch(id))];
    calls.nodeLinked(node, held);
    maps.nodeLinked(node, batches);
    log.info({ node: node.name, containers: node.containers.size, calls: hello.calls.length }, "node linked");
    turn.wake();
    return node;
  }

  function lost(node: Node, reason: string): void {
    const link = streams.get(node);
    if (!link) return;
    streams.delete(node);
    nodes.unlink(node);
    builds.nodeLost(node);
    sessions.forgetProgress(node.name);
    for (const container of [...node.containers.values()]) gone(container, reason);
    if (!link.stream.writableEnded) {
      link.batch.flush();
      link.stream.end();
    }
    link.batch.close();
    log.info({ node: node.name, reason }, "node lost");
    if (!closing) sessions.notice("warning", `node ${node.name} is gone: ${reason}`);
    turn.wake();
  }

  function serve(stream: Stream): void {
    let node: Node | undefined;
    function take({ message }: AgentMessage): void {
      if (!message) return; // of a newer agent
      if (node) {
        if (message.$case !== "hello") (handlers[message.$case] as (node: Node, value: unknown) => void)(node, message.value);
      } else if (message.$case === "hello") node = welcome(stream, message.value);
      else throw new HobError("usage", "the first message of an agent is its hello");
    }
    stream.on("data", ({ messages }: AgentMessages) => {
      try {
        for (const message of messages) take(message);
      } catch (error) {
        if (!(error instanceof HobError)) throw error;
        log.error({ error: error.sentence }, "an agent's message failed");
        stream.emit("error", toServiceError(error));
      }
    });
    const close = () => {
      if (node) lost(node, "its agent is not connected any more");
    };
    stream.once("end", () => {
      close();
      stream.end();
    });
    stream.once("cancelled", close);
    stream.once("finish", close);
  }

  async function shutdown(patienceMs: number): Promise<void> {
    closing = true;
    const waiting = [...streams].map(async ([node, { stream }]) => {
      node.send({ $case: "shutdown", value: { patienceMs } });
      await once(stream, "close", { signal: AbortSignal.timeout(patienceMs + shutdownMs) });
    });
    const results = await Promise.allSettled(waiting);
    const late = results.filter((result) => result.status === "rejected").length;
    if (late > 0) log.warn({ late }, "nodes did not end in time");
  }

  return {
    serve,
    get placing() {
      return !closing;
    },
    shutdown,
  };
}

/** Of what may be large. */
function bytesOf(command: Command): number {
  if (command.$case === "dispatch") {
    const { load, arguments: given } = command.value;
    return (load ? loadBytes(load) : 0) + (given?.positional.byteLength ?? 0) + (given?.keywords.byteLength ?? 0);
  }
  if (command.$case === "inputs")
    return command.value.inputs.byteLength + (command.value.load ? loadBytes(command.value.load) : 0);
  return command.$case === "load" ? loadBytes(command.value) : 0;
}

const loadBytes = ({ snapshot, bundles }: Load): number =>
  [...(snapshot?.blobs ?? []), ...bundles].reduce((sum, { data }) => sum + data.byteLength, 0);

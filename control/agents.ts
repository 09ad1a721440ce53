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
import { isKept } from "../proto/kept.ts";
import { toServiceError } from "../proto/status.ts";
import { callerOf } from "./access/gate.ts";
import type { Calls } from "./calls.ts";
import type { Builds } from "./images/builds.ts";
import type { ImageRecords } from "./images/records.ts";
import type { Logs } from "./logs.ts";
import { isBatch } from "./maps/map.ts";
import type { Maps } from "./maps/maps.ts";
import type { Command, Container, Node, Nodes } from "./nodes.ts";
import { implausible } from "./plausible.ts";
import type { Publishes } from "./publishes.ts";
import type { Scheduler } from "./scheduler/scheduler.ts";
import type { Sessions } from "./sessions.ts";
import type { Shells } from "./shells.ts";
import { createSilence, type Heard, localPatienceMs, lookEveryMs, networkPatienceMs } from "./silence.ts";
import type { Turn } from "./turn.ts";

const resolveAgainMs = 15_000;
const shutdownMs = 5_000;
/** What waits for an agent that does not read, roughly; beyond, it is given up. */
const mostUnread = { commands: 20_000, bytes: 64 << 20 };

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
  /** Received on the connection from that peer; NaN where there is none. */
  receivedFrom(peer: string): number;
  /** Whether this node is to take nothing new. */
  cordoned(name: string): boolean;
}

/** A node's stream, and how far the two sides have come in it. */
interface Link extends Heard {
  node: Node;
  stream: Stream;
  batch: Batch<AgentCommand>;
  epoch: string;
  /** Of the messages that count (proto/kept.ts): taken, and of those recorded. */
  taken: number;
  recorded: number;
  /** The agent has been told so. */
  told: number;
  unread: { commands: number; bytes: number };
}

export interface Agents extends Disposable {
  serve(stream: Stream): void;
  /** Lets go of a node that is no member any more: it ends what it runs and itself. */
  dismiss(node: Node, patienceMs: number): void;
  /** When a node that is not linked was; 0 for one that has not been since this control began. */
  lostAtMs(name: string): number;
  /** False once the pool ends: nothing is placed any more. */
  readonly placing: boolean;
  /** Tells every node to end what it runs, for which calls have `patienceMs`; resolves when all have, or five seconds after that. */
  shutdown(patienceMs: number): Promise<void>;
}

export function createAgents(parts: AgentsParts): Agents {
  const { nodes, calls, maps, scheduler, publishes, sessions, logs, shells, images, builds, turn, clock, log, build } = parts;
  const streams = new Map<Node, Link>();
  /** How far the agents of nodes had come in their epochs when they were lost. */
  const former = new Map<string, { epoch: string; taken: number; lostAtMs: number }>();
  let closing = false;

  /** One row for each message of an agent after its hello. */
  const handlers: { [K in Exclude<Kind, "hello">]: (node: Node, value: ValueOf<K>) => void } = {
    sample(node, info) {
      const lie = implausible(info);
      if (lie) return lost(node, lie);
      acknowledge(node);
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
    awaited: (_node, { call }) => calls.awaited(call),
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

  /** Twice a second, with the sample's turn: nothing more is said for the sake of it while results are on their way. */
  function acknowledge(node: Node): void {
    const link = streams.get(node);
    if (!link || link.taken === link.recorded) return;
    const { taken } = link;
    turn.toNode(() => {
      link.recorded = taken;
      if (streams.get(node) === link && link.told < taken) write(link, []);
    });
  }

  function write(link: Link, commands: AgentCommand[]): boolean {
    link.told = link.recorded;
    return link.stream.write({ commands, acknowledged: link.recorded });
  }

  function send(link: Link, command: Command): void {
    const bytes = bytesOf(command);
    if (link.batch.add({ command }, bytes)) return;
    const { unread } = link;
    unread.commands++;
    unread.bytes += bytes;
    if (unread.commands > mostUnread.commands || unread.bytes > mostUnread.bytes)
      lost(link.node, "it does not read what it is told");
  }

  function welcome(stream: Stream, hello: AgentHello): Link {
    if (!hello.node?.name) throw new HobError("usage", "an agent said hello without the name of its node");
    const { name } = hello.node;
    const lie = implausible(hello.node);
    if (lie) throw new HobError("usage", `node ${name} is not taken: ${lie}`);
    const other = nodes.all.get(name);
    if (other) lost(other, "another agent took its name");
    if (hello.build !== build) log.warn({ node: hello.node.name, agent: hello.build, control: build }, "builds differ");
    const batch = createBatch<AgentCommand>((commands) => write(link, commands));
    const node = nodes.link(hello.node, clock.now(), (command: Command) => send(link, command));
    const caller = callerOf(stream.metadata);
    const peer = stream.getPeer();
    const received = caller ? () => parts.receivedFrom(peer) : () => Number.NaN;
    const had = former.get(name);
    const taken = had?.epoch === hello.epoch ? had.taken : 0;
    const link: Link = {
      ...{ node, stream, batch, epoch: hello.epoch, taken, recorded: taken, told: taken, unread: { commands: 0, bytes: 0 } },
      ...{ patienceMs: caller ? networkPatienceMs : localPatienceMs, heardAtMs: clock.now(), bytes: received(), received },
    };
    streams.set(node, link);
    sessions.trouble("");
    node.schedulable = !parts.cordoned(name);
    node.peerAddress = caller ? "" : hello.peerAddress; // a socket of another machine leads nowhere here
    node.send({ $case: "welcome", value: { control: `hob control, pid ${process.pid}`, build, peerKey: node.peerKey } });
    if (closing) node.send({ $case: "shutdown", value: { patienceMs: 0 } });
    if (!node.images.has(hostImageKey)) resolveHost(node);
    const [batches, held] = [hello.calls.filter(isBatch), hello.calls.filter((id) => !isBatch(id))];
    calls.nodeLinked(node, held);
    maps.nodeLinked(node, batches);
    log.info({ node: node.name, containers: node.containers.size, calls: hello.calls.length }, "node linked");
    turn.wake();
    return link;
  }

  function lost(node: Node, reason: string): void {
    const link = streams.get(node);
    if (!link) return;
    streams.delete(node);
    former.set(node.name, { epoch: link.epoch, taken: link.taken, lostAtMs: clock.now() });
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
    let link: Link | undefined;
    function take({ message }: AgentMessage): void {
      if (!message) return; // of a newer agent
      if (link) {
        if (streams.get(link.node) !== link) return; // given up: it says again what counts
        if (isKept(message)) link.taken++;
        if (message.$case !== "hello")
          (handlers[message.$case] as (node: Node, value: unknown) => void)(link.node, message.value);
      } else if (message.$case === "hello") link = welcome(stream, message.value);
      else throw new HobError("usage", "the first message of an agent is its hello");
    }
    stream.on("data", ({ messages }: AgentMessages) => {
      if (link) link.heardAtMs = clock.now();
      try {
        for (const message of messages) take(message);
      } catch (error) {
        if (!(error instanceof HobError)) throw error;
        log.error({ error: error.sentence }, "an agent's message failed");
        stream.emit("error", toServiceError(error));
      }
    });
    stream.on("drain", () => {
      if (!link) return;
      link.batch.drained();
      link.unread = { commands: 0, bytes: 0 };
    });
    const close = () => {
      if (link) lost(link.node, "its agent is not connected any more");
    };
    stream.once("end", () => {
      close();
      stream.end();
    });
    stream.once("cancelled", close);
    stream.once("finish", close);
  }

  const silence = createSilence(clock.now());
  const looking = setInterval(() => {
    const nowMs = clock.now();
    for (const { node, heardAtMs } of silence.look([...streams.values()], nowMs)) {
      lost(node, `nothing has been heard of it for ${((nowMs - heardAtMs) / 1000).toFixed(1)} s`);
    }
  }, lookEveryMs);

  function dismiss(node: Node, patienceMs: number): void {
    node.send({ $case: "shutdown", value: { patienceMs } });
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
    dismiss,
    lostAtMs: (name) => former.get(name)?.lostAtMs ?? 0,
    get placing() {
      return !closing;
    },
    shutdown,
    [Symbol.dispose]: () => clearInterval(looking),
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

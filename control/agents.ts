// ④⑤ The Agents service: one stream a node. Its messages are routed by kind; when it ends, what ran on the node runs elsewhere.

import { once } from "node:events";
import type { Clock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { networkAddress } from "../proto/address.ts";
import type { AgentHello, AgentMessage, AgentMessages, ContainerChanged, ImageResolved } from "../proto/gen/hob/v1/agents.ts";
import { hostImageKey, hostImageRef, imageKey } from "../proto/image.ts";
import { isKept } from "../proto/kept.ts";
import { toServiceError } from "../proto/status.ts";
import { callerOf } from "./access/gate.ts";
import { type AgentLink, type AgentStream, openAgentLink } from "./agent-link.ts";
import type { Calls } from "./calls.ts";
import type { Builds } from "./images/builds.ts";
import type { ImageRecords } from "./images/records.ts";
import type { Inspections } from "./inspections.ts";
import type { Logs } from "./logs.ts";
import { isBatch } from "./maps/map.ts";
import type { Maps } from "./maps/maps.ts";
import type { Container, Node, Nodes } from "./nodes.ts";
import { implausible } from "./plausible.ts";
import type { Publishes } from "./publishes.ts";
import type { Redaction } from "./redaction.ts";
import type { Scheduler } from "./scheduler/scheduler.ts";
import type { Sessions } from "./sessions.ts";
import type { Shells } from "./shells.ts";
import { createSilence, localPatienceMs, lookEveryMs, networkPatienceMs } from "./silence.ts";
import type { Turn } from "./turn.ts";

const resolveAgainMs = 15_000;
const shutdownMs = 5_000;

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
  redaction: Redaction;
  shells: Pick<Shells, "containerGone" | "notMade">;
  inspections: Pick<Inspections, "answered">;
  images: Pick<ImageRecords, "keepTrace">;
  builds: Builds;
  turn: Turn;
  clock: Clock;
  log: Log;
  build: string;
  /** Received on the connection from that peer; NaN where there is none. */
  receivedFrom(peer: string): number;
  /** What a node is to show to other nodes; undefined where nobody vouches for it. */
  certify(node: string): Promise<{ key: string; certificate: string } | undefined>;
  /** Whether this node is to take nothing new. */
  cordoned(name: string): boolean;
}

export interface Agents extends Disposable {
  serve(stream: AgentStream): void;
  /** Lets go of a node that is no member any more: it ends what it runs and itself. */
  dismiss(node: Node, patienceMs: number): void;
  /** When a node that is not linked was; 0 for one that has not been since this control began. */
  lostAtMs(name: string): number;
  /** False once the pool ends: nothing is placed any more. */
  readonly placing: boolean;
  /** Tells every node to end what it runs, for which calls have `patienceMs`; resolves when all have, or five seconds after that. */
  shutdown(patienceMs: number): Promise<void>;
}

/** Of "HOST:PORT", as streams name their other end; an IPv4 address may come in IPv6's clothes. */
const hostOf = (peer: string): string =>
  peer
    .slice(0, peer.lastIndexOf(":"))
    .replace(/^\[|\]$/g, "")
    .replace(/^::ffff:(?=\d+\.)/, "");

export function createAgents(parts: AgentsParts): Agents {
  const { nodes, calls, maps, scheduler, publishes, sessions, logs, redaction, shells, images, builds, turn, clock, log, build } =
    parts;
  const links = new Map<Node, AgentLink>();
  /** How far the agents of nodes had come in their epochs when they were lost. */
  const former = new Map<string, { epoch: string; taken: number; lostAtMs: number }>();
  let closing = false;

  /** One row for each message of an agent after its hello. */
  const handlers: { [K in Exclude<Kind, "hello">]: (node: Node, value: ValueOf<K>) => void } = {
    sample(node, info) {
      const lie = implausible(info);
      if (lie) return lost(node, lie);
      links.get(node)?.acknowledge();
      for (const container of nodes.sample(node, info, clock.now())) gone(container, "the node does not have it any more");
      turn.wake();
    },
    container: containerChanged,
    loaded(node, message) {
      message.failure = redaction.failure(appOf(node, message.container), message.failure);
      const outcome = scheduler.loadFinished(node, message);
      if (outcome) publishes.loaded(outcome);
    },
    started: (_node, message) => calls.started(message),
    logs: (node, { lines }) => logs.append(redaction.lines(lines, ({ app, container }) => app || appOf(node, container))),
    finished(node, message) {
      const { container, loadMs, failure } = message;
      message.failure = redaction.failure(appOf(node, container), failure);
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
      if (said.phase === "failed" && said.image) shells.notMade(node, said.image, said.message);
    },
    unfit(node, { image, language, sentence }) {
      node.unfit.set(`${image} ${language}`, sentence);
      turn.wake();
    },
    inputs(node, message) {
      const { batch, container, loadMs, failure } = message;
      const app = appOf(node, container);
      message.failure = redaction.failure(app, failure);
      message.results = redaction.results(app, message.results);
      impliedLoad(node, maps.snapshotOf(batch), { container, loadMs, failure: failure?.kind });
      maps.finished(node, message);
    },
    part(node, message) {
      const call = calls.active(message.call);
      if (call?.exchange && call.info.attempt === message.attempt) call.exchange.part(message);
      else node.send({ $case: "partsTaken", value: { call: message.call, container: message.container, bytes: 0, gone: true } });
    },
    image(node, message) {
      if (message.requested && imageKey(message.requested) !== hostImageKey) builds.resolved(node, message);
      else hostResolved(node, message);
    },
    imageStep: (_node, message) => builds.stepBuilt(message),
    buildLog: (_node, message) => builds.said(message),
    inspected: (_node, message) => parts.inspections.answered(message),
    trace(_node, { image, blob }) {
      images.keepTrace(image, blob);
      turn.wake();
    },
  };

  const appOf = (node: Node, container: string): string => node.containers.get(container)?.app ?? "";

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
    sessions.progress({ what, phase: "failed", done: 0, total: 0, unit: "", node: node.name, message, image: "" });
    sessions.notice("error", `${what} on ${node.name}: ${message}`);
    setTimeout(() => {
      if (nodes.all.get(node.name) === node) resolveHost(node);
    }, resolveAgainMs).unref();
  }

  function resolveHost(node: Node): void {
    node.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
  }

  function welcome(stream: AgentStream, hello: AgentHello): { node: Node; link: AgentLink } {
    if (!hello.node?.name) throw new HobError("usage", "an agent said hello without the name of its node");
    const { name } = hello.node;
    const lie = implausible(hello.node);
    if (lie) throw new HobError("usage", `node ${name} is not taken: ${lie}`);
    const other = nodes.all.get(name);
    if (other) lost(other, "another agent took its name");
    if (hello.build !== build) log.warn({ node: hello.node.name, agent: hello.build, control: build }, "builds differ");
    const node = nodes.link(hello.node, clock.now(), (command, now) => link.send(command, now));
    const caller = callerOf(stream.metadata);
    const peer = stream.getPeer();
    const received = caller ? () => parts.receivedFrom(peer) : () => Number.NaN;
    const had = former.get(name);
    const link = openAgentLink({
      ...{ stream, epoch: hello.epoch, taken: had?.epoch === hello.epoch ? had.taken : 0, turn },
      ...{ patienceMs: caller ? networkPatienceMs : localPatienceMs, heardAtMs: clock.now(), received },
      deaf: () => lost(node, "it does not read what it is told"),
    });
    links.set(node, link);
    sessions.trouble("");
    node.schedulable = !parts.cordoned(name);
    const port = Number(/^:(\d+)$/.exec(hello.peerAddress)?.[1]);
    if (!caller)
      node.peerAddress = hello.peerAddress; // a socket of another machine would lead nowhere here
    else if (port > 0) void certify(node, networkAddress({ host: hostOf(peer), port }));
    node.send({ $case: "welcome", value: { control: `hob control, pid ${process.pid}`, build, peerKey: node.peerKey } });
    if (closing) node.send({ $case: "shutdown", value: { patienceMs: 0 } });
    if (!node.images.has(hostImageKey)) resolveHost(node);
    const [batches, held] = [hello.calls.filter(isBatch), hello.calls.filter((id) => !isBatch(id))];
    calls.nodeLinked(node, held);
    maps.nodeLinked(node, batches);
    log.info({ node: node.name, containers: node.containers.size, calls: hello.calls.length }, "node linked");
    turn.wake();
    return { node, link };
  }

  /** Others fetch from it once it can show who it is. */
  async function certify(node: Node, peerAddress: string): Promise<void> {
    try {
      const pair = await parts.certify(node.name);
      if (!pair || nodes.all.get(node.name) !== node) return;
      node.send({ $case: "peerCertificate", value: pair });
      node.peerAddress = peerAddress;
    } catch (error) {
      log.warn({ node: node.name, error: sentenceOf(error) }, "a node has no certificate, and gives nothing to others");
    }
  }

  function lost(node: Node, reason: string): void {
    const link = links.get(node);
    if (!link) return;
    links.delete(node);
    former.set(node.name, { epoch: link.epoch, taken: link.taken, lostAtMs: clock.now() });
    nodes.unlink(node);
    builds.nodeLost(node);
    sessions.forgetProgress(node.name);
    for (const container of [...node.containers.values()]) gone(container, reason);
    link.end();
    log.info({ node: node.name, reason }, "node lost");
    if (!closing) sessions.notice("warning", `node ${node.name} is gone: ${reason}`);
    turn.wake();
  }

  function serve(stream: AgentStream): void {
    let linked: ReturnType<typeof welcome> | undefined;
    function take({ message }: AgentMessage): void {
      if (!message) return; // of a newer agent
      if (linked) {
        const { node, link } = linked;
        if (links.get(node) !== link) return; // given up: it says again what counts
        if (isKept(message)) link.taken++;
        if (message.$case !== "hello") (handlers[message.$case] as (node: Node, value: unknown) => void)(node, message.value);
      } else if (message.$case === "hello") linked = welcome(stream, message.value);
      else throw new HobError("usage", "the first message of an agent is its hello");
    }
    stream.on("data", ({ messages }: AgentMessages) => {
      if (linked) linked.link.heardAtMs = clock.now();
      try {
        for (const message of messages) take(message);
      } catch (error) {
        if (!(error instanceof HobError)) log.error(error); // what one agent says is not to end control
        log.error({ node: linked?.node.name, error: sentenceOf(error) }, "an agent's message failed");
        stream.emit("error", toServiceError(error));
      }
    });
    const close = () => {
      if (linked) lost(linked.node, "its agent is not connected any more");
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
    const silent = new Set(silence.look(links.values(), nowMs));
    for (const [node, link] of [...links]) {
      if (silent.has(link)) lost(node, `nothing has been heard of it for ${((nowMs - link.heardAtMs) / 1000).toFixed(1)} s`);
    }
  }, lookEveryMs);

  function dismiss(node: Node, patienceMs: number): void {
    node.send({ $case: "shutdown", value: { patienceMs } });
  }

  async function shutdown(patienceMs: number): Promise<void> {
    closing = true;
    const waiting = [...links].map(async ([node, { stream }]) => {
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

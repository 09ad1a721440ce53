// An agent for the tests of control: it speaks Agents.Link, has no containers of its own, and does what a script says.

import { randomBytes } from "node:crypto";
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
import { ContainerInfo, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { MapInputs, MapResult, MapResults } from "../../proto/gen/hob/v1/maps.ts";
import { hostImageKey, imageKey } from "../../proto/image.ts";
import { channelOptionsOf, clientCredentials } from "../../proto/transport.ts";
import { Arrivals, addressOf, hostDigest } from "./harness.ts";

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
  /** Resolves when its stream is over, whoever ended it. */
  readonly ended: Promise<void>;
  /** Its containers that wait, by language. */
  readonly containers: Map<string, ContainerInfo>;
}

export interface AgentScript {
  name?: string;
  /** Digest of its own image. */
  host?: string;
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
  const ended = new Promise<void>((resolve) => {
    stream.on("error", () => resolve()); // control ended, or this agent was disposed of
    stream.on("end", () => resolve());
  });
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
    ended,
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
      const image = { digest: script.host ?? hostDigest, source: "host" };
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

/** What ran answers a request of HTTP with its own digest. */
function answerRequest(agent: TestAgent, { call, container, attempt, version }: Dispatch): void {
  const response = { status: 200, headers: [{ name: "content-type", value: "text/plain" }] };
  const value = { call, container, attempt, result: { json: Buffer.from(version!.digest) }, response, runMs: 1 };
  agent.send(AgentMessage.fromPartial({ message: { $case: "finished", value } }).message!);
}

export function answer(agent: TestAgent, dispatch: Dispatch): void {
  if (dispatch.load) agent.loaded(dispatch.load);
  if (dispatch.request) {
    answerRequest(agent, dispatch);
    return;
  }
  const [first] = JSON.parse(dispatch.arguments!.positional.toString() || "[]") as unknown[];
  agent.succeed(dispatch, first);
}

// ④⑤ Agents without machines, as a process of its own: node agents.ts SOCKET FIRST COUNT CONTAINERS. Each has its own connection and speaks Agents.Link as
// real ones do: what it is told to load and run it answers, and what its containers use it says as often as it is told to. Ends with its stdin.

import { type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import {
  type AgentCommand,
  type AgentCommands,
  AgentMessage,
  type AgentMessages,
  AgentsClient,
} from "../../proto/gen/hob/v1/agents.ts";
import { type ContainerInfo, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { benchApp, image, resourceClass } from "./kind.ts";

const [socket, first, count, containers] = [process.argv[2]!, ...process.argv.slice(3).map(Number)] as [
  string,
  number,
  number,
  number,
];
const sampleMs = 500;

type Command = NonNullable<AgentCommand["command"]>;
type Message = NonNullable<AgentMessage["message"]>;

function openAgent(n: number): void {
  const client = new AgentsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  const stream: ClientDuplexStream<AgentMessages, AgentCommands> = client.link(new Metadata({ waitForReady: true }));
  const own = Array.from({ length: containers }, (_, c): ContainerInfo => {
    const generic = c < containers / 2;
    return {
      ...{
        id: (n * containers + c).toString(16).padStart(8, "0"),
        image,
        resourceClass,
        state: generic ? "warm" : "specialised",
      },
      ...{ app: generic ? "" : benchApp, snapshots: [], calls: [], startedAtMs: Date.now(), memoryBytes: 2 ** 25 },
      ...{ cpuCores: 0.1, pids: 3, gpus: [], functions: [] },
    };
  });
  const info = (): NodeInfo => {
    for (const container of own) {
      container.memoryBytes = 2 ** 25 + Math.floor(Math.random() * 2 ** 20);
      container.cpuCores = Math.random();
    }
    return NodeInfo.fromPartial({
      ...{
        name: `node-${n}`,
        state: "ready",
        cores: 8,
        memoryBytes: 2 ** 35,
        memoryUsedBytes: 2 ** 33 + Math.floor(Math.random() * 2 ** 30),
      },
      ...{
        cpuUsed: Math.random() * 8,
        storeBytes: 2 ** 34,
        containers: own,
        sinceMs: Date.now(),
        version: "bench",
        network: "internet",
      },
      images: [
        {
          digest: image,
          source: "host",
          files: 18_000,
          bytes: 2 ** 30,
          storedBytes: 2 ** 29,
          localBytes: 2 ** 29,
          view: "tiered",
        },
      ],
    });
  };
  const send = (...messages: Message[]): void => void stream.write({ messages: messages.map((message) => ({ message })) });

  function answer(command: Command): void {
    if (command.$case === "resolve") {
      const of = { requested: { source: "host" }, image: { digest: image, source: "host" } };
      send(AgentMessage.fromPartial({ message: { $case: "image", value: of } }).message!);
    } else if (command.$case === "load" || command.$case === "dispatch") {
      const load = command.$case === "load" ? command.value : command.value.load;
      if (load) {
        const { id, container, snapshot, tier, app } = load;
        const found = own.find((one) => one.id === container);
        if (found)
          Object.assign(found, { state: "specialised", app, snapshots: [...found.snapshots, snapshot!.digest].slice(-3) });
        send({
          $case: "loaded",
          value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure: undefined, tier, reason: "" },
        });
      }
      if (command.$case !== "dispatch") return;
      const { call, container, attempt } = command.value;
      const value = { call, container, attempt, result: { json: Buffer.from("1") }, runMs: 2 };
      send(AgentMessage.fromPartial({ message: { $case: "finished", value } }).message!);
    }
  }

  stream.on("data", ({ commands }: AgentCommands) => {
    for (const { command } of commands) if (command) answer(command);
  });
  stream.on("error", (error) => {
    process.stderr.write(`agent ${n}: ${error.message}\n`);
    process.exit(1);
  });
  send({ $case: "hello", value: { node: info(), build: "test", calls: [], peerAddress: "", epoch: "" } });
  const sample = (): void => {
    send({ $case: "sample", value: info() });
    sent++;
  };
  setTimeout(() => setInterval(sample, sampleMs), Math.random() * sampleMs);
}

let sent = 0;
setInterval(() => process.stdout.write(`${sent}\n`), 1_000);

process.stdin.resume().once("end", () => process.exit(0));
for (let n = 0; n < count; n++) openAgent(first + n);

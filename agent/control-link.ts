// ⑤ The one stream between this agent and control, dialled from here, and dialled again whenever it ends.

import { setTimeout as after } from "node:timers/promises";
import { type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Batch, createBatch } from "../proto/batch.ts";
import {
  type AgentCommand,
  type AgentCommands,
  type AgentHello,
  type AgentMessage,
  type AgentMessages,
  AgentsClient,
} from "../proto/gen/hob/v1/agents.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptions, clientCredentials } from "../proto/transport.ts";
import { createOutbox, type Message } from "./outbox.ts";

export interface ControlLink {
  /** Never blocks: what cannot go out now waits in the outbox. */
  send(message: Message): void;
  /** Resolves when the signal has ended the link. */
  readonly ended: Promise<void>;
}

export interface LinkOptions {
  /** "unix:PATH" */
  control: string;
  hello(): AgentHello;
  onCommand(command: NonNullable<AgentCommand["command"]>): void;
  /** A connection on which control had answered has ended. */
  onLost(): void;
  clock: Clock;
  log: Log;
}

type Stream = ClientDuplexStream<AgentMessages, AgentCommands>;

const firstPauseMs = 50;
const longestPauseMs = 2_000;

export function openControlLink(options: LinkOptions, signal: AbortSignal): ControlLink {
  const { clock, log } = options;
  const client = new AgentsClient(options.control, clientCredentials(), channelOptions);
  const outbox = createOutbox();
  let batch: Batch<AgentMessage> | undefined; // while control has welcomed us
  let open = false;

  function drain(): void {
    while (open && batch && outbox.waiting > 0) {
      const message = outbox.take(clock.now());
      if (message) open = batch.add({ message }, bytesOf(message));
    }
  }

  function send(message: Message): void {
    outbox.put(message); // which also cuts lines to messages of a good size
    drain();
  }

  /** One connection, from its dial to its end; says whether control ever answered. */
  async function connectOnce(): Promise<boolean> {
    const current: Stream = client.link(new Metadata({ waitForReady: true }));
    const own = createBatch<AgentMessage>((messages) => current.write({ messages }));
    const stop = (): void => current.cancel();
    const ended = Promise.withResolvers<void>();
    signal.addEventListener("abort", stop, { once: true });
    current.on("drain", () => {
      own.drained();
      open = true;
      drain();
    });
    current.on("data", ({ commands }: AgentCommands) => {
      if (batch !== own) {
        batch = own;
        open = true;
        drain();
      }
      for (const { command } of commands) if (command) options.onCommand(command);
    });
    current.on("error", ended.reject);
    current.on("end", ended.resolve);
    current.write({ messages: [{ message: { $case: "hello", value: options.hello() } }] });
    try {
      await ended.promise;
      log.info("control ended the link");
    } catch (error) {
      if (!signal.aborted) log.warn({ error: sentenceOf(fromServiceError(error)) }, "the link to control broke");
    }
    signal.removeEventListener("abort", stop);
    const welcomed = batch === own;
    own.close();
    batch = undefined;
    open = false;
    outbox.rewind(clock.now());
    if (welcomed) options.onLost();
    return welcomed;
  }

  async function keepConnected(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!signal.aborted) {
      pauseMs = (await connectOnce()) ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs);
      if (signal.aborted) break;
      await after(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {}); // aborted: the loop ends
    }
    client.close();
  }

  return { send, ended: keepConnected() };
}

/** Of what may be large. */
function bytesOf(message: Message): number {
  switch (message.$case) {
    case "finished":
      return message.value.result?.json.byteLength ?? 0;
    case "inputs":
      return message.value.results.byteLength;
    case "child":
      return (message.value.arguments?.positional.byteLength ?? 0) + (message.value.arguments?.keywords.byteLength ?? 0);
    case "logs":
      return message.value.lines.reduce((sum, { text }) => sum + text.length, 0);
    default:
      return 0;
  }
}

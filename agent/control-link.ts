// ⑤ The one stream between this agent and control, dialled from here, and dialled again whenever it ends.

import { randomBytes } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";
import { Metadata } from "@grpc/grpc-js";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { isNetwork } from "../proto/address.ts";
import { type Batch, createBatch } from "../proto/batch.ts";
import { dialStream } from "../proto/direct-client.ts";
import {
  type AgentCommand,
  AgentCommands,
  type AgentHello,
  type AgentMessage,
  AgentMessages,
  AgentsClient,
  AgentsService,
} from "../proto/gen/hob/v1/agents.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptionsOf, clientCredentials } from "../proto/transport.ts";
import { bytesOf, createOutbox, type Message } from "./outbox.ts";

export interface ControlLink {
  /** Never blocks: what cannot go out now waits in the outbox. */
  send(message: Message): void;
  /** Resolves when the signal has ended the link; rejects with the kind `denied` when control does not let this node in. */
  readonly ended: Promise<void>;
}

export interface LinkOptions {
  /** "unix:PATH", or "hob://HOST:PORT" */
  control: string;
  hello(): Omit<AgentHello, "epoch">;
  onCommand(command: NonNullable<AgentCommand["command"]>): void;
  /** A connection on which control had answered has ended. */
  onLost(): void;
  log: Log;
}

const method = { path: AgentsService.link.path, out: AgentMessages, in: AgentCommands };

const firstPauseMs = 50;
const longestPauseMs = 2_000;
/** On this machine an attempt costs nothing. */
const longestLocalPauseMs = 500;

export function openControlLink(options: LinkOptions, signal: AbortSignal): ControlLink {
  const { log } = options;
  const client = new AgentsClient(options.control, clientCredentials(options.control), channelOptionsOf(options.control));
  const outbox = createOutbox();
  const epoch = randomBytes(8).toString("hex");
  let batch: Batch<AgentMessage> | undefined; // while control has welcomed us
  let open = false;
  let denied: HobError | undefined;
  let broken = false; // and said so

  function drain(): void {
    while (open && batch && outbox.waiting > 0) {
      const message = outbox.take();
      if (message) open = batch.add({ message }, bytesOf(message));
    }
  }

  function send(message: Message): void {
    outbox.put(message); // which also cuts lines to messages of a good size
    drain();
  }

  /** One connection, from its dial to its end; says whether control ever answered. */
  async function connectOnce(): Promise<boolean> {
    const current = dialStream(options.control, method, () => client.link(new Metadata({ waitForReady: true })));
    const own = createBatch<AgentMessage>((messages) => current.write({ messages }));
    const stop = (): void => current.cancel();
    const ended = Promise.withResolvers<void>();
    signal.addEventListener("abort", stop, { once: true });
    current.on("drain", () => {
      own.drained();
      open = true;
      drain();
    });
    current.on("data", ({ commands, acknowledged }: AgentCommands) => {
      if (batch === own) outbox.acknowledge(acknowledged);
      else {
        outbox.resume(acknowledged);
        batch = own;
        open = true;
        drain();
      }
      for (const { command } of commands) if (command) options.onCommand(command);
    });
    current.on("error", ended.reject);
    current.on("end", ended.resolve);
    const hello = options.hello();
    const calls = [...new Set([...hello.calls, ...outbox.unacknowledged()])];
    current.write({ messages: [{ message: { $case: "hello", value: { ...hello, calls, epoch } } }] });
    try {
      await ended.promise;
      log.info("control ended the link");
    } catch (error) {
      const cause = fromServiceError(error);
      if (cause instanceof HobError && cause.kind === "denied") denied = cause;
      if (!signal.aborted && (batch === own || !broken)) log.warn({ error: sentenceOf(cause) }, "the link to control broke");
    }
    signal.removeEventListener("abort", stop);
    const welcomed = batch === own;
    broken = !welcomed;
    own.close();
    batch = undefined;
    open = false;
    if (welcomed) options.onLost();
    return welcomed;
  }

  async function keepConnected(): Promise<void> {
    const longestMs = isNetwork(options.control) ? longestPauseMs : longestLocalPauseMs;
    let pauseMs = firstPauseMs;
    while (!signal.aborted && !denied) {
      pauseMs = (await connectOnce()) ? firstPauseMs : Math.min(pauseMs * 2, longestMs);
      if (signal.aborted || denied) break;
      await after(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {}); // aborted: the loop ends
    }
    client.close();
    if (denied && !signal.aborted) throw denied;
  }

  return { send, ended: keepConnected() };
}

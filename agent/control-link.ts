// ⑤ The one stream between this agent and control, dialled from here, and dialled again whenever it ends.

import { setTimeout as after } from "node:timers/promises";
import { type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type AgentCommand, type AgentHello, type AgentMessage, AgentsClient } from "../proto/gen/hob/v1/agents.ts";
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
  clock: Clock;
  log: Log;
}

type Stream = ClientDuplexStream<AgentMessage, AgentCommand>;

const firstPauseMs = 50;
const longestPauseMs = 2_000;

export function openControlLink(options: LinkOptions, signal: AbortSignal): ControlLink {
  const { clock, log } = options;
  const client = new AgentsClient(options.control, clientCredentials(), channelOptions);
  const outbox = createOutbox();
  let stream: Stream | undefined; // while control has welcomed us and the stream takes messages
  let open = false;

  function drain(): void {
    while (open && stream && outbox.waiting > 0) {
      const message = outbox.take(clock.now());
      if (message) open = stream.write({ message });
    }
  }

  function send(message: Message): void {
    if (!open || !stream || outbox.waiting > 0 || message.$case === "logs") {
      outbox.put(message); // which also cuts lines to messages of a good size
      drain();
      return;
    }
    outbox.sent(message, clock.now());
    open = stream.write({ message });
  }

  /** One connection, from its dial to its end; says whether control ever answered. */
  async function connectOnce(): Promise<boolean> {
    const current = client.link(new Metadata({ waitForReady: true }));
    const stop = (): void => current.cancel();
    signal.addEventListener("abort", stop, { once: true });
    let welcomed = false;
    try {
      current.write({ message: { $case: "hello", value: options.hello() } });
      current.on("drain", () => {
        if (current !== stream) return;
        open = true;
        drain();
      });
      for await (const { command } of current as AsyncIterable<AgentCommand>) {
        if (!command) continue;
        if (!welcomed) {
          welcomed = true;
          stream = current;
          open = true;
          drain();
        }
        options.onCommand(command);
      }
      log.info("control ended the link");
    } catch (error) {
      if (!signal.aborted) log.warn({ error: sentenceOf(fromServiceError(error)) }, "the link to control broke");
    } finally {
      signal.removeEventListener("abort", stop);
      stream = undefined;
      open = false;
      outbox.rewind(clock.now());
    }
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

// ③ The session with control: one stream for as long as the client lives, opened again whenever it is lost.

import type { ChannelCredentials, ChannelOptions } from "@grpc/grpc-js";
import { systemClock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { dialStream } from "../proto/direct-client.ts";
import {
  CallsClient,
  CallsService,
  ClientMessage,
  type InspectResponse,
  type SessionEvent,
  SessionEvents,
} from "../proto/gen/hob/v1/calls.ts";
import { ContentClient } from "../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptions, channelOptionsOf, clientCredentials } from "../proto/transport.ts";

export type LinkState = "connecting" | "live" | "lost";
type Message = NonNullable<ClientMessage["message"]>;
type Event = NonNullable<SessionEvent["event"]>;

export interface SessionOptions {
  /** Gives control's address, starting an embedded control where that is needed. Asked again after every loss. */
  connect(): Promise<string>;
  client: string;
  build: string;
  log: Log;
  /** Calls of which the outcome is still wanted, asked for when a session opens again. */
  unfinished(): string[];
  /** Everything but Opened. */
  event(event: Event): void;
  /** `http`, of a live one: where endpoints are found, if anywhere. */
  link(state: LinkState, sinceMs: number, detail: string, http?: string): void;
}

export interface Session extends AsyncDisposable {
  readonly live: boolean;
  /** False when there is no connection: nothing was sent then. */
  send(message: Message): boolean;
  /** A stream for a map, over the same connection; undefined when there is none. */
  map(): ReturnType<CallsClient["map"]> | undefined;
  /** Blobs to and from control, over the same connection. Throws `unavailable` when there is none. */
  content(): ContentClient;
  /** A client of another of control's services, over the same connection. Throws `unavailable` when there is none. */
  clientOf<Client>(Service: ClientClass<Client>): Client;
  /** The variables of the frames in which a call has failed, or why there are none. Throws `unavailable` when there is no connection. */
  inspect(call: string): Promise<InspectResponse>;
}

const firstPauseMs = 50;
const longestPauseMs = 1_000;
const openTimeoutMs = 5_000;

const dialSession = (address: string, client: CallsClient) =>
  dialStream(address, { path: CallsService.session.path, out: ClientMessage, in: SessionEvents }, () => client.session());

type ClientClass<Client> = new (address: string, credentials: ChannelCredentials, options: ChannelOptions) => Client;

interface Connection {
  address: string;
  client: CallsClient;
  stream: ReturnType<typeof dialSession>;
  content: ContentClient;
}

export function openSession(options: SessionOptions): Session {
  const { client: name, build, log } = options;
  const closed = new AbortController();
  let connection: Connection | undefined;
  let lastSeq = 0;

  /** Resolves with the reason when a session that was open has ended; rejects when it could not be opened. */
  async function serve(): Promise<unknown> {
    const address = await options.connect();
    closed.signal.throwIfAborted();
    const client = new CallsClient(address, clientCredentials(address), channelOptionsOf(address));
    const content = new ContentClient(address, clientCredentials(address), {
      ...channelOptions,
      channelOverride: client.getChannel(),
    });
    const stream = dialSession(address, client);
    let open = false;
    try {
      return await new Promise<unknown>((resolve, reject) => {
        const late = setTimeout(
          () =>
            reject(new HobError("unavailable", `control at ${address} did not open a session within ${openTimeoutMs / 1000} s`)),
          openTimeoutMs,
        );
        const end = (cause: unknown): void => {
          clearTimeout(late);
          if (open) resolve(cause);
          else reject(cause);
        };
        closed.signal.addEventListener("abort", () => end(closed.signal.reason), { once: true });
        stream.on("error", (error) => end(fromServiceError(error)));
        stream.on("end", () => end(new HobError("unavailable", "control ended the session")));
        const hear = ({ event }: SessionEvent): void => {
          if (event?.$case === "opened") {
            clearTimeout(late);
            open = true;
            connection = { address, client, stream, content };
            options.link("live", systemClock.now(), event.value.control, event.value.http);
          } else if (event) take(event);
        };
        stream.on("data", ({ events }: SessionEvents) => events.forEach(hear));
        const resume = { logsAfter: lastSeq, calls: options.unfinished() };
        stream.write({ message: { $case: "open", value: { client: name, build, ...resume } } });
      });
    } finally {
      connection = undefined;
      if (closed.signal.aborted) stream.end();
      else stream.cancel();
      client.close();
    }
  }

  function take(event: Event): void {
    if (event.$case === "logs") {
      const seq = event.value.lines.at(-1)?.seq ?? 0;
      if (seq > lastSeq) lastSeq = seq;
    }
    options.event(event);
  }

  async function run(): Promise<void> {
    let pauseMs = firstPauseMs;
    let lostSinceMs = systemClock.now();
    let everOpen = false;
    options.link("connecting", lostSinceMs, "");
    while (!closed.signal.aborted) {
      const startedMs = systemClock.now();
      let cause: unknown;
      try {
        cause = await serve();
        everOpen = true;
        lostSinceMs = systemClock.now();
        if (lostSinceMs - startedMs > longestPauseMs) pauseMs = firstPauseMs;
      } catch (error) {
        cause = error;
      }
      if (closed.signal.aborted) return;
      log.warn({ cause: sentenceOf(cause), pauseMs }, "the session with control is lost");
      options.link(everOpen ? "lost" : "connecting", lostSinceMs, sentenceOf(cause));
      await pause(pauseMs, closed.signal);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }

  const running = run();
  return {
    get live() {
      return connection !== undefined;
    },
    send(message) {
      if (!connection) return false;
      connection.stream.write({ message });
      return true;
    },
    map: () => connection?.client.map(),
    content() {
      if (!connection) throw new HobError("unavailable", "there is no connection to control");
      return connection.content;
    },
    clientOf(Service) {
      if (!connection) throw new HobError("unavailable", "there is no connection to control");
      const { address, client } = connection;
      return new Service(address, clientCredentials(address), { ...channelOptions, channelOverride: client.getChannel() });
    },
    async inspect(call) {
      const client = connection?.client;
      if (!client) throw new HobError("unavailable", "there is no connection to control");
      return await new Promise((resolve, reject) => {
        client.inspect({ call }, (error, answer) => (error ? reject(fromServiceError(error)) : resolve(answer)));
      });
    },
    async [Symbol.asyncDispose]() {
      closed.abort(new HobError("cancelled", "the session was closed"));
      await running;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

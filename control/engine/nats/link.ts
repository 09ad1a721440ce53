// ④ The way to NATS: one connection, and what a pool has there: its journal, its blobs, the lease of who serves it, and where a snapshot lies.

import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  jetstream,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { type ObjectStore, Objm } from "@nats-io/obj";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import { HobError, sentenceOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";

/** How long a control that is not heard of keeps the pool. Whoever takes it is safe without: the journal takes from one control only. */
export const leaseMs = 6_000;
const connectMs = 5_000;
const askAgainMs = 1_000;
/** A server that has just started says for some seconds that it has no JetStream. */
const startingMs = 15_000;

export interface NatsPlace {
  servers: string[];
  user?: string;
  password?: string;
  secure: boolean;
  /** Several pools may use one cluster. */
  pool: string;
}

/** nats://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/POOL], or tls:// */
export function parseNatsUrl(url: string): NatsPlace {
  const match = /^(nats|tls):\/\/(?:([^:@/,]+):([^@/]+)@)?([^@/]+)(?:\/([A-Za-z0-9_-]{1,40}))?\/?$/.exec(url);
  const servers = match?.[4]?.split(",").map((server) => server.trim()) ?? [];
  if (!match || !servers.every((server) => /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(server))) {
    throw new HobError("usage", "the engine is not of the form nats://HOST:PORT,HOST:PORT,…", {
      remedy: "for example --engine nats://10.0.0.1,10.0.0.2,10.0.0.3; `npm run nats` starts three servers to try",
    });
  }
  const [, scheme, user, password, , pool = "pool"] = match;
  const login = user === undefined ? {} : { user: decodeURIComponent(user), password: decodeURIComponent(password!) };
  return { servers, secure: scheme === "tls", pool, ...login };
}

export interface NatsLink extends AsyncDisposable {
  readonly connection: NatsConnection;
  readonly stream: JetStreamClient;
  readonly journal: { stream: string; subject: string };
  /** Where control is asked whether it lives. */
  readonly lifeSubject: (owner: string) => string;
  readonly lease: KV;
  readonly records: KV;
  readonly objects: ObjectStore;
  /** As people read it. */
  readonly name: string;
  /** Of the connection, at present. */
  readonly connected: boolean;
  /** Calls back whenever it is another connection; returns what ends that. */
  onReconnect(listener: () => void): () => void;
}

export async function openNatsLink(place: NatsPlace, log: Log): Promise<NatsLink> {
  const name = `${place.servers.join(", ")}${place.pool === "pool" ? "" : `, pool ${place.pool}`}`;
  const connection = await dial(place, name);
  try {
    return await openPlaces(place, { name, connection, log });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function dial({ servers, user, password, secure }: NatsPlace, name: string): Promise<NatsConnection> {
  const options: ConnectionOptions = {
    servers,
    name: "hob control",
    timeout: connectMs,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
  };
  options.pingInterval = 2_000;
  options.maxPingOut = 2;
  try {
    return await connect({
      ...options,
      ...(user === undefined ? {} : { user, pass: password! }),
      ...(secure ? { tls: {} } : {}),
    });
  } catch (error) {
    throw new HobError("unavailable", `no NATS server takes this control at ${name}: ${sentenceOf(error)}`, {
      cause: error,
      remedy: "see that the servers run with JetStream (`npm run nats` starts three to try), and that the login is right",
    });
  }
}

async function openPlaces(
  { pool, servers }: NatsPlace,
  { name, connection, log }: { name: string; connection: NatsConnection; log: Log },
): Promise<NatsLink> {
  const known = new Set([...servers, ...(connection.info?.connect_urls ?? [])]);
  const replicas = servers.length >= 3 || known.size >= 3 ? 3 : 1;
  const stream = jetstream(connection);
  const manager = await untilAnswered(() => stream.jetstreamManager(), { name, log });
  const journal = { stream: `hob-${pool}-journal`, subject: `hob.${pool}.journal` };
  const streamOptions = { storage: StorageType.File, num_replicas: replicas, retention: RetentionPolicy.Limits };
  await untilAnswered(
    () => manager.streams.add({ ...streamOptions, name: journal.stream, subjects: [journal.subject], allow_direct: false }),
    { name, log },
  );
  const buckets = new Kvm(stream);
  const kept = { replicas, history: 1, storage: StorageType.File };
  const lease = await untilAnswered(() => buckets.create(`hob-${pool}-lease`, { ...kept, ttl: leaseMs }), { name, log });
  const records = await untilAnswered(() => buckets.create(`hob-${pool}`, kept), { name, log });
  const objects = await untilAnswered(
    () => new Objm(stream).create(`hob-${pool}-blobs`, { replicas, storage: StorageType.File }),
    { name, log },
  );
  let connected = true;
  const listeners = new Set<() => void>();
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === "disconnect") connected = false;
      if (type !== "reconnect") continue;
      connected = true;
      for (const listener of listeners) listener();
    }
  })();
  return {
    get connected() {
      return connected;
    },
    onReconnect(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    ...{ connection, stream, journal, lease, records, objects, name },
    lifeSubject: (owner) => `hob.${pool}.owner.${owner}`,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

/** A cluster without a quorum answers nothing: it is waited for, and the log says so. */
async function untilAnswered<T>(ask: () => Promise<T>, { name, log }: { name: string; log: Log }): Promise<T> {
  const began = performance.now();
  for (let said = false; ; said = true) {
    try {
      return await ask();
    } catch (error) {
      if (isWithoutJetStream(error)) {
        if (performance.now() - began > startingMs) throw withoutJetStream(name, error);
      } else if (error instanceof JetStreamApiError && error.status < 500) throw refusedByNats(name, error);
      if (!said)
        log.warn({ nats: name, error: sentenceOf(error) }, "NATS JetStream does not answer: most of its servers have to run");
      await new Promise((resolve) => setTimeout(resolve, askAgainMs));
    }
  }
}

const isWithoutJetStream = (error: unknown): error is Error =>
  error instanceof Error &&
  (error.name === "JetStreamNotEnabled" || ("code" in error && error.code === JetStreamApiCodes.JetStreamNotEnabledForAccount));

const withoutJetStream = (name: string, cause: Error): HobError =>
  new HobError("precondition", `NATS at ${name} has no JetStream for this login`, {
    cause,
    remedy: "start its servers with -js, or enable it for the account",
  });

const refusedByNats = (name: string, cause: Error): HobError =>
  new HobError("precondition", `NATS at ${name} refused: ${cause.message}`, { cause, remedy: "see the limits of its account" });

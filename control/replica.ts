// ④ A control among several that share a pool through NATS: it stands by, its copy of the pool's state at hand and its doors leading to the control that
// serves, until that is gone; then it serves, until it is told to end or another control has taken over.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { PoolOwner } from "../proto/gen/hob/v1/journal.ts";
import type { NetworkOptions } from "./access/reach.ts";
import type { Engine } from "./engine/engine.ts";
import { type Copy, openCopy } from "./engine/nats/copy.ts";
import { awaitLease, holdLease } from "./engine/nats/lease.ts";
import { type NatsLink, type NatsPlace, openNatsLink } from "./engine/nats/link.ts";
import { openNatsEngine } from "./engine/nats/nats.ts";
import { openDoors } from "./forward.ts";
import type { GatewayPlace } from "./gateway/server.ts";
import { agreeOnKeys } from "./pool-keys.ts";

const againMs = 1_000;

/** A time during which this control serves the pool. */
export interface Term {
  /** Aborts when it is over: with a HobError as its reason where that is not because it was told to. */
  readonly signal: AbortSignal;
  /** Another control goes on: nodes keep what they have. */
  readonly moves: boolean;
  /** Hears why what is recorded waits; undefined: it goes on. */
  listen(heard: (error: HobError | undefined) => void): void;
}

export interface ReplicaOptions {
  socket: string;
  state: string;
  store: string;
  network?: NetworkOptions;
  http?: GatewayPlace | "own";
  nats: NatsPlace;
  log: Log;
}

type Serve = (engine: Engine, term: Term) => Promise<void>;

/** Sockets are of one system: of one boot of one machine. */
const machine = `${hostname()} ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`;

const hostPort = ({ host, port }: { host: string; port: number }): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;

function ownerOf({ socket, network, http }: ReplicaOptions): PoolOwner {
  return {
    ...{ id: randomBytes(12).toString("hex"), machine, socket },
    network: network ? hostPort(network.advertised ?? network) : "",
    http: http && http !== "own" ? hostPort({ host: network?.advertised?.host ?? http.host, port: http.port }) : "",
  };
}

export async function runReplica(options: ReplicaOptions, signal: AbortSignal, serve: Serve): Promise<void> {
  const { log } = options;
  await using link = await openNatsLink(options.nats, log);
  while (!signal.aborted) {
    try {
      await runOnce(options, { link, signal, serve });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof HobError && (error.kind === "precondition" || error.kind === "usage")) throw error;
      log.warn({ error: sentenceOf(error) }, "this control lets go and stands by again");
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }
}

interface Around {
  link: NatsLink;
  signal: AbortSignal;
  serve: Serve;
}

/** Stands by, then serves. */
async function runOnce(options: ReplicaOptions, { link, signal, serve }: Around): Promise<void> {
  const { log } = options;
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const self = ownerOf(options);
  await agreeOnKeys(link, options.state, options.network !== undefined && options.network.given === undefined);
  await using copy = await openCopy(options.state, link, log);
  const revision = await standBy(options, { link, self, copy, signal: both });
  const lost = (error: HobError): void => over.abort(error);
  await using _lease = holdLease(link, self, { revision, lost });
  let heard: Parameters<Term["listen"]>[0] = () => {};
  await using engine = await openNatsEngine({
    ...{ link, copy, owner: self.id, store: options.store, log, signal: both, lost },
    delayed: (error) => heard(error),
  });
  log.info({ nats: link.name }, "this control serves the pool");
  await serve(engine, {
    signal: both,
    moves: true,
    listen(listener) {
      heard = listener;
    },
  });
}

interface Standing {
  link: NatsLink;
  self: PoolOwner;
  copy: Copy;
  signal: AbortSignal;
}

/** Resolves with the lease's revision once it is this control's turn. */
async function standBy(options: ReplicaOptions, { link, self, copy, signal }: Standing): Promise<number> {
  const { log } = options;
  let owner: PoolOwner | undefined;
  await using doors = openDoors(options, { machine, owner: () => owner, log });
  const seen = async (found: PoolOwner | undefined): Promise<void> => {
    if (found && found.id !== owner?.id)
      log.info({ socket: found.socket, network: found.network }, "another control serves the pool: this one stands by");
    owner = found;
    if (found) await doors.open();
  };
  const done = new AbortController();
  const fallen = copy.failed.then((error) => Promise.reject(error));
  try {
    return await Promise.race([awaitLease(link, self, { seen, signal: AbortSignal.any([signal, done.signal]), log }), fallen]);
  } finally {
    done.abort();
  }
}

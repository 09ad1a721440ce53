// ④⑦ Control: puts the parts together, serves until the signal, and ends them in order.

import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { openRest } from "../base/rest.ts";
import { openTracing } from "../base/tracing.ts";
import { startPractice } from "../proto/practice.ts";
import type { NetworkOptions } from "./access/reach.ts";
import { startAgentProcess } from "./agent-process.ts";
import { directStreams } from "./direct-streams.ts";
import type { Engine, Retention } from "./engine/engine.ts";
import type { NatsPlace } from "./engine/nats/link.ts";
import { openSqliteEngine } from "./engine/sqlite.ts";
import type { GatewayPlace } from "./gateway/server.ts";
import { startHousekeeping } from "./housekeeping.ts";
import type { Limits } from "./limits.ts";
import { type End, openPlane, servicesOf } from "./plane.ts";
import { rehearseControl } from "./practice.ts";
import { runReplica, type Term } from "./replica.ts";
import { listen, refuseTaken } from "./server.ts";
import { createTraces } from "./traces.ts";

const tickMs = 5_000; // for decisions that only time brings: containers that have been idle for long
const orphanMs = 10_000; // how long a node may take to come back after control has started again

export interface ControlOptions {
  socket: string;
  /** Folder of the database. */
  state: string;
  /** Blob folder, base/content-folder.ts. */
  store: string;
  build: string;
  /** Embedded: ends itself when no client has been connected for so long; Infinity: never. */
  lingerMs: number;
  /** Embedded: control starts it, keeps it alive, and ends it last but for itself. */
  agent?: { argv: string[] };
  retention?: Partial<Retention>;
  /** Others than the standard ones, by name: limits.ts. */
  limits?: Partial<Limits>;
  /** Besides the socket; with tokens and TLS only. */
  network?: NetworkOptions;
  /** Where endpoints are served by HTTP, besides the socket for it; "own": at a loopback port that this state keeps. */
  http?: GatewayPlace | "own";
  nats?: NatsPlace; // where several controls share the pool: replica.ts
  /** Whether it takes some saves of its own making first: proto/practice.ts. */
  practises?: boolean;
  log: Log;
}

/**
 * Runs the control plane until `signal` aborts, or, embedded, until it has been alone for its linger time or a client ends it.
 * Rejects with a HobError when it cannot start: another control holds the state, the socket is in use, the disk is full.
 */
export async function runControl(options: ControlOptions, signal: AbortSignal): Promise<void> {
  if (options.nats) return runReplica({ ...options, nats: options.nats }, signal, (engine, term) => serve(options, engine, term));
  await using engine = openSqliteEngine(options.state, options.store);
  await serve(options, engine, { signal, moves: false, listen() {} });
}

async function serve(options: ControlOptions, engine: Engine, { signal, moves, listen: onDelay }: Term): Promise<void> {
  const { log } = options;
  const ending = Promise.withResolvers<{ reason: string; patienceMs: number }>();
  const end: End = (reason, patienceMs = 0) => ending.resolve({ reason, patienceMs });
  // Undone from the last to the first: the agent ends before the socket goes, and the database is let go of last.
  await using stack = new AsyncDisposableStack();
  const rest = stack.use(openRest());
  const tracing = await openTracing("hob-control", log);
  if (tracing) stack.use(tracing);
  const traces = tracing && createTraces(tracing);
  const embedded = options.agent !== undefined || Number.isFinite(options.lingerMs);
  const plane = openPlane({ ...options, embedded }, engine, { rest, end, traces, stack });
  const { turn, reach } = plane;
  onDelay(turn.delay);
  turn.settle();
  stack.use(startHousekeeping({ ...options, engine, values: plane.values }));
  const services = servicesOf(plane, engine);
  const { agent, network } = options;
  if (network) stack.use(await reach.listen(network, services));
  await refuseTaken(options.socket); // named before the one for HTTP beside it
  stack.use(await plane.front.open(options));
  stack.use(await listen(options.socket, services, directStreams(plane), log)); // last: whoever waits for control waits for its socket
  const child = agent && stack.use(startAgentProcess(agent.argv, (sentence) => plane.sessions.trouble(sentence), log));
  const tick = setInterval(() => turn.wake(), tickMs);
  const orphans = setTimeout(() => plane.calls.giveUpOrphans(), orphanMs);
  stack.defer(() => {
    clearInterval(tick);
    clearTimeout(orphans);
  });
  log.info({ socket: options.socket, state: options.state, pid: process.pid, build: options.build }, "control serves");
  if (options.practises) stack.use(startPractice(() => rehearseControl(options, rest), rest, log));

  const onAbort = () => end(signal.reason instanceof HobError ? signal.reason.message : "it was told to");
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const { reason, patienceMs } = await ending.promise;
  signal.removeEventListener("abort", onAbort);
  log.info({ reason }, "control ends");
  plane.sessions.close(new HobError("unavailable", `control has ended: ${reason}`, { remedy: "start hob again" }));
  child?.expectEnd();
  if (moves) return; // what runs goes on, and is told to the control that takes the pool
  await plane.agents.shutdown(patienceMs);
  turn.settle();
}

// ④⑦ Control: puts the parts together, serves until the signal, and ends them in order.

import { systemClock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { openRest } from "../base/rest.ts";
import { openRoots } from "../base/store-roots.ts";
import { openTracing } from "../base/tracing.ts";
import { AgentsService } from "../proto/gen/hob/v1/agents.ts";
import { CallsService } from "../proto/gen/hob/v1/calls.ts";
import { ContentService } from "../proto/gen/hob/v1/content.ts";
import { FleetService, NodeInfo, ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import { type ImagesServer, ImagesService } from "../proto/gen/hob/v1/images.ts";
import { type MembersServer, MembersService } from "../proto/gen/hob/v1/members.ts";
import { RegistryService } from "../proto/gen/hob/v1/registry.ts";
import { SecretsService } from "../proto/gen/hob/v1/secrets.ts";
import { ShellsService } from "../proto/gen/hob/v1/shell.ts";
import { hostImageRef, imageKey } from "../proto/image.ts";
import { createMembers, isCordoned } from "./access/members.ts";
import { createReach, type NetworkOptions, type Reach } from "./access/reach.ts";
import { startAgentProcess } from "./agent-process.ts";
import { type Agents, createAgents } from "./agents.ts";
import { type Calls, createCalls } from "./calls.ts";
import { createCallsService } from "./calls-service.ts";
import { type Clients, createClients } from "./clients.ts";
import { type ContentParts, createContent } from "./content.ts";
import { forgetHalfDeployed } from "./deployments/deployments.ts";
import { pinnedImages } from "./deployments/pins.ts";
import { createPromotion, type Promotion } from "./deployments/promotion.ts";
import { createDeploymentRecords } from "./deployments/records.ts";
import { createResolve } from "./deployments/resolve.ts";
import { directStreams } from "./direct-streams.ts";
import type { Engine, Retention } from "./engine/engine.ts";
import type { NatsPlace } from "./engine/nats/link.ts";
import { openSqliteEngine } from "./engine/sqlite.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { createFront, type Front } from "./gateway/gateway.ts";
import type { GatewayPlace } from "./gateway/server.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { createBuilds } from "./images/builds.ts";
import { createKept, type Kept } from "./images/kept.ts";
import { createImageRecords } from "./images/records.ts";
import { createImagesService } from "./images/service.ts";
import { createSharing } from "./images/sharing.ts";
import { createInspections, type Inspections } from "./inspections.ts";
import { type Limits, withLimits } from "./limits.ts";
import { createLogs, type Logs } from "./logs.ts";
import type { Work } from "./maps/map.ts";
import { createMaps, type Maps } from "./maps/maps.ts";
import { createMapStreams } from "./maps/stream.ts";
import { createNodes } from "./nodes.ts";
import { createPublishes } from "./publishes.ts";
import { createRedaction, type Redaction } from "./redaction.ts";
import { createRegistry, type Registry, registryService } from "./registry.ts";
import { runReplica, type Term } from "./replica.ts";
import { createGroups } from "./scheduler/groups.ts";
import { createScheduler } from "./scheduler/scheduler.ts";
import { createSecrets, type Secrets } from "./secrets.ts";
import { listen, refuseTaken } from "./server.ts";
import { createSessions, type Sessions } from "./sessions.ts";
import { createShells, type Shells } from "./shells.ts";
import { createSnapshots, type Snapshots } from "./snapshots.ts";
import { createSpread } from "./spread.ts";
import { createTraces, type Traces } from "./traces.ts";
import { createTurn, type Turn } from "./turn.ts";
import { createValues, type Values } from "./values.ts";

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
  log: Log;
}

interface Plane {
  turn: Turn;
  calls: Calls;
  maps: Maps;
  mapStreams: ReturnType<typeof createMapStreams>;
  sessions: Sessions;
  agents: Agents;
  logs: Logs;
  fleet: Fleet;
  registry: Registry;
  secrets: Secrets;
  redaction: Redaction;
  inspections: Inspections;
  kept: Kept;
  shells: Shells;
  liveName(app: string): string;
  promotion: Promotion;
  images: ImagesServer;
  content: ContentParts;
  values: Values;
  members: MembersServer;
  front: Front;
}

/** Wires the parts. Everything happens in this one thread; `turn` ends each event-loop turn with one transaction. */
function wire(
  options: ControlOptions,
  engine: Engine,
  snapshots: Snapshots,
  turn: Turn,
  around: { clients: Clients; end: End; reach: Reach; traces: Traces | undefined },
): Plane {
  const { log, build } = options;
  const { clients, end, reach } = around;
  const clock = systemClock;
  const limits = withLimits(options.limits);
  const embedded = isEmbedded(options);
  const registry = createRegistry(engine.records);
  const deployed = createDeploymentRecords(engine.records);
  forgetHalfDeployed(registry, deployed);
  const resolve = createResolve(deployed, registry);
  const groups = createGroups<Work>();
  for (const app of registry.apps()) groups.update(app, registry.current(app), []);
  const nodes = createNodes((info, node) => {
    const running = info.calls.flatMap((id) => calls.active(id)?.info.function ?? maps.functionOf(id) ?? []);
    return groups.adopt({
      app: info.app,
      resourceClass: info.resourceClass ?? ResourceClass.create(),
      fits: (imageKey) => node.images.get(imageKey) === info.image,
      functions: running.length > 0 ? running : info.functions,
    });
  });
  const values = createValues(engine.blobs, log);
  const calls = createCalls({
    store: engine.calls,
    turn,
    registry,
    groups,
    nodes,
    clock,
    limits,
    values,
    resolve,
    appOfMap: (id) => maps.running.get(id)?.info.app,
    begun: around.traces?.begun,
    announce(info) {
      sessions.call(info);
      front.told(info);
    },
    attemptEnded: (call) => turn.toClient(() => maps.parentEnded(call)), // later: calls begin before maps do
    finished(info) {
      turn.toClient(() => maps.childFinished(info.parent, info.id));
      front.ended(info);
      around.traces?.ended(info);
      if (info.attempt > 0) fleet.callFinished(info.finishedAtMs - info.queuedAtMs);
    },
  });
  const maps = createMaps({
    ...{ store: engine.maps, calls, turn, registry, resolve, groups, clock, limits, log },
    announce(info) {
      sessions.map(info);
      front.told(info);
    },
  });
  const shutdown = embedded
    ? (patienceMs: number) => {
        if (!agents.placing)
          void agents.shutdown(patienceMs); // it ends already: only the patience is new
        else end("a client asked for it", patienceMs);
      }
    : undefined;
  const absent = (): NodeInfo[] =>
    reach.tokens.list().flatMap(({ node: name }) => {
      if (name === "" || nodes.all.has(name)) return [];
      const sinceMs = agents.lostAtMs(name);
      return [NodeInfo.fromPartial({ name, state: "lost", sinceMs, cordoned: isCordoned(engine.records, name) })];
    });
  const fleet = createFleet({ nodes, calls, clients, sharing: createSharing(engine.blobs), absent, clock, shutdown });
  const images = createImageRecords(engine.records, engine.blobs);
  const kept = createKept({
    records: images,
    nodes,
    registry,
    roots: openRoots(options.store, options.state),
    values: engine.calls.values,
    pinned: () => pinnedImages(deployed),
    log,
  });
  const builds = createBuilds({
    ...{ records: images, nodes, turn, clock, log },
    tell(build) {
      sessions.image(build);
      if (build.state === "ready") kept.say();
    },
  });
  const publishes = createPublishes({ turn, snapshots, registry, groups, calls, nodes, builds });
  const promotion = createPromotion({
    ...{ records: engine.records, blobs: engine.blobs, deployed, registry, publishes, images, groups, nodes },
    ...{ calls, clients, turn, clock },
  });
  const redaction = createRedaction({
    apps: registry.apps,
    namesOf: (app) => registry.current(app).flatMap(({ spec }) => spec?.secrets ?? []),
    valueOf: (app, name) => secrets.valueOf(app, name),
  });
  const secrets = createSecrets({
    handed: redaction.handed,
    ...{ records: engine.records, state: options.state, now: clock.now, recorded: turn.toClient },
    changed: (app, name) => scheduler.secretChanged(app, name),
  });
  const { wayOf, unloadable } = publishes;
  const { secretsFor } = secrets;
  const scheduler = createScheduler({
    ...{ turn, nodes, groups, registry, snapshots, calls, maps, clock, log, wayOf, unloadable, secretsFor },
    imageFailure: builds.failureOf,
  });
  const logs = createLogs({
    ...{ store: engine.logs, turn, clients, limits, deployed: deployed.names },
    find: (id) => calls.find(id) ?? maps.find(id),
  });
  const sessions = createSessions({
    calls,
    callStore: engine.calls,
    logStore: engine.logs,
    registry,
    publishes,
    maps,
    fleet,
    shown: redaction.call,
    clients,
    turn,
    clock,
    limits,
    log,
    build,
    rouse: nodes.rouse,
    http: () => front.url,
    buildsOf: (app) => builds.of(app, new Set(registry.current(app).map(({ spec }) => imageKey(spec?.image ?? hostImageRef)))),
    yieldTo(theirs) {
      const alone = embedded && clients.count === 0;
      if (alone) end(`a client of build ${theirs} starts its own`);
      return alone;
    },
  });
  logs.listen((lines) => sessions.logs(lines));
  const shells = createShells({
    ...{ nodes, registry, groups, snapshots, clients, turn, log, secretsFor },
    imageFailure: builds.failureOf,
  });
  const inspections = createInspections({ find: calls.find, nodes, redaction });
  const agents = createAgents({
    ...{
      inspections,
      shells,
      nodes,
      calls,
      maps,
      scheduler,
      publishes,
      sessions,
      logs,
      redaction,
      images,
      builds,
      turn,
      clock,
      log,
      build,
    },
    ...{ receivedFrom: reach.receivedFrom, certify: reach.certify },
    cordoned: (name) => isCordoned(engine.records, name),
  });
  const members = createMembers({
    ...{ tokens: reach.tokens, url: reach.url, records: engine.records, nodes, agents, turn, build, now: clock.now },
  });
  for (const app of registry.apps())
    for (const { spec } of registry.current(app)) if (spec?.image) builds.resume(spec.image, app);
  const { blobs } = engine;
  const service = createImagesService({ records: images, builds, kept, blobs, nodes, registry, clients, turn, clock });
  turn.begin({
    decide() {
      maps.prepare();
      if (!agents.placing) return;
      builds.start();
      shells.place();
      scheduler.run();
    },
    commit: () => engine.commit(),
    queued: () => calls.queued,
    onStuck: (error) => sessions.notice("error", error.sentence),
  });
  const spread = createSpread(nodes.spread, clock.now);
  const content: ContentParts = { blobs: engine.blobs, snapshots, spread, limits, trace: images.trace };
  const front = createFront({
    ...{ calls, maps, nodes, registry, deployments: deployed, clients, values, turn, log, blobs, tokens: reach.tokens },
    ...{ records: engine.records, mapStore: engine.maps, state: options.state },
  });
  const mapStreams = createMapStreams({ maps, store: engine.maps, turn, clients, clock, log });
  return {
    ...{ turn, calls, maps, mapStreams, sessions, agents, logs, fleet, registry, secrets, redaction, inspections, shells },
    liveName: deployed.liveName,
    promotion,
    kept,
    images: service,
    content,
    values,
    members,
    front,
  };
}

/** Calls in flight have `patienceMs`, none by default. */
type End = (reason: string, patienceMs?: number) => void;

const isEmbedded = (options: ControlOptions): boolean => options.agent !== undefined || Number.isFinite(options.lingerMs);

function servicesOf(plane: Plane, engine: Engine): Parameters<typeof listen>[1] {
  return [
    [CallsService, createCallsService(plane, engine.calls)],
    [RegistryService, registryService(plane.registry)],
    [ContentService, createContent(plane.content)],
    [FleetService, plane.fleet.service],
    ...plane.promotion.services,
    [SecretsService, plane.secrets.service],
    [AgentsService, { link: plane.agents.serve }],
    [ShellsService, plane.shells.service],
    [ImagesService, plane.images],
    [MembersService, plane.members],
  ];
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
  const turn = stack.use(createTurn(log, rest));
  const snapshots = stack.use(createSnapshots(engine.blobs, engine.records, { changed: turn.wake, rest, log }));
  const clients = stack.use(createClients(options.lingerMs, () => end("no client has been connected for its linger time")));
  const reach = createReach({ records: engine.records, state: options.state, log });
  const tracing = await openTracing("hob-control", log);
  if (tracing) stack.use(tracing);
  const traces = tracing && createTraces(tracing);
  const plane = wire(options, engine, snapshots, turn, { clients, end, reach, traces });
  const { agents, fleet, calls, kept, promotion, maps } = plane;
  for (const part of [agents, fleet, calls, kept, promotion, maps]) stack.use(part);
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

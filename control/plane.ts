// ④⑦ The parts of a control, put together.

import { systemClock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Rest } from "../base/rest.ts";
import { openRoots } from "../base/store-roots.ts";
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
import { createReach, type Reach } from "./access/reach.ts";
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
import type { Engine } from "./engine/engine.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { createFront, type Front } from "./gateway/gateway.ts";
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
import { createGroups } from "./scheduler/groups.ts";
import { createScheduler } from "./scheduler/scheduler.ts";
import { createSecrets, type Secrets } from "./secrets.ts";
import type { listen } from "./server.ts";
import { createSessions, type Sessions } from "./sessions.ts";
import { createShells, type Shells } from "./shells.ts";
import { createSnapshots, type Snapshots } from "./snapshots.ts";
import { createSpread } from "./spread.ts";
import type { Traces } from "./traces.ts";
import { createTurn, type Turn } from "./turn.ts";
import { createValues, type Values } from "./values.ts";

export interface PlaneOptions {
  /** Folder of the database. */
  state: string;
  /** Blob folder, base/content-folder.ts. */
  store: string;
  build: string;
  /** It belongs to its clients: it ends for one of another build, and when one asks for it. */
  embedded: boolean;
  /** Ends itself when no client has been connected for so long; Infinity: never. */
  lingerMs: number;
  /** Others than the standard ones, by name: limits.ts. */
  limits?: Partial<Limits>;
  log: Log;
}

interface Around {
  rest: Rest;
  /** Asks for the end of this control. */
  end: End;
  traces?: Traces | undefined;
  /** Undoes what the plane has begun. */
  stack: AsyncDisposableStack;
}

/** Calls in flight have `patienceMs`, none by default. */
export type End = (reason: string, patienceMs?: number) => void;

export interface Plane {
  turn: Turn;
  reach: Reach;
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

/** A plane that takes what the engine has recorded and goes on with it. */
export function openPlane(options: PlaneOptions, engine: Engine, { rest, end, traces, stack }: Around): Plane {
  const { state, lingerMs, log } = options;
  const turn = stack.use(createTurn(log, rest));
  const snapshots = stack.use(createSnapshots(engine.blobs, engine.records, { changed: turn.wake, rest, log }));
  const clients = stack.use(createClients(lingerMs, () => end("no client has been connected for its linger time")));
  const reach = createReach({ records: engine.records, state, log });
  const plane = wire(options, engine, { snapshots, turn, clients, end, reach, traces });
  const { agents, fleet, calls, kept, promotion, maps } = plane;
  for (const part of [agents, fleet, calls, kept, promotion, maps]) stack.use(part);
  return plane;
}

interface Ground {
  snapshots: Snapshots;
  turn: Turn;
  clients: Clients;
  end: End;
  reach: Reach;
  traces: Traces | undefined;
}

/** Wires the parts. Everything happens in this one thread; `turn` ends each event-loop turn with one transaction. */
function wire(options: PlaneOptions, engine: Engine, ground: Ground): Plane {
  const { log, build, embedded } = options;
  const { snapshots, turn, clients, end, reach, traces } = ground;
  const clock = systemClock;
  const limits = withLimits(options.limits);
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
    begun: traces?.begun,
    announce(info) {
      sessions.call(info);
      front.told(info);
    },
    attemptEnded: (call) => turn.toClient(() => maps.parentEnded(call)), // later: calls begin before maps do
    finished(info) {
      turn.toClient(() => maps.childFinished(info.parent, info.id));
      front.ended(info);
      traces?.ended(info);
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
  const publishes = createPublishes({
    ...{ turn, snapshots, registry, groups, calls, nodes, builds },
    loadAhead: (...publish) => scheduler.loadAhead(...publish),
  });
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
    ...{ turn, reach, calls, maps, mapStreams, sessions, agents, logs, fleet, registry, secrets, redaction, inspections, shells },
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

/** What it answers over gRPC. */
export function servicesOf(plane: Plane, engine: Engine): Parameters<typeof listen>[1] {
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

// ⑤ One node: its containers, images, warm pools and FUSE daemon, and what control's commands do to them.

import { statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { openContentFolder } from "../base/content-folder.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type { AgentCommand, ResolveImage } from "../proto/gen/hob/v1/agents.ts";
import type { CallsClient, Progress } from "../proto/gen/hob/v1/calls.ts";
import type { ContentClient } from "../proto/gen/hob/v1/content.ts";
import type { ContainerInfo, NodeInfo } from "../proto/gen/hob/v1/fleet.ts";
import type { ShellsClient } from "../proto/gen/hob/v1/shell.ts";
import { createBuilds } from "./build/builds.ts";
import { openBuildsFolder } from "./build/leftovers.ts";
import { type Container, type ContainerHost, cgroupParent } from "./container/container.ts";
import { createSlots } from "./container/slots.ts";
import { unmount } from "./container/system-calls.ts";
import { containerInfo, creatingInfo } from "./container-info.ts";
import { createContent } from "./content.ts";
import { createDispatcher } from "./dispatch.ts";
import { openFetchRoom } from "./fetch/room.ts";
import { createForerunners } from "./forerunners.ts";
import { startFuseDaemon } from "./fuse-daemon.ts";
import { openGpus } from "./gpu/gpus.ts";
import { createImages } from "./images.ts";
import { openMachineLoad } from "./machine-load.ts";
import type { AgentOptions } from "./main.ts";
import { createMaking } from "./making.ts";
import { openNetwork } from "./network/network.ts";
import { openNetworkLoad } from "./network-load.ts";
import type { Message } from "./outbox.ts";
import type { AgentPaths } from "./run-folder.ts";
import { connectRunner } from "./runner/connect.ts";
import { runnerImports } from "./sdk-copy.ts";
import { createShells } from "./shell/shells.ts";
import { missingAt } from "./store/control.ts";
import { openStoreKeeper } from "./store/keeper.ts";
import { recoverStore } from "./store/recovery.ts";
import { clearContainers } from "./sweep.ts";
import { createKeeper } from "./warm/keeper.ts";
import { type GenericContainer, isGeneric, kindOf } from "./warm/policy.ts";

type Command = NonNullable<AgentCommand["command"]>;

export interface NodeHost {
  options: AgentOptions;
  paths: AgentPaths;
  content: () => Pick<ContentClient, "fetch" | "getTrace" | "missing" | "put">;
  shells: () => Pick<ShellsClient, "attach">;
  calls: () => Pick<CallsClient, "map">;
  send(message: Message): void;
  /** Control wants the agent to end, or the node cannot go on. */
  shutdown(reason: HobError): void;
  log: Log;
}

export interface Node extends AsyncDisposable {
  command(command: Command): void;
  info(): NodeInfo;
  calls(): string[];
  /** Where other nodes fetch from this one. */
  readonly peerAddress: string;
  /** The link to control has ended. */
  controlLost(): void;
}

/** Starts the FUSE daemon and everything that stands on it. Disposing ends all containers at once, then the mounts, then the daemon. */
export async function openNode(host: NodeHost): Promise<Node> {
  const { options, paths, send, log } = host;
  const clock: Clock = systemClock;
  const cores = availableParallelism();
  const store = openContentFolder(options.store, { durable: false });
  await recoverStore(store, log);
  const ending = new AbortController();
  await using stack = new AsyncDisposableStack();
  const fetching = stack.use(
    await openFetchRoom({
      ...{ store, name: options.name, run: options.run, control: host.content, controlAddress: options.control, clock, log },
      readsPastUs: () => fuse.view.kind === "tiered",
      seen: async (image) => fuse.reads(await images.mountPoint(image)),
      traced: (image, blob) => send({ $case: "trace", value: { image, blob } }),
      trouble(image, sentence) {
        log.error({ image }, sentence);
        for (const container of containers.values()) if (container.image === image) dispatcher.say(container.id, sentence);
      },
      ...{ idle: () => dispatcher.calls().length === 0, backfillBytesPerSecond: options.backfillBytesPerSecond },
    }),
  );
  const content = createContent(store, fetching.fetcher, log);
  const place = { key: options.key, run: options.run, folder: paths.network, nameServers: "/etc/resolv.conf" };
  const network = stack.use(await openNetwork({ ...place, log }));
  const slots = stack.use(createSlots(options.key, network));
  const load = stack.use(openMachineLoad(cores));
  const networkLoad = stack.use(openNetworkLoad());
  const gpus = stack.use(openGpus(cgroupParent(options.key), clock.now));

  const containers = new Map<string, Container>();
  let generation = new AbortController(); // of everything that stands on the present FUSE daemon
  let fuse = await startFuse();
  stack.defer(() => fuse[Symbol.asyncDispose]());
  const replaceDaemon = (): void => fuse.replace(); // `kill -USR2`: the daemon that is installed now takes over
  process.on("SIGUSR2", replaceDaemon);
  stack.defer(() => void process.off("SIGUSR2", replaceDaemon));
  let readySinceMs = clock.now();
  let state: "ready" | "preparing" = "ready";

  async function startFuse(): Promise<FuseServer> {
    const { store: folder, state: logs, run, key } = options;
    const server = await startFuseDaemon({ store: folder, logs, run, key, paths, fetch: fetching.images.fetch, log });
    void server.closed.then((reason) => (ending.signal.aborted ? undefined : replaceFuse(reason)));
    return server;
  }

  const progress = (each: Omit<Progress, "node">): void => send({ $case: "progress", value: { ...each, node: options.name } });
  const disk = stack.use(openBuildsFolder(store, options.key));
  const contents = (): string[] => (fuse.view.kind === "tiered" ? [options.store, paths.blobs] : []);
  const hostsFile = join(paths.network, "hosts");
  writeFileSync(hostsFile, "127.0.0.1 localhost\n::1 localhost\n", { mode: 0o644 });
  const agentNode = { path: options.node, bytes: statSync(options.node).size };
  /** For who sweeps after us. */
  const images = createImages({
    ...{
      store,
      content,
      lazy: fetching.images,
      fuse: () => fuse,
      folder: paths.images,
      node: agentNode,
      nodeName: options.name,
      clock,
      progress,
    },
    builds: (own) =>
      createBuilds({
        ...{ store, content, client: host.content, send, progress, clock, ...own },
        debian: { folder: paths.builds, slots },
        containers: {
          ...{ key: options.key, folders: paths, disk: disk.path, slots, network, node: agentNode, hostsFile, log },
          idmap: () => fuse.idmap,
          contents,
        },
      }),
    signal: ending.signal,
    runnerImports: () => runnerImports(paths.sdk),
  });
  const dispatcher = createDispatcher({
    ...{ content, store, client: host.content, fuse: () => fuse, send, clock, log },
    dialMap: async () => host.calls().map(),
    answered: (id) => void images.answered(containers.get(id)?.image ?? ""),
  });
  const shells = createShells({
    ...{ client: host.shells, folders: paths, log },
    container: (id) => containers.get(id),
    show: dispatcher.show,
  });
  const forerunners = stack.use(
    createForerunners({
      ...{ folder: paths.forerunner, sdk: paths.sdk, contents, log },
      isOwn: (image) => images.list().some(({ digest, source }) => digest === image && source === "host"),
    }),
  );
  const containerHost: ContainerHost = {
    key: options.key,
    folders: paths,
    slots,
    nameFile: network.nameFile,
    get fuse() {
      return fuse;
    },
    get contents() {
      return contents();
    },
    connect: connectRunner,
    forerunner: forerunners.of,
    gpus,
    clock,
    log,
  };

  function changed(container: Container): void {
    const { id } = container;
    const gone = container.state.name === "gone";
    if (container.state.name === "created") {
      making.made(id);
      containers.set(id, container);
    }
    if (container.state.name === "warm") dispatcher.add(container);
    const info = infoOf(container);
    if (gone) {
      containers.delete(id);
      dispatcher.remove(id);
    }
    const reason = "reason" in container.state ? container.state.reason : "";
    send({ $case: "container", value: { container: info, gone, reason } });
    log.info({ id, state: container.state }, "container");
    if (!ending.signal.aborted) keeper.look();
  }

  const making = createMaking({
    ...{ images, container: containerHost, inside: { node: agentNode, hostsFile }, eventsOf: dispatcher.eventsOf, clock, log },
    changed,
    signal: () => generation.signal,
    used: (image) => storeKeeper?.used(image),
    unfit: (image, language, sentence) => send({ $case: "unfit", value: { image, language, sentence } }),
  });

  async function start(id: string): Promise<void> {
    const begin = clock.now();
    try {
      await containers.get(id)?.start(generation.signal);
      log.info({ id, ms: clock.now() - begin }, "started");
    } catch (error) {
      log.error({ id, error: sentenceOf(error) }, "starting a container");
      throw error;
    }
  }

  const keeper = createKeeper({
    containers: () => [
      ...[...containers.values()]
        .map(({ id, image, resourceClass, state: { name } }) => ({ id, kind: kindOf(image, resourceClass), state: name }))
        .filter((container): container is GenericContainer => isGeneric(container.state)),
      ...[...making.all].map(
        ([id, entry]): GenericContainer => ({ id, kind: kindOf(entry.image, entry.resourceClass), state: "creating" }),
      ),
    ],
    create: making.create,
    start,
    stop: (id, reason) => containers.get(id)?.stop(reason) ?? Promise.resolve(),
    gpuRoom: gpus.room,
    progress,
    createsAtOnce: Math.min(Math.max(cores, 2), 4), // more are not faster: runc's work is the kernel's
    startsAtOnce: cores + 2, // of a hundred at once each would take half as much processor time again
    clock,
  });
  stack.use(keeper);

  /** With `patienceMs` calls in flight may finish for so long, and exit hooks run; without, all is ended at once. */
  async function endContainers(reason: string, patienceMs?: number): Promise<void> {
    generation.abort(new HobError("unavailable", reason));
    await Promise.allSettled([...containers.values()].map((container) => endContainer(container, reason, patienceMs)));
    await Promise.allSettled([...making.all.values()].map(({ done }) => done));
  }

  function endContainer(container: Container, reason: string, patienceMs: number | undefined): Promise<void> {
    const holdsCode = container.state.name === "specialised" && patienceMs !== undefined;
    return container.stop(reason, holdsCode ? dispatcher.drain(container.id, patienceMs) : undefined);
  }

  async function shutDown(patienceMs: number): Promise<void> {
    keeper.hold(true);
    await endContainers("the pool is ending", patienceMs); // before the link ends: control hears the last results
    host.shutdown(new HobError("cancelled", "control asked the agent to end"));
  }

  async function replaceFuse(reason: string): Promise<void> {
    log.error({ reason }, "the FUSE daemon ended");
    state = "preparing";
    readySinceMs = clock.now();
    keeper.hold(true);
    try {
      await endContainers(`the FUSE daemon ended: ${reason}`);
      await forerunners.forget();
      images.forgetMounts();
      unmount(paths.snapshots);
      unmount(paths.blobs);
      dispatcher.forgetMounted();
      if (ending.signal.aborted) return;
      fuse = await startFuse();
      generation = new AbortController();
      state = "ready";
      readySinceMs = clock.now();
      keeper.hold(false);
    } catch (error) {
      host.shutdown(new HobError("unavailable", `starting the FUSE daemon again: ${sentenceOf(error)}`, { cause: error }));
    }
  }

  const infoOf = (container: Container): ContainerInfo => containerInfo(container, { dispatcher, gpus, now: clock.now });

  function info(): NodeInfo {
    return {
      ...{ name: options.name, state, cores, sinceMs: readySinceMs, version: options.build },
      ...{ ...load.sample(), ...networkLoad.sample(clock.now()), fetchedBytes: fetching.fetcher.fetchedBytes },
      cordoned: false,
      storeBytes: images.list().reduce((sum, image) => sum + image.storedBytes, 0),
      gpus: gpus.current((id) => dispatcher.functionsOf(id)),
      network: network.obstacle ? network.obstacle.sentence : "internet",
      containers: [
        ...[...containers.values()].map(infoOf),
        ...[...making.all].map(([id, { image, resourceClass, sinceMs }]) => creatingInfo(id, image, resourceClass, sinceMs)),
      ],
      images: images.list(),
    };
  }

  const storeKeeper =
    options.storeLimitBytes === undefined
      ? undefined
      : stack.use(
          openStoreKeeper({
            ...{ store, limitBytes: options.storeLimitBytes, clock, log },
            imagesInUse: () =>
              new Set([
                ...[...containers.values(), ...making.all.values()].map(({ image }) => image),
                ...images.list().flatMap(({ digest, source }) => (source === "host" ? [digest] : [])),
                ...(images.building() ? images.mounted() : []),
              ]),
            imagesMounted: images.mounted,
            release: images.release,
            contentsInUse: dispatcher.contents,
            missingAtControl: (digests) => missingAt(host.content(), digests),
          }),
        );

  async function resolveImage(order: ResolveImage): Promise<void> {
    try {
      send({ $case: "image", value: await images.resolve(order) });
    } catch (error) {
      log.info({ image: order.image, error: sentenceOf(error) }, "an image was given up");
    }
  }

  async function inspect(call: string, id: string): Promise<void> {
    const container = containers.get(id);
    const held = container?.state.name === "specialised" ? await container.runner.inspect(call) : undefined;
    send({ $case: "inspected", value: { call, container: id, ...(held ?? { frames: [], reason: "its container has ended" }) } });
  }

  /** One row a command. */
  const handlers: { [C in Command["$case"]]: (value: Extract<Command, { $case: C }>["value"]) => void } = {
    welcome({ control, build, peerKey }) {
      fetching.peerKey(peerKey);
      log.info({ control, build }, "linked");
    },
    pools: ({ pools }) => keeper.set(pools),
    load: (order) => void dispatcher.load(order),
    dispatch(order) {
      keeper.called();
      void dispatcher.dispatch(order);
    },
    cancel: ({ call }) => dispatcher.cancel(call),
    childFinished: (finished) => dispatcher.childFinished(finished),
    stop({ container: id, reason, graceMs }) {
      const container = containers.get(id);
      if (container) void endContainer(container, reason || "control asked for it", graceMs || undefined);
    },
    shutdown: ({ patienceMs }) => void shutDown(patienceMs),
    shell: (order) => shells.open(order),
    rouse({ containers: ids }) {
      for (const id of ids) dispatcher.rouse(id);
    },
    inspect: ({ call, container }) => void inspect(call, container),
    resolve: (order) => void (order.image && resolveImage(order)),
    inputs: (order) => void dispatcher.dispatchInputs(order),
    cancelInputs: (order) => dispatcher.cancelInputs(order),
    partsTaken: (taken) => dispatcher.partsTaken(taken),
    giveUpImage: ({ image }) => image && images.giveUpImage(image),
    peerCertificate: fetching.peerCertificate,
  };

  await gpus.ready;
  const life = stack.move();
  return {
    command: (command) => (handlers[command.$case] as (value: Command["value"]) => void)(command.value),
    info,
    calls: () => dispatcher.calls(),
    peerAddress: fetching.address,
    controlLost: () => images.giveUp("control is not connected any more"),
    async [Symbol.asyncDispose]() {
      ending.abort(new HobError("cancelled", "the agent is ending"));
      keeper.hold(true);
      await shells[Symbol.asyncDispose]();
      await endContainers("the agent is ending", 0);
      await images.settled(); // a mount made after the next line would hold the run folder
      images.forgetMounts();
      unmount(paths.snapshots);
      unmount(paths.blobs);
      await life.disposeAsync();
      await clearContainers(options.key, paths.runc);
    },
  };
}

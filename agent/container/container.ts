// ⑤ One container from nothing to gone: ordered steps, each with its undo beside it. It is made and started apart: a reserve waits between the two.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { HobError, sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openFilesLimit } from "../../base/open-files.ts";
import type { FuseServer } from "../../fusefs/server.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import type { Configuration } from "../gpu/apply.ts";
import type { GpuEdit } from "../gpu/gpus.ts";
import type { Launch } from "../runner/image-runtime.ts";
import type { Runner, RunnerEvents } from "../runner/runner.ts";
import { type Meter, openMeter, removeCgroups, swapLimitAvailable } from "./cgroup.ts";
import { type Forerunner, takePlace } from "./forerunner.ts";
import { awaitEnd, kill } from "./process.ts";
import { mountProject, mountRoot, mountWritable } from "./root.ts";
import { type Created, createProcess, forgetContainer, type RuncPlace } from "./runc.ts";
import type { Slots } from "./slots.ts";
import { runtimeSpec, writableBytes } from "./spec.ts";
import { type ContainerState, type EndedBy, type Move, transition } from "./state.ts";

/** What the containers of one node share. */
export interface ContainerHost {
  key: string;
  /** RUN/c, RUN/runc, RUN/sdk, RUN/project: every component of their paths has o+x. */
  folders: { containers: string; runc: string; sdk: string; snapshots: string };
  slots: Slots;
  /** The resolv.conf of containers with a network. */
  nameFile: string;
  /** Where images have their contents in the tiered view (root.ts); none in the other. */
  contents: readonly string[];
  fuse: Pick<FuseServer, "idmap" | "addContainer" | "removeContainer">;
  /** Connects to the runner of that language at the other end of its fd 3. */
  connect(socket: Duplex, events: RunnerEvents): Promise<Runner>;
  /** The process of which the container's runner is to be a fork; undefined where runc starts the runner itself. */
  forerunner(wish: ContainerWish): Forerunner | undefined;
  /** Devices for the container alone, with the edits that give them to it; held until `release`. */
  gpus: { acquire(id: string, request: string, signal: AbortSignal): Promise<GpuEdit>; release(id: string): void };
  clock: Clock;
  log: Log;
}

export interface ContainerWish {
  id: string;
  image: string; // manifest digest
  /** Where that image is mounted. */
  imageMount: string;
  resourceClass: ResourceClass;
  /** How its runner starts over that image. */
  launch: Launch;
  events: RunnerEvents;
  /** Told at every change of `state`. */
  changed(container: Container): void;
}

export interface Container {
  readonly id: string;
  readonly image: string;
  readonly resourceClass: ResourceClass;
  readonly launch: Launch;
  readonly startedAtMs: number;
  readonly state: ContainerState;
  /** Connected from the state `warm` on; before that an error. */
  readonly runner: Runner;
  readonly meter: Meter;
  readonly pid: number;
  /** Lets its first process go on and resolves when the runner answers. What fails ends it, and rejects with a sentence once it is gone. */
  start(signal: AbortSignal): Promise<void>;
  specialise(app: string): void;
  /**
   * Ends it; all callers wait for the one end. The first reason is kept. With `drained` it is `stopping` at once, but its processes are ended
   * only when that settles, or when somebody stops it without.
   */
  stop(reason: string, drained?: Promise<unknown>): Promise<void>;
}

export const cgroupParent = (key: string): string => `hob-${key}`;

/** Makes a container, not started. What fails undoes what was done and rejects with a sentence. */
export async function createContainer(host: ContainerHost, wish: ContainerWish, signal: AbortSignal): Promise<Container> {
  const { id, resourceClass, launch } = wish;
  await using undo = new AsyncDisposableStack();
  let step = "GPUs";
  try {
    // First: "H100" and "any" that are made together get them in that order.
    undo.defer(() => host.gpus.release(id));
    const withGpus = await host.gpus.acquire(id, resourceClass.gpu, signal);

    step = "user namespace";
    const slot = await host.slots.acquire(resourceClass.network, signal);
    undo.defer(() => host.slots.release(slot));
    const mapped = host.fuse.idmap ? slot : undefined;

    step = "file systems";
    const folder = join(host.folders.containers, id);
    mkdirSync(folder, { mode: 0o711 });
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const writable = mountWritable(folder, slot, writableBytes(resourceClass), undo);
    const root = mountRoot(folder, { image: wish.imageMount, contents: host.contents }, writable, mapped, undo);

    step = "project folder";
    await host.fuse.addContainer(id);
    undo.defer(() =>
      host.fuse.removeContainer(id).catch((error) => host.log.debug({ id, error: sentenceOf(error) }, "project folder")),
    );
    const project = mountProject(folder, join(host.folders.snapshots, id), mapped, undo);

    step = "runner";
    signal.throwIfAborted();
    const forerunner = host.forerunner(wish);
    const made = await forerunner?.make(slot.userFd);
    if (made) undo.defer(() => forerunner?.drop(made));

    step = "runc create";
    const place: RuncPlace = { root: host.folders.runc, bundle: folder, id };
    const spec = runtimeSpec({
      ...{ id, root, resourceClass, slot, scratch: join(writable, "tmp") },
      cgroupsPath: `/${cgroupParent(host.key)}/${id}`,
      shown: [{ destination: "/hob", source: host.folders.sdk }, ...launch.shown, { destination: "/project", source: project }],
      nameFile: slot.network === "internet" ? host.nameFile : undefined,
      agentPid: process.pid,
      ...{ command: launch.command, user: launch.user, cwd: "/", capabilities: [] },
      firstPid: made?.pid,
      swapLimit: swapLimitAvailable(),
      openFilesMost: openFilesLimit(),
    });
    undo.defer(() => forgetContainer(place));
    let created = await createProcess(place, withGpus(spec as Configuration));
    undo.defer(() => removeCgroups(Object.values(created.cgroups)));
    undo.defer(async () => {
      created.socket.destroy();
      kill(created.init);
      const end = await awaitEnd(created.init);
      host.log.debug({ id, ...end }, "init ended");
    });
    if (forerunner && made) {
      step = "runner's entry";
      created = await takePlace(forerunner, made, created, place);
    }
    for (const stream of created.output) {
      stream.setEncoding("utf8").on("data", (text: string) => host.log.warn({ id, text: text.trimEnd() }, "runner output"));
    }
    const meter = openMeter(created.cgroups);
    undo.defer(() => meter[Symbol.dispose]());

    signal.throwIfAborted(); // after the last wait: from here on the container's own end undoes everything
    return live({ host, wish, created, meter, life: undo.move() });
  } catch (error) {
    throw systemError(`making container ${id} (${step})`, error);
  }
}

interface Made {
  host: ContainerHost;
  wish: ContainerWish;
  created: Created;
  meter: Meter;
  life: AsyncDisposableStack;
}

/** The life of a container that runc has made. */
function live({ host, wish, created, meter, life }: Made): Container {
  const { id, image, resourceClass, launch } = wish;
  const { init } = created;
  let state: ContainerState = { name: "creating" };
  let runner: Runner | undefined;
  let ending: Promise<void> | undefined;
  const cut = Promise.withResolvers<void>(); // of the wait for what is drained

  const move = (next: Move): void => {
    const before = state;
    state = transition(id, state, next);
    if (state !== before) wish.changed(container);
  };

  async function end(reason: string, by: EndedBy, drained?: Promise<unknown>): Promise<void> {
    move({ name: "stop", reason, by });
    try {
      if (drained) await Promise.race([drained, cut.promise]);
      kill(init); // first, so that nothing below waits for it
      await life.disposeAsync();
    } catch (error) {
      host.log.error({ id, error: sentenceOf(error) }, "a container left something behind");
    }
    move({ name: "end" });
  }

  const endedItself = (reason: string): void => {
    ending ??= end(reason, "itself");
  };

  async function start(signal: AbortSignal): Promise<void> {
    try {
      signal.throwIfAborted();
      move({ name: "start" });
      const connecting = host.connect(created.socket, wish.events);
      connecting.catch(() => {}); // awaited below, after what may fail before it
      using _begun = created.begin();
      const connected = await raceAbort(connecting, signal);
      life.defer(() => connected[Symbol.asyncDispose]());
      runner = connected;
      void connected.closed.then(endedItself);
      move({ name: "ready" });
    } catch (error) {
      endedItself(sentenceOf(error));
      await ending;
      throw systemError(`starting container ${id} (start of the runner)`, error);
    }
  }

  const container: Container = {
    ...{ id, image, resourceClass, launch, meter, pid: init.pid, startedAtMs: host.clock.now(), start },
    get state() {
      return state;
    },
    get runner() {
      if (!runner) throw new HobError("internal", `container ${id} is ${state.name}: its runner is not connected yet`);
      return runner;
    },
    specialise: (app) => move({ name: "specialise", app }),
    stop(reason, drained) {
      if (!drained) cut.resolve();
      ending ??= end(reason, "agent", drained);
      return ending;
    },
  };
  // Until the runner is connected, the end of its output is all that tells of its death.
  created.output[0]?.once("close", () => {
    if (state.name === "created") endedItself("its first process ended before it was started");
  });
  move({ name: "created" });
  return container;
}

function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", abort));
}

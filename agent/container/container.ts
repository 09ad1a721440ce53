// ⑤ One container from nothing to gone: ordered steps, each with its undo beside it.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { FuseServer } from "../../fusefs/server.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import type { Runner, RunnerEvents } from "../runner/runner.ts";
import { type Meter, openMeter, removeCgroups, swapLimitAvailable } from "./cgroup.ts";
import { awaitEnd, kill, openFilesLimit } from "./process.ts";
import { mountProject, mountRoot, mountWritable } from "./root.ts";
import { createContainer, forgetContainer, openStart, type RuncPlace } from "./runc.ts";
import type { Slots } from "./slots.ts";
import { runtimeSpec, writableBytes } from "./spec.ts";
import { type ContainerState, type EndedBy, type Move, transition } from "./state.ts";

/** What the containers of one node share. */
export interface ContainerHost {
  key: string;
  /** RUN/c, RUN/runc, RUN/sdk, RUN/project: every component of their paths has o+x. */
  folders: { containers: string; runc: string; sdk: string; snapshots: string };
  slots: Slots;
  fuse: Pick<FuseServer, "idmap" | "addContainer" | "removeContainer">;
  /** Connects to the runner of that language at the other end of its fd 3. */
  connect(socket: Duplex, events: RunnerEvents): Promise<Runner>;
  command(language: string): { args: string[]; env: Record<string, string> };
  clock: Clock;
  log: Log;
}

export interface ContainerWish {
  id: string;
  image: string; // manifest digest
  /** Where that image is mounted. */
  imageMount: string;
  resourceClass: ResourceClass;
  events: RunnerEvents;
  /** Told at every change of `state`. */
  changed(container: Container): void;
}

export interface Container {
  readonly id: string;
  readonly image: string;
  readonly resourceClass: ResourceClass;
  readonly startedAtMs: number;
  readonly state: ContainerState;
  /** Connected from the state `warm` on. */
  readonly runner: Runner;
  readonly meter: Meter;
  readonly pid: number;
  specialise(app: string): void;
  /** Ends it; all callers wait for the one end. The first reason is kept. */
  stop(reason: string): Promise<void>;
}

export const cgroupParent = (key: string): string => `hob-${key}`;

/** Starts a container and resolves when its runner answers. What fails undoes what was done and rejects with a sentence. */
export async function startContainer(host: ContainerHost, wish: ContainerWish, signal: AbortSignal): Promise<Container> {
  const { id, image, resourceClass } = wish;
  let state: ContainerState = { name: "starting" };
  await using undo = new AsyncDisposableStack();
  let step = "user namespace";
  try {
    const slot = await host.slots.acquire(signal);
    undo.defer(() => host.slots.release(slot));
    const mapped = host.fuse.idmap ? slot : undefined;

    step = "file systems";
    const folder = join(host.folders.containers, id);
    mkdirSync(folder, { mode: 0o711 });
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const writable = mountWritable(folder, slot, writableBytes(resourceClass), undo);
    const root = mountRoot(folder, wish.imageMount, writable, mapped, undo);

    step = "project folder";
    await host.fuse.addContainer(id);
    undo.defer(() =>
      host.fuse.removeContainer(id).catch((error) => host.log.debug({ id, error: sentenceOf(error) }, "project folder")),
    );
    const project = mountProject(folder, join(host.folders.snapshots, id), mapped, undo);

    step = "runc create";
    signal.throwIfAborted();
    const place: RuncPlace = { root: host.folders.runc, bundle: folder, id };
    const spec = runtimeSpec({
      ...{ id, root, project, resourceClass, slot },
      cgroupsPath: `/${cgroupParent(host.key)}/${id}`,
      sdk: host.folders.sdk,
      agentPid: process.pid,
      command: host.command(resourceClass.language),
      swapLimit: swapLimitAvailable(),
      openFilesMost: openFilesLimit(),
    });
    undo.defer(() => forgetContainer(place));
    const created = await createContainer(place, spec);
    const { init } = created;
    undo.defer(() => removeCgroups(Object.values(created.cgroups)));
    undo.defer(async () => {
      created.socket.destroy();
      kill(init);
      const end = await awaitEnd(init);
      host.log.debug({ id, ...end }, "init ended");
    });
    for (const stream of created.output) {
      stream.setEncoding("utf8").on("data", (text: string) => host.log.warn({ id, text: text.trimEnd() }, "runner output"));
    }
    const meter = openMeter(created.cgroups);
    undo.defer(() => meter[Symbol.dispose]());

    step = "start of the runner";
    const connecting = host.connect(created.socket, wish.events);
    connecting.catch(() => {}); // awaited below, after what may fail before it
    using _started = openStart(place);
    const runner = await raceAbort(connecting, signal);
    undo.defer(() => runner[Symbol.asyncDispose]());

    const life = undo.move();
    const move = (next: Move): void => {
      const before = state;
      state = transition(id, state, next);
      if (state !== before) wish.changed(container);
    };
    let ending: Promise<void> | undefined;
    const end = async (reason: string, by: EndedBy): Promise<void> => {
      move({ name: "stop", reason, by });
      try {
        kill(init); // first, so that nothing below waits for it
        await life.disposeAsync();
      } catch (error) {
        host.log.error({ id, error: sentenceOf(error) }, "a container left something behind");
      }
      move({ name: "end" });
    };
    const container: Container = {
      ...{ id, image, resourceClass, runner, meter, pid: init.pid, startedAtMs: host.clock.now() },
      get state() {
        return state;
      },
      specialise: (app) => move({ name: "specialise", app }),
      stop: (reason) => {
        ending ??= end(reason, "agent");
        return ending;
      },
    };
    void runner.closed.then((reason) => {
      ending ??= end(reason, "itself");
    });
    move({ name: "ready" });
    return container;
  } catch (error) {
    throw systemError(`starting container ${id} (${step})`, error);
  }
}

function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", abort));
}

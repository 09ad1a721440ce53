// ⑤ What the agent says of a container: its state, what it serves, and what it uses.

import type { ContainerInfo, ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import type { Container } from "./container/container.ts";
import type { Dispatcher } from "./dispatch.ts";
import type { Gpus } from "./gpu/gpus.ts";

/** Who knows what the container itself does not. */
interface Reporters {
  dispatcher: Pick<Dispatcher, "snapshotsOf" | "callsOf" | "functionsOf">;
  gpus: Pick<Gpus, "of">;
  now(): number;
}

export function containerInfo(container: Container, { dispatcher, gpus, now }: Reporters): ContainerInfo {
  const { id, image, resourceClass, startedAtMs } = container;
  const usage = container.meter.sample(now());
  return {
    ...{ id, image, resourceClass, startedAtMs, ...usage },
    state: container.state.name === "gone" ? "stopping" : container.state.name,
    app: container.state.name === "specialised" ? container.state.app : "",
    snapshots: dispatcher.snapshotsOf(id),
    calls: dispatcher.callsOf(id),
    functions: dispatcher.functionsOf(id),
    gpus: gpus.of(id),
  };
}

/** One that is being made. */
export function creatingInfo(id: string, image: string, resourceClass: ResourceClass, startedAtMs: number): ContainerInfo {
  const nothing = { app: "", snapshots: [], calls: [], memoryBytes: 0, cpuCores: 0, pids: 0, gpus: [], functions: [] };
  return { ...{ id, image, resourceClass, startedAtMs }, ...nothing, state: "starting" };
}

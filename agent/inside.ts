// ⑥ What the agent knows of a container's inside, and what it makes of a failure there.

import type { Failure } from "../proto/gen/hob/v1/common.ts";
import type { Meter } from "./container/cgroup.ts";
import type { Container } from "./container/container.ts";
import { createDraining, type Draining } from "./draining.ts";
import { explain } from "./failures.ts";
import type { Told } from "./snapshots.ts";

export interface Call {
  attempt: number;
  map?: string; // of which these are inputs
  function: string;
  app: string;
  cancelled: boolean;
  dropped: number; // bytes of its output that its lines have told as lost
}

/** A container as those see it who have it load and run code. */
export interface Held extends Pick<Container, "id" | "state" | "resourceClass" | "runner" | "specialise" | "stop"> {
  meter: Pick<Meter, "oomKills" | "refusedPids" | "filesBytes" | "peakMemoryBytes">;
}

/** What is known of a container's inside. */
export interface Inside {
  container: Held;
  snapshots: string[]; // loaded, newest last
  told: Told[]; // what its runner was told last, newest last
  calls: Map<string, Call>;
  loading: Map<string, number>; // snapshots with loads that have not been answered, and how many
  /** Looked at when a save was announced: for the load that comes of it, milliseconds later. */
  looked: { hurts: Hurts; atMs: number } | undefined;
  failed: string[]; // snapshots whose load failed: control does not count them among the container's, so it retires none
  functions: Set<string>; // that it has loaded
  draining: Draining;
  /** Ends when what was to be sent to the runner before has been sent. */
  sending: Promise<void>;
}

/** What the kernel has done to a container so far. */
export interface Hurts {
  kills: number;
  refused: number;
}

export const hurtsOf = ({ meter }: Held): Hurts => ({ kills: meter.oomKills(), refused: meter.refusedPids() });
export const memoryOf = ({ meter, resourceClass }: Held): { limitBytes: number; peakBytes: number } => {
  return { limitBytes: resourceClass.memoryBytes, peakBytes: meter.peakMemoryBytes() };
};

export const openInside = (container: Held): Inside => ({
  container,
  snapshots: [],
  told: [],
  calls: new Map(),
  loading: new Map(),
  looked: undefined,
  failed: [],
  functions: new Set(),
  draining: createDraining(),
  sending: Promise.resolve(),
});

/** How long the look at an announced save's container holds. */
const lookedMs = 50;

export function lookAhead(inside: Inside): void {
  inside.looked = { hurts: hurtsOf(inside.container), atMs: performance.now() };
}

/** As hurtsOf; what has hurt nobody's call since may have been looked at a moment ago. */
export function hurtsBefore(inside: Inside): Hurts {
  const { looked } = inside;
  inside.looked = undefined;
  return looked && performance.now() - looked.atMs < lookedMs ? looked.hurts : hurtsOf(inside.container);
}

export function explainIn(inside: Inside, seen: Failure, before: Hurts): Failure {
  const { container } = inside;
  inside.looked = undefined;
  return explain(seen, {
    container: container.id,
    state: container.state,
    memoryKill: container.meter.oomKills() > before.kills,
    pidsRefused: container.meter.refusedPids() > before.refused,
    ...memoryOf(container),
  });
}

/** What runs there under that name: a call, or inputs of a map. */
export function runningIn(inside: Inside | undefined, call: string): Call | undefined {
  return inside?.calls.get(call) ?? [...(inside?.calls.values() ?? [])].find(({ map }) => map === call);
}

export const gone = (container: string): string => `container ${container} is not on this node any more`;

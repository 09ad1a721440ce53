// ④ The groups of functions that share containers, with the calls that wait for each.

import { isDigest } from "../../base/content-folder.ts";
import type { FunctionSpec, ImageRef, Version } from "../../proto/gen/hob/v1/common.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageRef, imageKey } from "../../proto/image.ts";
import type { GroupView, Plan, QueuedCall } from "./decide.ts";
import { createLane, type Lane } from "./lane.ts";
import { classKeyOf, defaultMemoryBytes } from "./pools.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Scaling = Pick<GroupView, "maxContainers" | "minContainers" | "bufferContainers" | "concurrency" | "idleTimeoutMs">;

export interface Group<Call extends QueuedCall> extends Mutable<Scaling> {
  readonly key: string;
  readonly app: string;
  readonly imageKey: string;
  readonly classKey: string;
  readonly resourceClass: ResourceClass;
  blocked: number;
  shells: number;
  waitingInputs: number;
  callMs: number;
  waitingSinceMs: number;
  readonly lanes: readonly [Lane<Call>, Lane<Call>, Lane<Call>, Lane<Call>];
  readonly eager: Set<string>;
  newest: string;
  /** Its current versions. */
  versions: Version[];
}

export interface Groups<Call extends QueuedCall> {
  readonly all: ReadonlyMap<string, Group<Call>>;
  /** The group that a version's calls belong to; made when there is none. */
  of(app: string, version: Version): Group<Call>;
  /** The app's current versions have changed; `fresh` are to be loaded before anybody calls them. */
  update(app: string, current: Version[], fresh: Version[]): void;
  /** No call and no container is of it any more. */
  drop(key: string): void;
  /** The group that a container specialised by an earlier control belongs to; "" when none fits. */
  adopt(specialised: Specialised): string;
}

const newestWeighs = 0.2; // of the mean, which forgets what was long ago
const shortestMs = 0.01; // 0 says that nothing is known

/** A call of it, or `count` inputs, ran for so long. */
export function ranFor(group: Pick<Group<QueuedCall>, "callMs">, runMs: number, count = 1): void {
  const each = Math.max(runMs / Math.max(1, count), shortestMs);
  group.callMs = group.callMs === 0 ? each : group.callMs + (each - group.callMs) * newestWeighs;
}

/** Since when nothing moves, of groups with calls that wait. The plan has not been carried out yet. */
export function noteWaiting(
  groups: Iterable<Pick<GroupView, "key" | "lanes"> & { waitingSinceMs: number }>,
  { dispatches }: Pick<Plan, "dispatches">,
  nowMs: number,
): void {
  const moved = new Set(dispatches.map(({ group }) => group));
  for (const group of groups) {
    let waits = false;
    for (const lane of group.lanes) waits ||= lane.size > 0;
    if (!waits || moved.has(group.key)) group.waitingSinceMs = 0;
    else group.waitingSinceMs ||= nowMs;
  }
}

/** What a node says of a container that this control has not specialised. */
interface Specialised {
  app: string;
  resourceClass: ResourceClass;
  fits(imageKey: string): boolean;
  /** Of which it runs calls. */
  functions: readonly string[];
}

const imageKeyOf = (image: ImageRef | undefined): string => imageKey(image ?? hostImageRef);

const sources: readonly string[] = ["host", "debian", "oci"];

export const supportsImage = (image: ImageRef | undefined): boolean =>
  !image || sources.includes(image.source) || isDigest(image.digest);

function classOf(spec: FunctionSpec): ResourceClass {
  const { cpu, language, gpu } = spec;
  return { cpu, memoryBytes: spec.memoryBytes || defaultMemoryBytes, language, gpu, network: spec.network || "internet" };
}

/** A function with scaling of its own has containers of its own: then that is the group's, and nobody else uses them. Methods share their class's. */
function groupKey(app: string, spec: FunctionSpec): string {
  const { maxContainers, bufferContainers, concurrency, idleTimeoutMs, className, name } = spec;
  const apart = maxContainers > 0 || bufferContainers > 0 || concurrency > 1 || idleTimeoutMs > 0;
  return `${app} ${imageKeyOf(spec.image)} ${classKeyOf(classOf(spec))}${apart ? ` ${className || name}` : ""}`;
}

/** Its functions' scaling is the same, but for the least number of containers. */
function scalingOf(versions: readonly Version[]): Scaling {
  const most = (of: (spec: FunctionSpec) => number): number => Math.max(0, ...versions.map(({ spec }) => of(spec!)));
  return {
    maxContainers: most((spec) => spec.maxContainers),
    minContainers: most((spec) => spec.minContainers),
    bufferContainers: most((spec) => spec.bufferContainers),
    concurrency: Math.max(
      1,
      most((spec) => spec.concurrency),
    ),
    idleTimeoutMs: most((spec) => spec.idleTimeoutMs),
  };
}

export function createGroups<Call extends QueuedCall>(): Groups<Call> {
  const all = new Map<string, Group<Call>>();

  function of(app: string, version: Version): Group<Call> {
    const spec = version.spec!;
    const key = groupKey(app, spec);
    let group = all.get(key);
    if (!group) {
      const resourceClass = classOf(spec);
      group = {
        key,
        app,
        imageKey: imageKeyOf(spec.image),
        classKey: classKeyOf(resourceClass),
        resourceClass,
        ...scalingOf([version]),
        minContainers: 0, // of current versions only
        blocked: 0,
        shells: 0,
        ...{ waitingInputs: 0, callMs: 0, waitingSinceMs: 0 },
        lanes: [createLane(), createLane(), createLane(), createLane()],
        eager: new Set(),
        newest: "",
        versions: [],
      };
      all.set(key, group);
    }
    return group;
  }

  function update(app: string, current: Version[], fresh: Version[]): void {
    for (const group of all.values()) if (group.app === app) group.versions = [];
    for (const version of current) of(app, version).versions.push(version);
    for (const version of fresh) {
      const group = of(app, version);
      group.eager.add(version.snapshot);
      group.newest = version.snapshot;
    }
    for (const group of all.values()) {
      if (group.app !== app) continue;
      const snapshots = new Set(group.versions.map((version) => version.snapshot));
      for (const snapshot of group.eager) if (!snapshots.has(snapshot)) group.eager.delete(snapshot);
      if (!snapshots.has(group.newest)) group.newest = group.versions.at(-1)?.snapshot ?? "";
      if (group.versions.length > 0) Object.assign(group, scalingOf(group.versions));
      else group.minContainers = group.bufferContainers = 0; // its last calls keep their limit
      const used = group.versions.length > 0 || group.blocked > 0 || group.lanes.some((lane) => lane.size > 0);
      if (!used) all.delete(group.key);
    }
  }

  return {
    all,
    of,
    update,
    drop: (key) => void all.delete(key),
    adopt({ app, resourceClass, fits, functions }) {
      const classKey = classKeyOf(resourceClass);
      const able = [...all.values()].filter((group) => group.app === app && group.classKey === classKey && fits(group.imageKey));
      // Its calls count against the limit of their function, wherever it is. With none, any group of its app may have it.
      const runs = able.find((group) => group.versions.some((version) => functions.includes(version.function)));
      return (runs ?? able[0])?.key ?? "";
    },
  };
}

// ④ The groups of functions that share containers, with the calls that wait for each.

import { isDigest } from "../../base/content-folder.ts";
import type { FunctionSpec, ImageRef, Version } from "../../proto/gen/hob/v1/common.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import type { QueuedCall } from "./decide.ts";
import { createLane, type Lane } from "./lane.ts";
import { classKeyOf, defaultMemoryBytes, hostImage } from "./pools.ts";

export interface Group<Call extends QueuedCall> {
  readonly key: string;
  readonly app: string;
  readonly imageKey: string;
  readonly classKey: string;
  readonly resourceClass: ResourceClass;
  maxContainers: number;
  minContainers: number;
  blocked: number;
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
  /** The group that a container specialised by an earlier control belongs to; "" when none fits. */
  adopt(app: string, resourceClass: ResourceClass, fits: (imageKey: string) => boolean): string;
}

const imageKeyOf = (image: ImageRef | undefined): string => image?.digest || `source:${image?.source || "host"}`;

export const supportsImage = (image: ImageRef | undefined): boolean => {
  const key = imageKeyOf(image);
  return key === hostImage || isDigest(key);
};

function classOf(spec: FunctionSpec): ResourceClass {
  const { cpu, language, gpu } = spec;
  return { cpu, memoryBytes: spec.memoryBytes || defaultMemoryBytes, language, gpu, network: spec.network || "internet" };
}

/** A function with a limit of its own has containers of its own: then the limit is the group's, and nobody else uses them. */
function groupKey(app: string, spec: FunctionSpec): string {
  const own = spec.maxContainers > 0 ? ` ${spec.name}` : "";
  return `${app} ${imageKeyOf(spec.image)} ${classKeyOf(classOf(spec))}${own}`;
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
        maxContainers: spec.maxContainers,
        minContainers: 0,
        blocked: 0,
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
      group.maxContainers = Math.max(0, ...group.versions.map((version) => version.spec!.maxContainers));
      group.minContainers = Math.max(0, ...group.versions.map((version) => version.spec!.minContainers));
      const used = group.versions.length > 0 || group.blocked > 0 || group.lanes.some((lane) => lane.size > 0);
      if (!used) all.delete(group.key);
    }
  }

  return {
    all,
    of,
    update,
    adopt(app, resourceClass, fits) {
      const classKey = classKeyOf(resourceClass);
      for (const group of all.values()) {
        if (group.app === app && group.classKey === classKey && fits(group.imageKey)) return group.key;
      }
      return "";
    },
  };
}

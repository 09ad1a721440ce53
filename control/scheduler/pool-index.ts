// ④ The pool as the decision asks for it, by group, by kind and by node. Kept up to date change by change, so that a decision costs what there is to decide.

import type { ContainerView, GroupView, NodeView } from "./decide.ts";
import { type Demand, kindKey } from "./pools.ts";
import { createRecency, type Recency } from "./recency.ts";
import { type Amount, reserveOf } from "./room.ts";

/** A node with what its containers hold. */
export interface NodePlace {
  readonly node: NodeView;
  readonly containers: ReadonlySet<ContainerView>;
  /** Reserved by containers that have an app, those that end included. */
  readonly cpu: number;
  readonly memoryBytes: number;
  /** Of that, what comes free because its container ends. */
  readonly ending: Amount;
  /** Containers that have an app and do not end, and how many of each group. */
  readonly count: number;
  readonly groups: ReadonlyMap<string, number>;
  /** Where in the ring; -1 while nothing new begins there. */
  readonly position: number;
}

/** A group's containers. */
export interface GroupPlaces {
  /** Those that calls can be placed in, busy ones included. */
  readonly all: ReadonlySet<ContainerView>;
  /** Of those, the ones without a call, by the time since when. */
  readonly idle: Recency<ContainerView>;
  /** Those on nodes that take nothing new. */
  readonly parked: ReadonlySet<ContainerView>;
}

/** Above these shares of its memory a node is tight, and short. */
const tightShare = 0.8;
const shortShare = 0.92;

/** What a decision is made from. */
export interface PoolView {
  readonly nodes: ReadonlyMap<string, NodePlace>;
  /** Nodes that take something new. */
  readonly ring: readonly NodePlace[];
  /** Cores of those. */
  readonly cores: number;
  readonly places: ReadonlyMap<string, GroupPlaces>;
  /** Generic containers that wait warm, by kind (kindKey) and node. */
  readonly generic: ReadonlyMap<string, ReadonlyMap<NodePlace, ReadonlySet<ContainerView>>>;
  readonly ending: ReadonlySet<ContainerView>;
  readonly tight: ReadonlySet<NodePlace>;
  readonly short: ReadonlySet<NodePlace>;
  readonly groups: ReadonlyMap<string, GroupView>;
  /** Generic containers taken lately, by kind. */
  readonly demand: ReadonlyMap<string, Demand>;
  /** For which nodes to say what should wait there; undefined for all. In a large pool they take turns. */
  readonly sweep?: readonly NodePlace[] | undefined;
}

export type IndexedPool = Omit<PoolView, "groups" | "demand" | "sweep">;

export interface PoolIndex {
  /** Kept up to date; to be read between changes. */
  current(): IndexedPool;
  /** New, or changed: its size, its load, its images, whether it takes something new. */
  node(node: NodeView): void;
  nodeGone(name: string): void;
  /** New, or changed in anything but what it measures and what code it has. */
  container(container: ContainerView): void;
  containerGone(container: ContainerView): void;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Place extends Mutable<NodePlace> {
  containers: Set<ContainerView>;
  groups: Map<string, number>;
  cores: number;
  kinds: string; // images, as text: when they change, so do the kinds of what waits here
}

interface OwnPlaces extends GroupPlaces {
  all: Set<ContainerView>;
  parked: Set<ContainerView>;
}

/** Where a container has been put, to take it out again. */
interface Entry {
  place: Place;
  group: string;
  kinds: string[];
  reserve: Amount;
  ends: boolean;
}

export function createPoolIndex(): PoolIndex {
  const nodes = new Map<string, Place>();
  const ring: Place[] = [];
  const places = new Map<string, OwnPlaces>();
  const generic = new Map<string, Map<NodePlace, Set<ContainerView>>>();
  const ending = new Set<ContainerView>();
  const [tight, short] = [new Set<Place>(), new Set<Place>()];
  const entries = new Map<ContainerView, Entry>();
  const dirty = new Set<ContainerView>(); // changed since they were put in their places
  const emptied = new Set<string>(); // groups, perhaps
  const gone = new WeakSet<ContainerView>();
  let cores = 0;

  function takeOut(container: ContainerView): void {
    const entry = entries.get(container);
    if (!entry) return;
    entries.delete(container);
    const { place, group, kinds, reserve, ends } = entry;
    place.containers.delete(container);
    ending.delete(container);
    for (const kind of kinds) {
      const onNodes = generic.get(kind)!;
      const here = onNodes.get(place)!;
      here.delete(container);
      if (here.size === 0) onNodes.delete(place);
      if (onNodes.size === 0) generic.delete(kind);
    }
    if (group === "") return;
    add(place, reserve, -1);
    if (ends) add(place.ending, reserve, -1);
    else countGroup(place, group, -1);
    const own = places.get(group);
    if (!own) return;
    own.all.delete(container);
    own.parked.delete(container);
    own.idle.remove(container);
    if (own.all.size + own.parked.size === 0) emptied.add(group);
  }

  /** Not at once: what is taken out is mostly put in again. */
  function forgetEmpty(): void {
    for (const group of emptied) {
      const own = places.get(group);
      if (own && own.all.size + own.parked.size === 0) places.delete(group);
    }
    emptied.clear();
  }

  function putIn(container: ContainerView, place: Place): void {
    const { group, state } = container;
    const ends = state === "stopping";
    const entry: Entry = { place, group, kinds: [], reserve: reserveOf(container.classKey), ends };
    entries.set(container, entry);
    place.containers.add(container);
    if (ends) ending.add(container);
    if (group === "") {
      if (state === "warm" && container.inFlight === 0 && place.position >= 0) entry.kinds = standBy(container, place);
      return;
    }
    add(place, entry.reserve, 1);
    if (ends) add(place.ending, entry.reserve, 1);
    else countGroup(place, group, 1);
    if (container.shell !== "" || (state !== "warm" && state !== "specialised")) return;
    const own = places.get(group) ?? { all: new Set(), idle: createRecency(), parked: new Set() };
    places.set(group, own);
    if (place.position < 0) own.parked.add(container);
    else {
      own.all.add(container);
      if (container.inFlight === 0) own.idle.add(container);
    }
  }

  /** Of each image key that its node knows its image by. */
  function standBy(container: ContainerView, place: Place): string[] {
    const kinds: string[] = [];
    for (const [imageKey, digest] of place.node.images) {
      if (digest !== container.image) continue;
      const kind = kindKey(imageKey, container.classKey);
      const onNodes = generic.get(kind) ?? new Map<NodePlace, Set<ContainerView>>();
      const here = onNodes.get(place) ?? new Set();
      generic.set(kind, onNodes.set(place, here.add(container)));
      kinds.push(kind);
    }
    return kinds;
  }

  function enter(place: Place): void {
    place.position = ring.length;
    ring.push(place);
  }

  function leave(place: Place): void {
    ring.splice(place.position, 1);
    for (let i = place.position; i < ring.length; i++) ring[i]!.position = i;
    place.position = -1;
  }

  function open(node: NodeView): Place {
    const place: Place = {
      ...{ node, containers: new Set(), cpu: 0, memoryBytes: 0, ending: { cpu: 0, memoryBytes: 0 }, count: 0 },
      ...{ groups: new Map(), position: -1, cores: 0, kinds: "" },
    };
    nodes.set(node.name, place);
    return place;
  }

  function weigh(place: Place): void {
    const { memoryBytes, memoryUsedBytes } = place.node;
    mark(tight, place, memoryUsedBytes > memoryBytes * tightShare);
    mark(short, place, memoryUsedBytes > memoryBytes * shortShare);
    const counted = place.position < 0 ? 0 : place.node.cores;
    cores += counted - place.cores;
    place.cores = counted;
  }

  function node(view: NodeView): void {
    let place = nodes.get(view.name);
    if (place && place.node !== view) {
      nodeGone(view.name);
      place = undefined;
    }
    place ??= open(view);
    const kinds = [...view.images].join();
    const turned = place.position >= 0 !== view.schedulable;
    if (turned && view.schedulable) enter(place);
    else if (turned) leave(place);
    weigh(place);
    if (kinds === place.kinds && !turned) return;
    place.kinds = kinds;
    for (const container of place.containers) dirty.add(container);
  }

  function nodeGone(name: string): void {
    const place = nodes.get(name);
    if (!place) return;
    for (const container of place.containers) {
      dirty.delete(container);
      takeOut(container);
    }
    if (place.position >= 0) leave(place);
    cores -= place.cores;
    nodes.delete(name);
    tight.delete(place);
    short.delete(place);
  }

  return {
    current() {
      for (const container of dirty) {
        takeOut(container);
        const place = nodes.get(container.node);
        if (place && !gone.has(container)) putIn(container, place);
      }
      dirty.clear();
      forgetEmpty();
      return { nodes, ring, cores, places, generic, ending, tight, short };
    },
    node,
    nodeGone,
    container: (container) => void dirty.add(container),
    containerGone(container) {
      gone.add(container);
      dirty.delete(container);
      takeOut(container);
    },
  };
}

function add(to: Mutable<Amount>, { cpu, memoryBytes }: Amount, times: 1 | -1): void {
  to.cpu += times * cpu;
  to.memoryBytes += times * memoryBytes;
}

function countGroup(place: Place, group: string, change: 1 | -1): void {
  place.count += change;
  const count = (place.groups.get(group) ?? 0) + change;
  if (count > 0) place.groups.set(group, count);
  else place.groups.delete(group);
}

function mark<T>(set: Set<T>, item: T, is: boolean): void {
  if (is) set.add(item);
  else set.delete(item);
}

/** The whole pool at once, the longest idle containers first. */
export function indexOf(nodes: Iterable<NodeView>, containers: Iterable<ContainerView>): IndexedPool {
  const index = createPoolIndex();
  for (const view of nodes) index.node(view);
  for (const view of [...containers].sort((a, b) => a.idleSinceMs - b.idleSinceMs)) index.container(view);
  return index.current();
}

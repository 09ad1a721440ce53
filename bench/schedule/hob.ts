// ④ hob's own scheduler on simulated machines: the very decide() and index that control uses, with agents that make what they are asked for.

import { type ContainerView, decide, type GroupView, type NodeView, type Plan } from "../../control/scheduler/decide.ts";
import { noteWaiting, ranFor } from "../../control/scheduler/groups.ts";
import { createLane, type Lane } from "../../control/scheduler/lane.ts";
import { createPoolIndex, indexOf } from "../../control/scheduler/pool-index.ts";
import { type Demand, kindKey, type PoolWish, raised } from "../../control/scheduler/pools.ts";
import { createSweep } from "../../control/scheduler/sweep.ts";
import { hostImageKey } from "../../proto/image.ts";
import type { Load, LoadCall, LoadFunction } from "./load.ts";
import { createWorld, type Machine, type Outcome } from "./machines.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface SimContainer extends Mutable<ContainerView> {
  readonly on: SimNode;
  loaded: Set<string>;
  of: LoadFunction | undefined;
}

interface SimNode extends NodeView {
  readonly machine: Machine;
  readonly images: Map<string, string>;
  readonly containers: Set<SimContainer>;
  wishes: readonly PoolWish[];
}

interface SimGroup extends Mutable<GroupView> {
  readonly lanes: readonly Lane<LoadCall>[];
  readonly of: LoadFunction;
}

const containerBytes = 64 * 2 ** 20;
const stopMs = 20;
const tickMs = 5_000;
const surplusMs = 1_000; // agent/warm/policy.ts

interface Decisions {
  /** Of each decision, with bringing the index up to date. */
  decideMs: number[];
  /** Of every so-manieth, had the whole pool been counted anew for it. */
  anewMs: number[];
  containers: number;
}

/** `standing`: containers that are there already, of functions in turn. */
export function simulateHob(load: Load, nodes: number, { standing = 0, anewEvery = Infinity } = {}): Outcome & Decisions {
  const world = createWorld(load, nodes);
  const index = createPoolIndex();
  const sweep = createSweep();
  const demand = new Map<string, Demand>();
  const decideMs: number[] = [];
  const anewMs: number[] = [];
  let serial = 0;
  let alive = 0;
  let finished = 0;
  let wakeAtMs = Number.POSITIVE_INFINITY;

  const keyOf = (image: string): string => (image === "host" ? hostImageKey : image);
  const pool = world.machines.map((machine): SimNode => {
    const images = new Map([[hostImageKey, "host"], ...[...load.images.keys()].map((image): [string, string] => [image, image])]);
    const containers = new Set<SimContainer>();
    const node: SimNode = {
      ...{ name: machine.name, cores: machine.cores, memoryBytes: machine.memoryBytes, schedulable: true, info: { gpus: [] } },
      ...{ machine, images, containers, wishes: [] },
      get memoryUsedBytes() {
        return 2 ** 30 + containers.size * containerBytes;
      },
      localShare: (image) => (machine.images.has(image) ? 1 : 0),
    };
    index.node(node);
    return node;
  });
  const byName = new Map(pool.map((node) => [node.name, node]));
  const groups = new Map(
    load.functions.map((of): [string, SimGroup] => {
      const lanes = [0, 1, 2, 3].map(() => createLane<LoadCall>());
      const scaling = { maxContainers: 0, minContainers: 0, bufferContainers: 0, concurrency: 1, idleTimeoutMs: 0 };
      return [
        of.key,
        {
          ...{ ...scaling, key: of.key, app: of.app, imageKey: keyOf(of.image), classKey: of.classKey, lanes, of },
          ...{ shells: 0, blocked: 0, waitingInputs: 0, callMs: 0, waitingSinceMs: 0, eager: new Set(), newest: of.app },
        },
      ];
    }),
  );

  function create(node: SimNode, image: string, classKey: string): SimContainer {
    const container: SimContainer = {
      ...{ id: `${++serial}`, node: node.name, on: node, image, classKey, state: "starting", group: "", shell: "", inFlight: 0 },
      ...{ idleSinceMs: world.nowMs, memoryBytes: containerBytes, info: { gpus: [] }, loaded: new Set(), loading: new Set() },
      of: undefined,
    };
    node.containers.add(container);
    alive++;
    return container;
  }

  function end(container: SimContainer): void {
    container.on.containers.delete(container);
    alive--;
    index.containerGone(container);
  }

  /** As an agent does: what is lacking is made, a few at a time; what has been too much for a while ends. */
  function fill(node: SimNode): void {
    for (const { image, classKey, warm } of node.wishes) {
      let have = 0;
      for (const one of node.containers) if (one.group === "" && one.image === image && one.classKey === classKey) have++;
      for (let lacking = 0; have < warm; have++, lacking++) {
        const container = create(node, image, classKey);
        const startMs = world.start(node.machine, image) * (1 + Math.floor(lacking / node.cores));
        world.after(startMs, () => {
          container.state = "warm";
          index.container(container);
        });
      }
    }
    world.after(surplusMs, () => trim(node));
  }

  function trim(node: SimNode): void {
    const left = new Map(node.wishes.map(({ image, classKey, warm }) => [kindKey(image, classKey), warm]));
    for (const one of node.containers) {
      if (one.group !== "" || one.state !== "warm") continue;
      const kind = kindKey(one.image, one.classKey);
      const room = left.get(kind) ?? 0;
      if (room > 0) left.set(kind, room - 1);
      else end(one);
    }
  }

  function give(container: SimContainer, group: SimGroup): void {
    if (container.group !== "") return;
    container.group = group.key;
    container.state = "specialised";
    container.of = group.of;
    const kind = kindKey(group.imageKey, group.classKey);
    demand.set(kind, raised(demand.get(kind), world.nowMs));
    fill(container.on);
  }

  function carryOut(plan: Plan): void {
    for (const step of plan.dispatches) {
      const call = step.call as LoadCall;
      const container = step.container as SimContainer;
      const group = groups.get(step.group)!;
      group.lanes[call.person ? 1 : 3]!.remove(call);
      give(container, group);
      container.inFlight++;
      index.container(container);
      const cold = !container.loaded.has(call.snapshot);
      container.loaded.add(call.snapshot);
      world.run(container.on.machine, call, cold, () => {
        container.inFlight--;
        container.idleSinceMs = world.nowMs;
        index.container(container);
        ranFor(group, call.runMs);
        finished++;
      });
    }
    for (const { container: view } of plan.stops) {
      const container = view as SimContainer;
      container.state = "stopping";
      index.container(container);
      world.after(stopMs, () => end(container));
    }
    for (const [name, wishes] of plan.pools) {
      const node = byName.get(name)!;
      if (same(node.wishes, wishes)) continue;
      node.wishes = wishes;
      fill(node);
    }
  }

  function wake(delayMs: number): void {
    if (delayMs <= 0 || wakeAtMs <= world.nowMs + delayMs) return;
    wakeAtMs = world.nowMs + delayMs;
    world.after(delayMs, () => {
      wakeAtMs = Number.POSITIVE_INFINITY;
    });
  }

  function settle(): void {
    if (finished === load.calls.length) return;
    const nowMs = world.nowMs + 1; // 0 says never
    const began = performance.now();
    const view = index.current();
    const plan = decide({ ...view, groups, demand, sweep: sweep.next(view.nodes, nowMs) }, nowMs);
    decideMs.push(performance.now() - began);
    if (decideMs.length % anewEvery === 0) anewMs.push(countedAnew(nowMs));
    noteWaiting(groups.values(), plan, nowMs);
    carryOut(plan);
    wake(sweep.owesMs || (plan.againMs ?? nowMs) - nowMs);
  }

  function countedAnew(nowMs: number): number {
    const containers = pool.flatMap((node) => [...node.containers]);
    const began = performance.now();
    decide({ ...indexOf(pool, containers), groups, demand }, nowMs);
    return performance.now() - began;
  }

  for (let n = 0; n < standing; n++) {
    const group = groups.get(load.functions[n % load.functions.length]!.key)!;
    const container = create(pool[n % pool.length]!, group.of.image, group.classKey);
    Object.assign(container, { state: "specialised", group: group.key, of: group.of, loaded: new Set([group.newest]) });
    index.container(container);
  }
  for (const call of load.calls) {
    world.after(call.atMs, () => groups.get(call.of.key)!.lanes[call.person ? 1 : 3]!.push(call));
  }
  const tick = (): void => {
    if (finished < load.calls.length) world.after(tickMs, tick);
  };
  tick();
  world.play(settle);
  return { ...world.outcome, decideMs, anewMs, containers: alive };
}

const same = (a: readonly PoolWish[], b: readonly PoolWish[]): boolean =>
  a.length === b.length &&
  a.every((one, n) => {
    const other = b[n]!;
    return (
      one.warm === other.warm && one.reserve === other.reserve && one.image === other.image && one.classKey === other.classKey
    );
  });

// ④ Carries plans out: what decide() wants becomes messages to nodes, and what the nodes answer becomes the next state.

import type { Clock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { baseOf } from "../../proto/app-name.ts";
import type { Load, LoadFinished } from "../../proto/gen/hob/v1/agents.ts";
import type { Failure, Patch, Version } from "../../proto/gen/hob/v1/common.ts";
import type { Call } from "../call.ts";
import type { Calls } from "../calls.ts";
import { isPersons } from "../inspections.ts";
import { isTicket, type Ticket, type Work } from "../maps/map.ts";
import type { Maps } from "../maps/maps.ts";
import type { Container, Node, Nodes } from "../nodes.ts";
import type { Way } from "../publishes.ts";
import type { Registry } from "../registry.ts";
import { MissingSecret } from "../secrets.ts";
import type { Snapshots } from "../snapshots.ts";
import type { Turn } from "../turn.ts";
import { decide, type Plan } from "./decide.ts";
import { unservable } from "./gpus.ts";
import { type Group, type Groups, noteWaiting } from "./groups.ts";
import { classOfKey, type Demand, kindKey, raised } from "./pools.ts";
import { tooLarge } from "./room.ts";
import { createSweep } from "./sweep.ts";
import { unfit } from "./unfit.ts";

/** For calls that control does not know of, and for exit hooks: what it ends is idle. */
const graceMs = 10_000;

interface SchedulerParts {
  turn: Turn;
  nodes: Nodes;
  groups: Groups<Work>;
  registry: Registry;
  snapshots: Snapshots;
  calls: Calls;
  maps: Pick<Maps, "cut" | "impossible" | "snapshotOf">;
  clock: Clock;
  log: Log;
  /** How a publish asked for these functions to be reloaded at this snapshot. */
  wayOf(app: string, snapshot: string, functions: string[]): Way;
  /** Throws for the first that is not set. */
  secretsFor(app: string, names: Iterable<string>): Record<string, string>;
  /** Why nothing can run in the image of that key, until somebody tries again. */
  imageFailure(key: string): Failure | undefined;
  /** These versions cannot be loaded before somebody has done something about it. */
  unloadable(app: string, snapshot: string, versions: Version[], sentence: string): void;
}

/** A load has been answered. */
export interface LoadOutcome {
  app: string;
  group: string;
  versions: Version[];
  tier: string;
  container: Container;
  message: LoadFinished;
}

export interface Scheduler {
  /** Decides and carries out, once. */
  run(): void;
  /** New code with a call, before the publish is recorded: to the container that the call will most likely go to, where the code is one patch of what that has. */
  loadAhead(app: string, versions: readonly Version[], patches: readonly Patch[]): void;
  /** Undefined when nobody asked for that load any more. */
  loadFinished(node: Node, message: LoadFinished): LoadOutcome | undefined;
  /** The container is gone: what was being loaded into it alone is wanted elsewhere. */
  containerGone(container: Container): void;
  /** A secret has changed (`app` "": that of every app): containers that may have the former value are replaced. Says how many. */
  secretChanged(app: string, name: string): number;
}

/** What a call brings to one container is loaded into the others after this. */
const laterMs = 20;

const drainMs = 60_000; // what calls that began with the former secret have to finish

export function createScheduler(parts: SchedulerParts): Scheduler {
  const { turn, nodes, groups, registry, snapshots, calls, maps, clock, log } = parts;
  const demand = new Map<string, Demand>();
  const sweep = createSweep();
  let lastLoad = 0;
  let again: NodeJS.Timeout | undefined;

  /** The newest snapshot in the container that a delta can start from. */
  function baseFor(container: Container): string {
    return [...container.loaded].reverse().find((digest) => snapshots.table(digest) !== undefined) ?? "";
  }

  /** The versions whose secrets are all set, with those; throws when there is none. */
  function withSecrets(
    group: Group<Work>,
    snapshot: string,
    versions: Version[],
  ): { served: Version[]; secrets: Load["secrets"] } {
    const served: Version[] = [];
    const secrets: Load["secrets"] = {};
    let lacking: MissingSecret | undefined;
    for (const version of versions) {
      try {
        Object.assign(secrets, parts.secretsFor(group.app, version.spec?.secrets ?? []));
        served.push(version);
      } catch (error) {
        if (!(error instanceof MissingSecret)) throw error;
        lacking ??= error;
        parts.unloadable(group.app, snapshot, [version], error.sentence);
      }
    }
    if (served.length === 0 && lacking) throw lacking;
    return { served, secrets };
  }

  function loadMessage(group: Group<Work>, container: Container, snapshot: string, extra: Version[]): Load {
    const wanted = group.versions.filter((version) => version.snapshot === snapshot);
    for (const version of extra) if (!wanted.some((other) => other.function === version.function)) wanted.push(version);
    const { served, secrets } = withSecrets(group, snapshot, wanted);
    const functions = served.map((version) => version.function);
    const { tier, patches } = parts.wayOf(group.app, snapshot, functions);
    // Where the base has never been, there is nothing to patch: the runner says so, and forks.
    const possible = patches.filter(({ base }) => container.loaded.has(base) || container.loading.has(base));
    const bundles = [...served, ...possible].flatMap(({ bundle }) => {
      const data = bundle ? snapshots.content(bundle) : undefined;
      return data ? [{ digest: bundle, data }] : [];
    });
    const used = registry.snapshotsInUse(group.app);
    for (const id of container.calls.keys()) used.add(calls.active(id)?.snapshot ?? maps.snapshotOf(id) ?? "");
    const fresh = container.app === "";
    return {
      id: ++lastLoad,
      container: container.id,
      app: group.app,
      snapshot: snapshots.delta(fresh ? "" : baseFor(container), snapshot),
      versions: served,
      bundles: bundles.filter(({ digest }, index) => bundles.findIndex((other) => other.digest === digest) === index),
      tier: fresh ? "container" : tier,
      retire: [...container.loaded].filter((digest) => digest !== snapshot && !used.has(digest)),
      patches: possible,
      secrets,
      called: false,
    };
  }

  function loadInto(group: Group<Work>, container: Container, snapshot: string, extra: Version[]): Load {
    const pending = container.loading.get(snapshot);
    if (pending) return pending.message;
    const message = loadMessage(group, container, snapshot, extra);
    container.loading.set(snapshot, { message, group: group.key, sentAtMs: clock.now() });
    for (const retired of message.retire) container.loaded.delete(retired); // once told, not with every load until the next sample
    if (container.app === "") {
      const kind = kindKey(group.imageKey, group.classKey);
      demand.set(kind, raised(demand.get(kind), clock.now()));
    }
    container.group = group.key;
    container.app = group.app;
    container.state = "specialised";
    return message;
  }

  function dispatch(call: Call, group: Group<Work>, container: Container): void {
    const version = call.version!;
    parts.secretsFor(group.app, version.spec?.secrets ?? []); // one may have been removed since its code was loaded
    const there = container.loaded.has(call.snapshot) || container.loading.get(call.snapshot)?.ahead;
    const load = there ? undefined : loadInto(group, container, call.snapshot, [version]);
    calls.dispatched(call, container);
    const { id, info, exchange } = call;
    const timeoutMs = version.spec!.timeoutMs;
    const { attempt, app, arguments: given } = info;
    turn.toNode(() =>
      container.owner.send({
        $case: "dispatch",
        value: {
          ...{ call: id, attempt, container: container.id, app, version, timeoutMs, load, keepFrames: isPersons(info) },
          ...(exchange ? { arguments: undefined, request: exchange.request } : { arguments: given }),
        },
      }),
    );
  }

  /**
   * Half of a save's way to its result is what control does about the publish, and the container's own work on the code needs none of it: so that
   * begins now. Code is no promise to anybody. Should control end before it has recorded the publish, the process has code that nobody asks
   * for, and what it had before is loaded again where it is called.
   */
  function loadAhead(app: string, versions: readonly Version[], patches: readonly Patch[]): void {
    const [patch, another] = patches;
    const first = versions[0];
    if (!patch || !first || another || versions.length !== patch.functions.length) return;
    const group = groups.of(app, first);
    if (versions.some((version) => groups.of(app, version) !== group)) return;
    for (const view of nodes.indexed().places.get(group.key)?.idle.newest() ?? []) {
      const container = view as Container;
      if (!container.loaded.has(patch.base) || container.loaded.has(first.snapshot) || container.loading.size > 0) continue;
      guarded(
        () => {
          const message = loadInto(group, container, first.snapshot, []);
          container.loading.get(first.snapshot)!.ahead = true;
          container.owner.send({ $case: "load", value: { ...message, called: true } }, true);
        },
        () => {}, // whoever places the call meets it again, and tells
      );
      return;
    }
  }

  function dispatchInputs(ticket: Ticket, group: Group<Work>, container: Container): void {
    const { version } = ticket.map;
    parts.secretsFor(group.app, version.spec?.secrets ?? []);
    const load = container.loaded.has(ticket.snapshot) ? undefined : loadInto(group, container, ticket.snapshot, [version]);
    const batch = maps.cut(ticket, container);
    if (batch) turn.toNode(() => container.owner.send({ $case: "inputs", value: { ...batch, load } }));
    else if (load) turn.toNode(() => container.owner.send({ $case: "load", value: load }));
  }

  function impossible(work: Work, sentence: string, kind: "load" | "infrastructure"): void {
    if (isTicket(work)) maps.impossible(work, sentence, kind);
    else calls.impossible(work, sentence, kind);
  }

  /** A snapshot that cannot be read any more ends what needs it, with a sentence, and nothing else. */
  function guarded(step: () => void, impossible: (error: HobError) => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      log.error({ error: error.sentence }, "placing failed");
      impossible(error);
    }
  }

  function load(group: Group<Work>, container: Container, snapshot: string): void {
    const message = loadInto(group, container, snapshot, []);
    turn.toNode(() => container.owner.send({ $case: "load", value: message }));
  }

  function run(): void {
    for (const group of groups.all.values()) refuseHopeless(group);
    const nowMs = clock.now();
    const pool = nodes.indexed();
    const plan = decide({ ...pool, groups: groups.all, demand, sweep: sweep.next(pool.nodes, nowMs) }, nowMs);
    noteWaiting(groups.all.values(), plan, nowMs);
    // The decision answers with the very objects that it was given.
    for (const step of plan.dispatches) {
      const work = step.call as Work;
      const group = groups.all.get(step.group)!;
      const container = step.container as Container;
      guarded(
        () => (isTicket(work) ? dispatchInputs(work, group, container) : dispatch(work, group, container)),
        (error) => impossible(work, error.sentence, error instanceof MissingSecret ? "load" : "infrastructure"),
      );
    }
    for (const { group: key, snapshot, container } of plan.loads) {
      const group = groups.all.get(key)!;
      guarded(
        () => load(group, container as Container, snapshot),
        () => group.eager.delete(snapshot),
      );
    }
    if (plan.later.length > 0) setTimeout(() => loadElsewhere(plan.later), laterMs).unref();
    for (const { container: view, reason } of plan.stops) {
      const container = view as Container;
      container.state = "stopping";
      turn.toNode(() => container.owner.send({ $case: "stop", value: { container: container.id, reason, graceMs } }));
    }
    for (const [name, wishes] of plan.pools) {
      const node = nodes.all.get(name)!;
      const text = JSON.stringify(wishes);
      if (text === node.pools || (wishes.length === 0 && node.schedulable)) continue;
      node.pools = text;
      const pools = wishes.map(({ classKey, ...wish }) => ({ ...wish, resourceClass: classOfKey(classKey) }));
      turn.toNode(() => node.send({ $case: "pools", value: { pools } }));
    }
    forgetPlaced();
    const dueMs = sweep.owesMs || (plan.againMs ?? nowMs) - nowMs;
    if (dueMs > 0 && !again) again = setTimeout(lookAgain, dueMs).unref();
  }

  function loadElsewhere(later: Plan["later"]): void {
    for (const { group: key, snapshot } of later) {
      const group = groups.all.get(key);
      if (group?.versions.some((version) => version.snapshot === snapshot)) group.eager.add(snapshot);
    }
    turn.wake();
  }

  function lookAgain(): void {
    again = undefined;
    turn.wake();
  }

  /** What needs an image that could not be built or lacks its language, or more than any node has, would wait for ever. */
  function hopeless(group: Group<Work>): { sentence: string; kind: "load" | "infrastructure" } | undefined {
    const failure = parts.imageFailure(group.imageKey);
    if (failure) return { sentence: failure.message, kind: failure.kind === "infrastructure" ? "infrastructure" : "load" };
    const { gpu, language } = group.resourceClass;
    const lacks = unfit(group.imageKey, language, nodes.all.values());
    if (lacks !== undefined) return { sentence: lacks, kind: "load" };
    const noDevice = gpu === "" ? undefined : unservable(gpu, [...nodes.all.values()]);
    const sentence = noDevice ?? tooLarge(group.classKey, nodes.all.values());
    return sentence === undefined ? undefined : { sentence, kind: "infrastructure" };
  }

  /** Its calls fail, and its code counts as not loadable, with one sentence. */
  function refuseHopeless(group: Group<Work>): void {
    if (group.eager.size === 0 && group.lanes.every(({ size }) => size === 0)) return;
    const why = hopeless(group);
    if (!why) return;
    const { sentence, kind } = why;
    for (const work of group.lanes.flatMap((lane) => [...lane])) impossible(work, sentence, kind);
    for (const snapshot of group.eager) {
      const versions = group.versions.filter((version) => version.snapshot === snapshot);
      parts.unloadable(group.app, snapshot, versions, sentence);
    }
    group.eager.clear();
  }

  function forgetPlaced(): void {
    for (const { key, eager } of groups.all.values()) {
      if (eager.size === 0) continue;
      const own = [...(nodes.indexed().places.get(key)?.all ?? [])];
      for (const snapshot of eager) {
        if (own.some(({ loaded, loading }) => loaded.has(snapshot) || loading.has(snapshot))) eager.delete(snapshot);
      }
    }
  }

  function loadFinished(node: Node, message: LoadFinished): LoadOutcome | undefined {
    const container = node.containers.get(message.container);
    const pending = container?.loading.get(message.snapshot);
    if (!container || !pending) return undefined;
    container.loading.delete(message.snapshot);
    if (!message.failure) {
      container.loaded.delete(message.snapshot); // so that the newest is last
      container.loaded.add(message.snapshot);
    }
    turn.wake();
    const { app, versions, tier } = pending.message;
    return { app, group: pending.group, versions, tier: message.tier || tier, container, message };
  }

  function secretChanged(app: string, name: string): number {
    let replaced = 0;
    for (const group of groups.all.values()) {
      if (app !== "" && baseOf(group.app) !== app) continue;
      if (!group.versions.some(({ spec }) => spec?.secrets.includes(name))) continue;
      if (group.newest) group.eager.add(group.newest);
      for (const container of nodes.containers()) {
        if (container.group !== group.key || container.state !== "specialised") continue;
        container.state = "stopping";
        replaced++;
        const reason = `secret ${name} has changed`;
        turn.toNode(() => container.owner.send({ $case: "stop", value: { container: container.id, reason, graceMs: drainMs } }));
      }
    }
    turn.wake();
    return replaced;
  }

  return {
    run,
    loadAhead,
    loadFinished,
    secretChanged,
    containerGone(container) {
      for (const [snapshot, { group: key }] of container.loading) {
        const group = groups.all.get(key);
        if (group?.versions.some((version) => version.snapshot === snapshot)) group.eager.add(snapshot);
      }
      turn.wake();
    },
  };
}

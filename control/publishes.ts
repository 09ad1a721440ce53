// ④ A publish from its arrival to its Reloaded: checked, recorded, answered, loaded, and its calls started.

import { HobError, sentenceOf } from "../base/errors.ts";
import { Failure, type Patch, type Version } from "../proto/gen/hob/v1/common.ts";
import { Publish, type Published, Reloaded } from "../proto/gen/hob/v1/registry.ts";
import { hostImageRef, imageKey } from "../proto/image.ts";
import { lossesAllowed } from "./call-states.ts";
import type { Calls } from "./calls.ts";
import { conflictOf } from "./gateway/routes.ts";
import type { Builds } from "./images/builds.ts";
import type { Work } from "./maps/map.ts";
import type { Nodes } from "./nodes.ts";
import type { Registry } from "./registry.ts";
import { type Groups, supportsImage } from "./scheduler/groups.ts";
import type { LoadOutcome } from "./scheduler/scheduler.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Turn } from "./turn.ts";

const languages = new Set(["python", "typescript"]);
const tiers = ["patch", "fork", "container"]; // from the least to the most

/** Whoever published: hears Published at once and Reloaded when the code is in place. */
export interface Publisher {
  published(answer: Published): void;
  reloaded(event: Reloaded): void;
}

interface Tracked {
  id: number;
  app: string;
  snapshot: string;
  functions: Set<string>;
  tiers: Map<string, string>;
  patches: Patch[];
  publisher: Publisher;
  /** Loads that failed through no fault of the code. */
  losses: number;
}

/** How functions are to be reloaded: the most that one of them asks for, and the patches of those that need no more. */
export interface Way {
  tier: string;
  patches: Patch[];
}

export interface Publishes {
  take(message: Publish, publisher: Publisher): void;
  /** Versions that were published before, as those of an app that has none yet: put in place before anybody calls them. */
  promote(app: string, versions: Version[], publisher: Publisher): void;
  /** An app has no functions any more; calls under way go on. */
  withdraw(app: string): void;
  wayOf(app: string, snapshot: string, functions: string[]): Way;
  loaded(outcome: LoadOutcome): void;
  /** No container has been tried: what these versions need is not there. They stay current, and load once it is. */
  unloadable(app: string, snapshot: string, versions: Version[], sentence: string): void;
  forget(publisher: Publisher): void;
}

interface PublishesParts {
  turn: Turn;
  snapshots: Snapshots;
  registry: Registry;
  groups: Groups<Work>;
  calls: Calls;
  nodes: Nodes;
  builds: Pick<Builds, "want" | "retain">;
  /** Of scheduler.ts. */
  loadAhead(app: string, versions: readonly Version[], patches: readonly Patch[]): void;
}

function checkVersion(app: string, snapshot: string, version: Version): void {
  const { spec, function: name } = version;
  if (!name || !spec || !version.digest) throw new HobError("usage", "a published version has no name, digest or spec");
  if (version.snapshot !== snapshot) throw new HobError("usage", `function ${name}: its version belongs to another snapshot`);
  if (!languages.has(spec.language)) {
    throw new HobError("usage", `function ${name}: there is no runner for "${spec.language}"`, {
      remedy: "use Python or TypeScript",
    });
  }
  if (!supportsImage(spec.image)) {
    throw new HobError("usage", `function ${name}: no node knows an image "${spec.image?.source}"`, {
      remedy: "use Image.host(), Image.debian(…) or Image.oci(…)",
    });
  }
  if (app.includes("\n") || name.includes("\n")) throw new HobError("usage", `"${app}/${name}" is not a name`);
}

export function createPublishes(parts: PublishesParts): Publishes {
  const { turn, snapshots, registry, groups, calls, nodes, builds } = parts;
  const tracked = new Map<string, Tracked[]>(); // by app; the newest last

  /** Answers the digests that are lacking; throws when it is refused. */
  function record(message: Publish): string[] {
    if (turn.stuck) throw turn.stuck;
    const { app, snapshot, versions, bundles, removed } = message;
    if (!app || !snapshot) throw new HobError("usage", "a publish names no app or no snapshot");
    for (const version of versions) checkVersion(app, snapshot.digest, version);
    checkPaths(message);
    const needed = [...versions, ...message.patches].flatMap(({ bundle }) => (bundle ? [bundle] : []));
    const missing = snapshots.accept(snapshot, bundles, needed);
    if (missing.length > 0) return missing;
    const fresh = registry.publish(app, snapshot.digest, versions, removed);
    for (const { spec } of fresh) if (spec?.image) builds.want(spec.image, { app, credentials: message.credentials });
    builds.retain(app, new Set(registry.current(app).map(({ spec }) => imageKey(spec?.image ?? hostImageRef))));
    groups.update(app, registry.current(app), fresh);
    return [];
  }

  function promote(app: string, versions: Version[], publisher: Publisher): void {
    registry.publish(app, "", versions, []);
    for (const { spec } of versions) if (spec?.image) builds.want(spec.image, { app, credentials: [] });
    groups.update(app, registry.current(app), versions);
    for (const [digest, own] of Map.groupBy(versions, ({ snapshot }) => snapshot)) {
      const message = { id: 0, app, versions: own, changes: [], patches: [], snapshot: { digest } };
      track(Publish.fromPartial(message), publisher);
    }
  }

  function withdraw(app: string): void {
    const names = registry.current(app).map((version) => version.function);
    registry.publish(app, "", [], names);
    builds.retain(app, new Set());
    groups.update(app, [], []);
    tracked.delete(app);
  }

  function checkPaths({ app, versions, removed }: Publish): void {
    if (!versions.some(({ spec }) => spec?.endpoint)) return;
    const replaced = new Set([...removed, ...versions.map((version) => version.function)]);
    const others = registry.current(app).filter((version) => !replaced.has(version.function));
    const conflict = conflictOf(
      app,
      [...others, ...versions].flatMap(({ spec }) => spec ?? []),
    );
    if (conflict) throw new HobError("usage", conflict);
  }

  function track(message: Publish, publisher: Publisher): void {
    const { id, app, versions, changes } = message;
    if (versions.length === 0) return;
    const functions = new Set(versions.map((version) => version.function));
    const list = tracked.get(app) ?? [];
    tracked.set(app, list);
    // What is published again is not waited for any more under the older publish.
    for (const older of list) for (const name of functions) older.functions.delete(name);
    const entry = { id, app, snapshot: message.snapshot!.digest, functions, publisher, losses: 0 };
    const { patches } = message;
    list.push({ ...entry, patches, tiers: new Map(changes.map((change) => [change.function, change.tier])) });
    tracked.set(
      app,
      list.filter((other) => other.functions.size > 0),
    );
  }

  function take(message: Publish, publisher: Publisher): void {
    const answer: Published = {
      id: message.id,
      app: message.app,
      snapshot: message.snapshot?.digest ?? "",
      missing: [],
      failure: undefined,
    };
    try {
      answer.missing = record(message);
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      const kind = error.kind === "usage" || error.kind === "corrupt" ? "load" : "infrastructure";
      answer.failure = Failure.fromPartial({ kind, message: `publishing ${message.app}: ${sentenceOf(error)}` });
    }
    if (answer.failure) {
      publisher.published(answer); // past the commit, which may be what failed
      return;
    }
    turn.toClient(() => publisher.published(answer));
    if (answer.missing.length > 0) return;
    track(message, publisher);
    const isCalled = ({ digest }: Version): boolean => message.calls.some(({ version }) => version === digest);
    if (message.versions.some(isCalled)) parts.loadAhead(message.app, message.versions, message.patches);
    for (const call of message.calls) calls.start({ ...call, app: call.app || message.app });
    turn.wake();
  }

  function wayOf(app: string, snapshot: string, functions: string[]): Way {
    const entry = tracked.get(app)?.findLast((candidate) => candidate.snapshot === snapshot);
    const known = functions.map((name) => tiers.indexOf(entry?.tiers.get(name) ?? "fork"));
    const served = new Set(functions);
    const patches = (entry?.patches ?? []).flatMap((patch) => {
      const mine = patch.functions.filter((name) => served.has(name) && entry!.tiers.get(name) === "patch");
      return mine.length > 0 ? [{ ...patch, functions: mine }] : [];
    });
    return { tier: tiers[Math.max(0, ...known)]!, patches };
  }

  function countLoaded(group: string, snapshot: string): number {
    let count = 0;
    for (const container of nodes.containers()) if (container.group === group && container.loaded.has(snapshot)) count++;
    return count;
  }

  function loaded(outcome: LoadOutcome): void {
    const { app, versions, message, container, group } = outcome;
    const userFailure = message.failure !== undefined && message.failure.kind !== "infrastructure";
    if (!message.failure) registry.loaded(app, versions);
    else if (userFailure && registry.refused(app, versions).length > 0) groups.update(app, registry.current(app), []);
    const names = new Set(versions.map((version) => version.function));
    for (const entry of tracked.get(app) ?? []) {
      if (entry.snapshot !== message.snapshot) continue;
      const functions = [...entry.functions].filter((name) => names.has(name));
      if (functions.length === 0) continue;
      if (message.failure && !userFailure && ++entry.losses <= lossesAllowed) {
        groups.all.get(group)?.eager.add(entry.snapshot); // elsewhere, or there once more
        continue;
      }
      for (const name of functions) entry.functions.delete(name);
      const event: Reloaded = {
        publish: entry.id,
        app,
        functions,
        tier: outcome.tier,
        loadMs: message.ms,
        containers: countLoaded(group, message.snapshot),
        container: container.id,
        node: container.node,
        failure: message.failure,
        reason: message.reason,
      };
      turn.toClient(() => entry.publisher.reloaded(event));
    }
  }

  function unloadable(app: string, snapshot: string, versions: Version[], sentence: string): void {
    const names = new Set(versions.map((version) => version.function));
    for (const entry of tracked.get(app) ?? []) {
      if (entry.snapshot !== snapshot) continue;
      const functions = [...entry.functions].filter((name) => names.delete(name));
      if (functions.length === 0) continue;
      for (const name of functions) entry.functions.delete(name);
      const failure = Failure.fromPartial({ kind: "load", message: sentence });
      const event = { publish: entry.id, app, functions, tier: wayOf(app, snapshot, functions).tier, failure };
      turn.toClient(() => entry.publisher.reloaded(Reloaded.fromPartial(event)));
    }
  }

  return {
    take,
    promote,
    withdraw,
    wayOf,
    loaded,
    unloadable,
    forget(publisher) {
      for (const [app, list] of tracked) {
        for (const entry of list) if (entry.publisher === publisher) entry.publisher = { published() {}, reloaded() {} };
        if (list.every((entry) => entry.functions.size === 0)) tracked.delete(app);
      }
    },
  };
}

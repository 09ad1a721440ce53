// ③ What control has of the project: which versions were published, which of them serve, and what is under way.

import type { Clock } from "../base/clock.ts";
import { isDeployment } from "../proto/app-name.ts";
import type { AppState } from "../proto/gen/hob/v1/calls.ts";
import { type Failure, FunctionSpec, type Version } from "../proto/gen/hob/v1/common.ts";
import type { Reloaded, StartCall } from "../proto/gen/hob/v1/registry.ts";
import { type Changes, type DescribedFunction, functionKey } from "./describe/changes.ts";
import { type Base, patchesOf } from "./describe/patches.ts";
import { createPublisher, type PublisherOptions, type PublishOutcome } from "./publish.ts";
import type { Snapshot } from "./snapshot.ts";

export interface ShippingOptions extends Omit<PublisherOptions, "settled"> {
  clock: Clock;
  /** The call to make with a new version, when its function is pinned. */
  pinnedCall(described: DescribedFunction, receipt: number): StartCall | undefined;
  /** Control has recorded a publish; `receipt` is 0 for one that no save caused. */
  shipped(step: { receipt: number; sentAtMs: number; bytes: number }): void;
  /** `recorded`: control has the versions and they could not be loaded; else it took nothing, and calls that wait for them cannot go. */
  refused(step: { receipt: number; app: string; functions: string[]; failure: Failure; recorded: boolean }): void;
  loaded(step: { receipt: number; sentAtMs: number; reloaded: Reloaded }): void;
  /** Control has an app's present code: calls of it may go. */
  settled(app: string): void;
}

export interface Shipping {
  /** By functionKey: what control was told last. Functions may be changed from this. */
  readonly published: ReadonlyMap<string, DescribedFunction>;
  /** The digest that serves, where that is known. */
  serving(key: string): string | undefined;
  isSettled(app: string): boolean;
  /** One message an app: versions, what they need, and the calls of pinned functions. Apps in `also` get the snapshot in any case. */
  ship(changes: Changes, receipt: number, snapshot: Snapshot, also?: readonly string[]): void;
  /** Keeps the contents of changed files until they have been published. */
  hold(contents: Iterable<readonly [digest: string, data: Buffer]>): void;
  /** A new session: takes what control has as published. Returns the apps that control has this very snapshot of. */
  reconcile(states: readonly AppState[], latest: ReadonlyMap<string, DescribedFunction>, snapshot: Snapshot): Set<string>;
  takePublished: ReturnType<typeof createPublisher>["published"];
  takeReloaded(event: Reloaded): void;
  lost(): void;
}

/** A publish under way: which receipt it belongs to, and what its functions were before. */
interface Sent {
  app: string;
  receipt: number;
  sentAtMs: number;
  before: Map<string, DescribedFunction | undefined>;
  bases: Map<string, Base | undefined>;
  snapshot: string;
}

const heldBytes = 8 << 20;

export function createShipping(options: ShippingOptions): Shipping {
  const { clock } = options;
  const published = new Map<string, DescribedFunction>();
  const serving = new Map<string, string>(); // key → digest
  const bases = new Map<string, Base>(); // by functionKey: what a patch can build on; absent where nothing is known to serve
  const sent = new Map<number, Sent>();
  const underWay = new Map<string, number>(); // by app: publishes that control has not answered
  const held = new Map<string, Buffer>(); // contents by digest
  const settledApps = new Set<string>();
  const refusedApps = new Set<string>(); // a version could not be loaded: control tries again with the next snapshot
  const publisher = createPublisher({ ...options, settled: takeOutcome });

  function ship({ changes, removed }: Changes, receipt: number, snapshot: Snapshot, also: readonly string[] = []): void {
    const touched = [...changes.map(({ after }) => after), ...removed].map(({ spec }) => spec.app);
    for (const app of new Set([...touched, ...refusedApps, ...also])) {
      const mine = changes.filter(({ after }) => after.spec.app === app);
      const gone = removed.filter(({ spec }) => spec.app === app);
      const contents = new Map(held);
      for (const bundle of mine.flatMap(({ after, patch }) => [after.bundle, patch?.bundle]))
        if (bundle) contents.set(bundle.digest, Buffer.from(bundle.data));
      const keys = [...mine.map(({ after }) => functionKey(after)), ...gone.map(functionKey)];
      const before = new Map(keys.map((key) => [key, published.get(key)]));
      const known = new Map(keys.map((key) => [key, bases.get(key)]));
      const entry = { app, receipt, sentAtMs: clock.now(), before, bases: known, snapshot: snapshot.digest };
      const patched = mine.flatMap(({ after, tier, patch: plan }) => {
        const base = tier === "patch" ? bases.get(functionKey(after)) : undefined;
        return base && plan ? [{ name: after.spec.name, language: after.spec.language, base, plan }] : [];
      });
      const concerned = [...mine.map(({ after }) => after), ...gone, ...before.values()];
      const leaving = concerned.flatMap((described) => (described?.keepsState ? [described] : []));
      const stateful = new Set(leaving.map(({ spec }) => spec.language));
      const storing = new Set(leaving.flatMap(({ spec, stores = true }) => (stores ? spec.language : [])));
      const inPlace = new Set(patched.map(({ name }) => name));
      const id = publisher.publish({
        app,
        snapshot,
        versions: mine.map(({ after }) => versionOf(after, snapshot)),
        removed: gone.map(({ spec }) => spec.name),
        changes: mine.map(({ after, tier, reason }) => {
          const { name } = after.spec;
          return { function: name, tier: tier === "patch" && !inPlace.has(name) ? "fork" : tier, reason };
        }),
        patches: patchesOf(patched, stateful, storing),
        calls: mine.flatMap(({ after }) => options.pinnedCall(after, receipt) ?? []),
        contents,
      });
      sent.set(id, entry);
      underWay.set(app, (underWay.get(app) ?? 0) + 1);
      refusedApps.delete(app);
      for (const { after } of mine) {
        const key = functionKey(after);
        set(key, after);
        const home = (inPlace.has(after.spec.name) && bases.get(key)?.home) || snapshot.digest;
        bases.set(key, { snapshot: snapshot.digest, home });
      }
      for (const was of gone) set(functionKey(was), undefined);
    }
  }

  function set(key: string, described: DescribedFunction | undefined): void {
    if (described) {
      published.set(key, described);
      serving.set(key, described.digest);
    } else {
      published.delete(key);
      serving.delete(key);
      bases.delete(key);
    }
  }

  function settle(app: string): void {
    settledApps.add(app);
    options.settled(app);
  }

  function takeOutcome({ id, app, bytesShipped, failure, lost }: PublishOutcome): void {
    const entry = sent.get(id);
    if (!entry) return;
    const { receipt, before, sentAtMs } = entry;
    const others = (underWay.get(app) ?? 1) - 1;
    underWay.set(app, others);
    if (!failure) {
      // A later publish may bring what this one left to it: calls wait for the last.
      if (others === 0) settle(app);
      options.shipped({ receipt, sentAtMs, bytes: bytesShipped });
      if (before.size === 0) sent.delete(id);
      return;
    }
    sent.delete(id);
    if (lost) return; // the next session finds out what control has
    for (const [key, was] of before) {
      set(key, was);
      const base = entry.bases.get(key);
      if (was && base) bases.set(key, base);
    }
    const functions = [...before.keys()].map((key) => key.slice(app.length + 1));
    options.refused({ receipt, app, functions, failure, recorded: false });
  }

  function takeReloaded(reloaded: Reloaded): void {
    const { publish, app, functions, failure } = reloaded;
    const entry = sent.get(publish);
    if (!entry) return;
    const { receipt, before, sentAtMs, snapshot } = entry;
    for (const key of functions.map((name) => `${app}/${name}`)) {
      const base = bases.get(key);
      if (base?.snapshot !== snapshot) continue; // a later publish has its own word
      if (failure)
        bases.delete(key); // what serves is older than what the next change is told from
      else if (reloaded.tier !== "patch") bases.set(key, { snapshot, home: snapshot });
    }
    if (failure) {
      refusedApps.add(app);
      for (const name of functions) {
        const was = before.get(`${app}/${name}`);
        if (was) serving.set(`${app}/${name}`, was.digest);
      }
      options.refused({ receipt, app, functions, failure, recorded: true });
    } else options.loaded({ receipt, sentAtMs, reloaded });
    for (const name of functions) before.delete(`${app}/${name}`);
    if (before.size === 0) sent.delete(publish);
  }

  function reconcile(
    states: readonly AppState[],
    latest: ReadonlyMap<string, DescribedFunction>,
    snapshot: Snapshot,
  ): Set<string> {
    const before = new Map(published);
    const present = new Set<string>();
    published.clear();
    serving.clear();
    bases.clear();
    for (const { app, versions } of states) {
      for (const version of versions) {
        if (version.snapshot === snapshot.digest) present.add(app);
        const key = `${app}/${version.function}`;
        const now = latest.get(key);
        const same = now && (now.held || now.digest === version.digest);
        const known = before.get(key);
        // What its process has loaded is told by the snapshot that it came with.
        const loaded = version.snapshot === snapshot.digest ? now?.loaded : undefined;
        if (same) set(key, known?.digest === version.digest ? { ...now, loaded: known.loaded } : { ...now, loaded });
        else set(key, { ...(known ?? unread(version)), loaded: undefined, digest: version.digest });
        serving.set(key, version.digest);
        bases.set(key, { snapshot: version.snapshot, home: version.snapshot });
      }
    }
    for (const app of present) {
      publisher.acknowledge(app, snapshot);
      settle(app);
    }
    return present;
  }

  return {
    published,
    serving: (key) => serving.get(key),
    isSettled: (app) => settledApps.has(app) || (isDeployment(app) && settledApps.size > 0),
    ship,
    hold(contents) {
      for (const [digest, data] of contents) held.set(digest, data);
      let bytes = 0;
      for (const data of held.values()) bytes += data.length;
      for (const [digest, data] of held) {
        if (bytes <= heldBytes) break;
        held.delete(digest);
        bytes -= data.length;
      }
    },
    reconcile,
    takePublished: publisher.published,
    takeReloaded,
    lost() {
      settledApps.clear();
      publisher.lost();
      sent.clear();
      underWay.clear();
    },
  };
}

/** A version that another client published, or this one in a former life: all that is known of it is its digest and spec. */
function unread({ digest, spec }: Version): DescribedFunction {
  const nothing = { parts: {}, whole: {}, held: false, keepsState: true };
  return { kind: "function", spec: spec ?? FunctionSpec.fromPartial({}), digest, code: "", ...nothing };
}

function versionOf({ spec, digest, bundle, keepsState = false }: DescribedFunction, snapshot: Snapshot): Version {
  return { function: spec.name, digest, snapshot: snapshot.digest, bundle: bundle?.digest ?? "", spec, keepsState };
}

// ④ Which functions exist and which version of each is current. A version that cannot be loaded leaves the last good one serving.

import type { Digest } from "../base/content-folder.ts";
import { Version } from "../proto/gen/hob/v1/common.ts";
import { ListFunctionsResponse, type RegistryServer } from "../proto/gen/hob/v1/registry.ts";
import type { Records } from "./engine/engine.ts";

const versionsKept = 20; // of each function; calls that wait hold their own version besides

interface FunctionState {
  /** What a call without a version runs. */
  current: Version;
  /** The last good one, until `current` has been loaded somewhere. */
  fallback: Version | undefined;
  /** Published after `current`, but it could not be loaded: its next snapshot tries again. */
  refused: Version | undefined;
}

export interface Registry {
  apps(): string[];
  /** Current versions, by function name. */
  current(app: string): Version[];
  /** The version of that digest, or with "" the current one. */
  version(app: string, name: string, digest: Digest): Version | undefined;
  /** The newest version of which the digest begins like that, current or not. */
  versionLike(app: string, name: string, digest: string): Version | undefined;
  /** Former versions of an app that has no functions any more. */
  forget(app: string): void;
  /** Snapshots that a current version comes with, or the last good one of a version not loaded yet. */
  snapshotsInUse(app: string): Set<Digest>;
  /** Records new versions and removals. Returns what is current from now on because of it: the versions given, and refused ones that get another try. */
  publish(app: string, snapshot: Digest, versions: Version[], removed: string[]): Version[];
  /** These versions are in place: what they replaced is needed no more. */
  loaded(app: string, versions: Version[]): void;
  /** These could not be loaded: the last good ones are current again. Returns the functions of which that is so. */
  refused(app: string, versions: Version[]): string[];
}

const keyOf = (app: string, name: string): string => `${app}\n${name}`;

export function createRegistry(records: Records): Registry {
  const apps = new Map<string, Map<string, FunctionState>>();
  const history = new Map<string, Map<Digest, Version>>();

  for (const { key, value } of records.list("version")) {
    const [app, name] = key.split("\n") as [string, string];
    const version = Version.decode(value);
    historyOf(keyOf(app, name)).set(version.digest, version);
  }
  for (const { key, value } of records.list("function")) {
    const [app, name] = key.split("\n") as [string, string];
    const [current, refused] = ListFunctionsResponse.decode(value).versions;
    if (current) functionsOf(app).set(name, { current, fallback: undefined, refused });
  }

  function functionsOf(app: string): Map<string, FunctionState> {
    const functions = apps.get(app) ?? new Map<string, FunctionState>();
    apps.set(app, functions);
    return functions;
  }

  function historyOf(key: string): Map<Digest, Version> {
    const versions = history.get(key) ?? new Map<Digest, Version>();
    history.set(key, versions);
    return versions;
  }

  function record(kind: string, key: string, value: Uint8Array): void {
    records.put(kind, key, value, records.get(kind, key)?.revision ?? 0);
  }

  function saveFunction(app: string, name: string, state: FunctionState): void {
    const versions = state.refused ? [state.current, state.refused] : [state.current];
    record("function", keyOf(app, name), ListFunctionsResponse.encode({ versions }).finish());
  }

  function saveVersion(app: string, version: Version): void {
    const key = keyOf(app, version.function);
    const versions = historyOf(key);
    versions.delete(version.digest); // so that the newest is last
    versions.set(version.digest, version);
    record("version", `${key}\n${version.digest}`, Version.encode(version).finish());
    if (versions.size <= versionsKept) return;
    const oldest = versions.keys().next().value as Digest;
    versions.delete(oldest);
    records.remove("version", `${key}\n${oldest}`);
  }

  function put(app: string, version: Version): void {
    const functions = functionsOf(app);
    const before = functions.get(version.function);
    const state = { current: version, fallback: before?.fallback ?? before?.current, refused: undefined };
    functions.set(version.function, state);
    saveVersion(app, version);
    saveFunction(app, version.function, state);
  }

  function publish(app: string, snapshot: Digest, versions: Version[], removed: string[]): Version[] {
    const given = new Set(versions.map((version) => version.function));
    const functions = functionsOf(app);
    const again: Version[] = [];
    for (const [name, { refused }] of functions) {
      if (refused && !given.has(name) && !removed.includes(name)) again.push({ ...refused, snapshot });
    }
    for (const name of removed) {
      if (functions.delete(name)) records.remove("function", keyOf(app, name));
    }
    const all = [...versions, ...again];
    for (const version of all) put(app, version);
    return all;
  }

  function refused(app: string, versions: Version[]): string[] {
    const names: string[] = [];
    for (const version of versions) {
      const state = apps.get(app)?.get(version.function);
      if (!state?.fallback || state.current.snapshot !== version.snapshot || state.current.digest !== version.digest) continue;
      const next = { current: state.fallback, fallback: undefined, refused: state.current };
      apps.get(app)!.set(version.function, next);
      saveFunction(app, version.function, next);
      names.push(version.function);
    }
    return names;
  }

  return {
    apps: () => [...apps].filter(([, functions]) => functions.size > 0).map(([app]) => app),
    current: (app) => [...(apps.get(app)?.values() ?? [])].map((state) => state.current),
    version(app, name, digest) {
      const current = apps.get(app)?.get(name)?.current;
      return digest && current?.digest !== digest ? history.get(keyOf(app, name))?.get(digest) : current;
    },
    versionLike: (app, name, digest) =>
      [...(history.get(keyOf(app, name))?.values() ?? [])].findLast((version) => version.digest.startsWith(digest)),
    forget(app) {
      for (const [key, versions] of history) {
        if (!key.startsWith(`${app}\n`)) continue;
        for (const digest of versions.keys()) records.remove("version", `${key}\n${digest}`);
        history.delete(key);
      }
      apps.delete(app);
    },
    snapshotsInUse(app) {
      const used = new Set<Digest>();
      for (const { current, fallback } of apps.get(app)?.values() ?? []) {
        used.add(current.snapshot);
        if (fallback) used.add(fallback.snapshot);
      }
      return used;
    },
    publish,
    loaded(app, versions) {
      for (const version of versions) {
        const state = apps.get(app)?.get(version.function);
        if (state?.current.snapshot === version.snapshot && state.current.digest === version.digest) state.fallback = undefined;
      }
    },
    refused,
  };
}

export function registryService(registry: Registry): RegistryServer {
  return {
    listFunctions({ request: { app } }, callback) {
      callback(null, { versions: (app ? [app] : registry.apps()).flatMap((name) => registry.current(name)) });
    },
  };
}

// ② How the process of a function's former version goes on with it: the bodies that have changed since that version was made, if it is no more.

import type { DescribedFunction, PatchFrom } from "./changes.ts";
import { type BodyChange, bodyChanges, type LinkedBundle, loadedBy, patchBundle, ranAtLoad } from "./typescript-link.ts";
import type { ReadModule } from "./typescript-module.ts";
import { evaluatedModules, type Graph, type Reached } from "./typescript-reach.ts";

export interface Patches {
  /** From `before`, the function's version until now; or why a process has to load it anew. */
  from(key: string, file: string, before: DescribedFunction, keepsState: boolean): PatchFrom | string | undefined;
}

/** For one description. `modules`: all that processes may have evaluated. */
export function createPatches(given: {
  graph: Graph;
  baselines: ReadonlyMap<string, ReadonlyMap<string, ReadModule>>;
  modules: readonly string[];
}): Patches {
  const { graph, baselines, modules } = given;
  const made = new Map<string, LinkedBundle>(); // by what they change
  let loaded: Reached | undefined;

  function from(key: string, file: string, before: DescribedFunction, keepsState: boolean): PatchFrom | string | undefined {
    const baseline = baselines.get(key);
    if (!baseline || !before.bundle) return undefined;
    const own = new Set(evaluatedModules(graph, file, true));
    const files = new Map<string, { before: ReadModule; after: ReadModule }>();
    const changes: BodyChange[] = [];
    for (const path of modules) {
      const [was, now] = [baseline.get(path), graph.modules.get(path)!];
      if (was === now) continue;
      const found = was && !was.whole ? bodyChanges(path, was, now) : "a new module";
      loaded ??= loadedBy(graph, modules);
      const why = typeof found === "string" ? found : ranAtLoad(found, loaded);
      if (why !== undefined && own.has(path)) return why;
      if (typeof found === "string" || why !== undefined) continue; // another function's matter: it has a version of its own
      changes.push(...found);
      files.set(path, { before: was!, after: now });
    }
    const name = [...files]
      .map(([path, { before: was }]) => `${path} ${was.source.length} ${was.statements.map(({ hash }) => hash).join()}`)
      .join("\n");
    const bundle = made.get(name) ?? patchBundle(changes, files);
    made.set(name, bundle);
    const keep = keepsState || before.keepsState ? "loaded" : "all";
    return { from: before.digest, fromBundle: before.bundle.digest, keep, units: [], bundle };
  }

  return { from };
}

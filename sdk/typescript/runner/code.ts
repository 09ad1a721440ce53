// ⑥ The versions that this process serves: how they are loaded, patched, looked up, and ended.

import { evaluateBundle } from "./evaluate.ts";
import { failureOf } from "./failures.ts";
import type { Failure, Version } from "./frames.ts";
import { applyPatch, evaluateModule, readLinked, readPatch } from "./modules.ts";

export type Body = (...args: unknown[]) => unknown;
type Instance = Record<string, Body | undefined>;

interface Loaded {
  version: Version;
  found: { callable(): Callable } | { failure: Failure };
}

/** `declared` is what has the parameters. */
export interface Callable {
  body: Body;
  declared: Body;
}

const loaded = new Map<string, Loaded>(); // by version digest
const bundles = new Map<string, Record<string, unknown>>(); // what a bundle for itself exported, by digest
const instances = new Map<unknown, Instance>(); // by class
const functionKey = Symbol.for("hob.function");
const classKey = Symbol.for("hob.class");

/** Evaluates what the versions need; gives the first failure. `texts` by bundle digest. */
export async function loadVersions(
  versions: Version[],
  texts: ReadonlyMap<string, string>,
  folder: string,
): Promise<Failure | undefined> {
  let failure: Failure | undefined;
  for (const version of versions) {
    const found = await load(version, texts.get(version.bundle), folder);
    loaded.set(version.digest, { version, found });
    if ("failure" in found) failure ??= found.failure;
  }
  return failure;
}

async function load(version: Version, text: string | undefined, folder: string): Promise<Loaded["found"]> {
  const { module, qualname } = version;
  if (text === undefined)
    return { failure: { kind: "infrastructure", message: `${qualname}: its bundle is no longer in this container` } };
  const [name = "", method = ""] = qualname.split(".");
  try {
    const linked = readLinked(text);
    const exported = linked
      ? (await evaluateModule(linked, module, folder))[name]
      : plainBundle(version, text, folder, name)["default"];
    if (method) return await methodOf(exported, version, method);
    if (typeof exported !== "function")
      return { failure: { kind: "load", message: `${module} exports no function ${qualname}` } };
    return {
      callable() {
        const body = (Reflect.get(exported, functionKey) ?? exported) as Body;
        return { body, declared: body };
      },
    };
  } catch (error) {
    return { failure: failureOf(error, "load") };
  }
}

/** The methods of a class share a bundle, and so the class. */
function plainBundle({ bundle, module }: Version, text: string, folder: string, name: string): Record<string, unknown> {
  const exported = bundles.get(bundle) ?? evaluateBundle(text, folder, module, name);
  bundles.set(bundle, exported);
  return exported;
}

/** One instance a class and process, made and entered with the first of its methods. */
async function methodOf(exported: unknown, { module, qualname }: Version, method: string): Promise<Loaded["found"]> {
  const type = Object(exported)[classKey] as (new () => Instance) | undefined;
  if (typeof type?.prototype?.[method] !== "function")
    return { failure: { kind: "load", message: `${module} exports no class with a method ${qualname}` } };
  let instance = instances.get(type);
  if (!instance) {
    instance = new type();
    await instance["enter"]?.();
    instances.set(type, instance);
  }
  const entered = instance;
  return { callable: () => ({ body: (...args) => entered[method]?.(...args), declared: entered[method] as Body }) };
}

/** What a call of a version runs. */
export function callableOf(digest: string, name: string): Callable | Failure {
  const found = loaded.get(digest)?.found;
  if (!found) return { kind: "load", message: `${name}: version ${digest.slice(0, 12)} has not been loaded here` };
  return "failure" in found ? found.failure : found.callable();
}

export const concurrencyOf = (digest: string): number => loaded.get(digest)?.version.concurrency || 1;

/** Puts the versions' new code in place of the old, and leaves what else is in the process as it is. Without a text the code is as it was. */
export function patchVersions(versions: Version[], text: string | undefined, folder: string): void {
  if (text !== undefined) {
    const patch = readPatch(text);
    if (!patch) throw new Error("the patch is no longer in this container");
    applyPatch(patch, folder);
  }
  for (const version of versions) {
    for (const [digest, before] of loaded) {
      if (before.version.function !== version.function) continue;
      loaded.delete(digest);
      loaded.set(version.digest, { version, found: before.found });
      break;
    }
  }
}

/** The exit hooks, one after the other; what they throw is printed. */
export async function runExitHooks(): Promise<void> {
  const entered = [...instances.values()];
  instances.clear();
  for (const instance of entered) {
    try {
      await instance["exit"]?.();
    } catch (error) {
      console.error(error);
    }
  }
}

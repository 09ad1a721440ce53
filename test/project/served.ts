// What a project's versions are served from, as the never-stale tests of both languages keep it: which patches a save becomes, and a call's answer.

import { keepOf, type LoadRequest } from "../../agent/runner/runner.ts";
import { type Changes, type DescribedFunction, functionKey } from "../../project/describe/changes.ts";
import { type Base, patchesOf } from "../../project/describe/patches.ts";
import type { Harness } from "../runner/harness.ts";

/** By functionKey. */
export interface Served {
  readonly published: Map<string, DescribedFunction>;
  readonly bases: Map<string, Base>;
}

/** Made and passed on as project/shipping.ts and agent/loads.ts do, but for data that is seen to be stored: here whatever may be counts as that. */
export function patchesFor(language: "python" | "typescript", changes: Changes["changes"], { published, bases }: Served) {
  const patched = changes.flatMap(({ after, tier, patch }) => {
    const base = bases.get(functionKey(after));
    return tier === "patch" && base && patch ? [{ name: after.spec.name, language, base, plan: patch }] : [];
  });
  const concerned = changes.flatMap(({ after }) => [after, published.get(functionKey(after))]);
  const stateful = new Set(concerned.flatMap((each) => (each?.keepsState ? [language] : [])));
  const patches: LoadRequest["patches"] = patchesOf(patched, stateful).map((patch) => ({ ...patch, keep: keepOf(patch.keep) }));
  return { patched, patches };
}

/** The value that the function of app "x" returns, or its failure. */
export function callerOf(harness: Harness, { published, bases }: Served): (name: string) => Promise<unknown> {
  let calls = 0;
  return async (name) => {
    const key = `x/${name}`;
    const ids = { call: `${++calls}`, snapshot: bases.get(key)!.snapshot, version: published.get(key)!.digest, function: name };
    const none = { positional: Buffer.from("[]"), keywords: Buffer.from(""), timeoutMs: 0 };
    const { result, failure } = await harness.runner.call({ ...ids, ...none });
    return result ? JSON.parse(result.json.toString()) : failure;
  };
}

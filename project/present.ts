// ② The project's functions as they are now: what is to serve while the text is at fault, what is shown of them, which one a name means. Pure.

import { HobError } from "../base/errors.ts";
import type { DescribedFunction } from "./describe/changes.ts";
import type { Description } from "./describe/describe.ts";
import type { FunctionView } from "./events.ts";

type Functions = ReadonlyMap<string, DescribedFunction>; // by functionKey

/**
 * What is to serve. A function that is held keeps its version; and while something in the project is at fault, a function that
 * is not there may be one that could not be read, so it stays too.
 */
export function functionsToServe(
  { functions, diagnostics }: Description,
  published: Functions,
  before: Functions,
): Map<string, DescribedFunction> {
  const found = new Map<string, DescribedFunction>();
  for (const [key, described] of functions) {
    if (described.kind !== "function") continue;
    const was = described.held ? (published.get(key) ?? before.get(key)) : undefined;
    found.set(key, was ? { ...was, held: true } : described);
  }
  if (diagnostics.length > 0) for (const [key, was] of published) if (!found.has(key)) found.set(key, { ...was, held: true });
  return found;
}

export const appsIn = (functions: Functions): string[] =>
  [...new Set([...functions.values()].map(({ spec }) => spec.app))].sort();

interface Known {
  /** Digest of the version that serves. */
  serving(key: string): string | undefined;
  pinned(key: string): boolean;
  /** Where endpoints are found; "" while that is not known. */
  gateway: string;
}

export function viewsOf(functions: Functions, { serving, pinned, gateway }: Known): FunctionView[] {
  return [...functions].map(([key, { spec, digest }]) => {
    const url = spec.endpoint && gateway !== "" ? { url: `${gateway}/${spec.app}${spec.endpoint.path}` } : {};
    return { spec, version: serving(key) ?? digest, pinned: pinned(key), ...url };
  });
}

/** Throws a HobError of kind `usage` where there is none. */
export function functionNamed(functions: Functions, app: string, name: string): DescribedFunction {
  const found = functions.get(`${app}/${name}`);
  if (found) return found;
  const known = [...functions.values()].map(({ spec }) => (spec.app === app ? spec.name : `${spec.app}/${spec.name}`));
  const remedy = known.length > 0 ? `there is ${known.slice(0, 8).join(", ")}` : "the project has no functions";
  throw new HobError("usage", `app ${app} has no function ${name}`, { remedy });
}

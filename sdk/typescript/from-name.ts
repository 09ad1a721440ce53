// ② Functions that were deployed, by their names.

import { makeFunction, type RemoteFunction } from "./function.ts";
import type { Apps } from "./index.ts";
import { makeSpec } from "./spec.ts";

export interface FromNameOptions {
  /** A deployment's number, or a version's digest, of which six digits do. Without it what is live when it is called. */
  version?: number | string;
}

type Known<F> = F extends (...args: infer A) => infer R ? RemoteFunction<A, Promise<Awaited<R>>> : never;

/**
 * A function that was deployed. Before the app's first deployment, what was published last. `hob stubs APP` writes the types of an app's functions;
 * others are given here.
 */
export function functionFromName<A extends keyof Apps, N extends keyof Apps[A]>(
  app: A,
  name: N,
  options?: FromNameOptions,
): Known<Apps[A][N]>;
export function functionFromName<A extends unknown[] = unknown[], R = unknown>(
  app: string,
  name: string,
  options?: FromNameOptions,
): RemoteFunction<A, Promise<R>>;
export function functionFromName(
  app: string,
  name: string,
  { version }: FromNameOptions = {},
): RemoteFunction<unknown[], unknown> {
  if (typeof app !== "string" || app.includes("@"))
    throw new TypeError(
      `functionFromName("${app}"): an app's name has no @; write functionFromName("images", "embed", { version: 3 })`,
    );
  const known = version === undefined || (typeof version === "number" ? isNumber(version) : /^[0-9a-f]{6,64}$/.test(version));
  if (!known)
    throw new TypeError(
      `version ${version} is no version; write a deployment's number (version: 3) or a digest (version: "d2f06a")`,
    );
  return makeFunction<unknown[], unknown>(`${app}@${version ?? "live"}`, makeSpec(name, {}), undefined);
}

const isNumber = (version: number): boolean => Number.isInteger(version) && version > 0 && version < 100_000;

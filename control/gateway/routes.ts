// ④ Which function answers a request: paths of endpoints, matched. Pure.

import type { Endpoint, FunctionSpec } from "../../proto/gen/hob/v1/common.ts";

export interface Match {
  spec: FunctionSpec;
  endpoint: Endpoint;
  /** Of the path, decoded. */
  parameters: Record<string, string>;
  /** What of the path stands before `rest`, which is what an app of its own sees. */
  prefix: string;
  rest: string;
}

/** `allowed`: the path is known, and takes these methods. */
export type Found = Match | { allowed: string[] } | undefined;

const standardMethods = ["GET", "POST"];

const isMount = ({ kind }: Endpoint): boolean => kind !== "function";
const segmentsOf = (path: string): string[] => path.split("/").filter((part) => part !== "");
const isParameter = (segment: string): boolean => segment.startsWith("{") && segment.endsWith("}");

const methodsOf = ({ methods, kind }: Endpoint): string[] =>
  methods.length > 0 ? methods : kind === "function" ? standardMethods : [];

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined; // not UTF-8: it matches nothing
  }
}

/** The parameters of a path that fits, else undefined. */
function paramsOf(pattern: string[], given: string[], mount: boolean): Record<string, string> | undefined {
  if (mount ? given.length < pattern.length : given.length !== pattern.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [at, segment] of pattern.entries()) {
    const text = decoded(given[at]!);
    if (text === undefined) return undefined;
    if (isParameter(segment)) parameters[segment.slice(1, -1)] = text;
    else if (segment !== text) return undefined;
  }
  return parameters;
}

/** The more exact comes first: endpoints before mounts, words before parameters, longer mounts before shorter. */
function rank(a: FunctionSpec, b: FunctionSpec): number {
  const [one, other] = [a.endpoint!, b.endpoint!];
  if (isMount(one) !== isMount(other)) return isMount(one) ? 1 : -1;
  const [mine, theirs] = [segmentsOf(one.path), segmentsOf(other.path)];
  if (isMount(one)) return theirs.length - mine.length;
  return mine.filter(isParameter).length - theirs.filter(isParameter).length;
}

/** `path` begins after the app's name: "/hello". */
export function findRoute(specs: readonly FunctionSpec[], app: string, method: string, path: string): Found {
  const given = segmentsOf(path);
  const allowed = new Set<string>();
  for (const spec of specs.filter(({ endpoint }) => endpoint).sort(rank)) {
    const endpoint = spec.endpoint!;
    const mount = isMount(endpoint);
    const parameters = paramsOf(segmentsOf(endpoint.path), given, mount);
    if (!parameters) continue;
    const methods = methodsOf(endpoint);
    const takes = methods.length === 0 || methods.includes(method) || (method === "HEAD" && methods.includes("GET"));
    if (!takes) {
      for (const each of methods) allowed.add(each);
      continue;
    }
    const depth = mount ? segmentsOf(endpoint.path).length : 0;
    const prefix = `/${app}${segmentsOf(path)
      .slice(0, depth)
      .map((part) => `/${part}`)
      .join("")}`;
    return { spec, endpoint, parameters, prefix, rest: mount ? path.slice(prefix.length - app.length - 1) || "/" : path };
  }
  return allowed.size > 0 ? { allowed: [...allowed].sort() } : undefined;
}

/** Whether a request could go to either; parameters of paths have names, which do not matter for that. */
function sameShape(a: Endpoint, b: Endpoint): boolean {
  const shape = ({ path }: Endpoint): string =>
    segmentsOf(path)
      .map((part) => (isParameter(part) ? "{}" : part))
      .join("/");
  return isMount(a) === isMount(b) && shape(a) === shape(b);
}

/** Why these functions of an app cannot stand side by side, as a sentence. */
export function conflictOf(app: string, specs: readonly FunctionSpec[]): string | undefined {
  const all = specs.filter(({ endpoint }) => endpoint);
  for (const [at, one] of all.entries()) {
    for (const other of all.slice(at + 1)) {
      const [mine, theirs] = [one.endpoint!, other.endpoint!];
      if (!sameShape(mine, theirs)) continue;
      const [first, second] = [methodsOf(mine), methodsOf(theirs)];
      const both = first.length === 0 || second.length === 0 ? ["every request"] : first.filter((each) => second.includes(each));
      if (both.length === 0) continue;
      return `${one.name} and ${other.name} both answer ${both.join(" and ")} of /${app}${mine.path}: give one of them another path="…" or methods=[…]`;
    }
  }
  return undefined;
}

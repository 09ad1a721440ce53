// ④ Whether a call names a function that exists and arguments that fit it, before anything is placed. Pure.

import type { Arguments, FunctionSpec } from "../proto/gen/hob/v1/common.ts";
import type { Registry } from "./registry.ts";

const checkedBytes = 64 << 10; // larger arguments are left to the runner: parsing them here would hold up others

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Up to three names that could have been meant. */
function nearNames(wanted: string, names: string[]): string[] {
  const limit = Math.max(2, Math.ceil(wanted.length / 3));
  return names
    .map((name) => ({ name, off: name.includes(wanted) ? 1 : distance(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(({ off }) => off <= limit)
    .sort((a, b) => a.off - b.off || (a.name < b.name ? -1 : 1))
    .slice(0, 3)
    .map(({ name }) => name);
}

const listed = (names: string[]): string => (names.length > 8 ? `${names.slice(0, 8).join(", ")}, …` : names.join(", "));

export function unknownSentence(kind: "app" | "function", wanted: string, names: string[], where: string): string {
  const near = nearNames(wanted, names);
  const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : names.length > 0 ? `there is ${listed(names)}` : "";
  return `there is no ${kind} "${wanted}"${where}${hint ? `: ${hint}` : ""}`;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    return undefined; // the caller says what is wrong
  }
}

/** What is wrong with the arguments, as a sentence; undefined when they fit, or when only the runner can tell. */
export function argumentsProblem(spec: FunctionSpec, given: Arguments | undefined): string | undefined {
  const { positional = new Uint8Array(), keywords = new Uint8Array(), large } = given ?? {};
  if (large || positional.byteLength + keywords.byteLength > checkedBytes) return undefined;
  const list = positional.byteLength > 0 ? parse(positional) : [];
  if (!Array.isArray(list)) return `${spec.name}: the positional arguments are not a JSON array`;
  const named = keywords.byteLength > 0 ? parse(keywords) : {};
  if (typeof named !== "object" || named === null || Array.isArray(named)) {
    return `${spec.name}: the keyword arguments are not a JSON object`;
  }
  // JavaScript takes any number of arguments; only Python refuses what does not fit.
  return spec.language === "python" ? fitPython(spec, list.length, Object.keys(named)) : undefined;
}

function fitPython(spec: FunctionSpec, count: number, named: string[]): string | undefined {
  const { name, parameters } = spec;
  const signature = `${name}(${parameters.map((parameter) => parameter.name + (parameter.hasDefault ? "=…" : "")).join(", ")})`;
  const inOrder = parameters.filter(({ kind }) => kind === "positional" || kind === "positional-only");
  const byName = new Set(parameters.filter(({ kind }) => kind === "positional" || kind === "keyword-only").map((p) => p.name));
  const takesMore = parameters.some(({ kind }) => kind === "variadic");
  const takesNames = parameters.some(({ kind }) => kind === "keywords");
  if (count > inOrder.length && !takesMore) {
    return `${signature} takes ${inOrder.length} positional argument${inOrder.length === 1 ? "" : "s"}, but ${count} were given`;
  }
  const filled = new Set(inOrder.slice(0, count).map((parameter) => parameter.name));
  for (const word of named) {
    if (!byName.has(word) && !takesNames) return `${signature} has no parameter "${word}"`;
    if (byName.has(word) && filled.has(word)) return `${signature} got two values for "${word}"`;
    if (byName.has(word)) filled.add(word);
  }
  const lacking = parameters.filter(
    ({ name: parameter, kind, hasDefault }) =>
      !hasDefault && kind !== "variadic" && kind !== "keywords" && !filled.has(parameter),
  );
  return lacking.length > 0 ? `${signature} needs ${lacking.map((parameter) => `"${parameter.name}"`).join(" and ")}` : undefined;
}

/** Why there is no such version: what is not known, and what is near it. */
export function missingSentence(
  registry: Pick<Registry, "apps" | "current">,
  { app, function: name, version }: { app: string; function: string; version: string },
): string {
  const functions = registry.current(app).map((current) => current.function);
  if (functions.length === 0) return unknownSentence("app", app, registry.apps(), "");
  if (!functions.includes(name)) return unknownSentence("function", name, functions, ` in the app "${app}"`);
  return `${name} has no version ${version.slice(0, 12)} any more: call the current one`;
}

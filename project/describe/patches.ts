// ② Whether a process that has loaded a function's former version can be given the new one in place, and with which definitions. Pure.

import type { Patch, PatchedUnit } from "../../proto/gen/hob/v1/common.ts";
import type { DescribedFunction } from "./changes.ts";

/** A definition whose body can be replaced; `line` and `endLine` are 1-based, in the present source, of its first decorator and its last line. */
export interface Unit extends PatchedUnit {
  /** Digests of all but the body, by what it is: "arguments", "default", "decorators" … */
  outline: Readonly<Record<string, string>>;
}

/** What the statements of a module say, by the names that they bind, and its imports. */
export interface ModuleTexts {
  imports: string;
  names: Readonly<Record<string, string>>;
}

export interface LoadedCode {
  /** The project's modules that are imported. */
  modules: readonly string[];
  /** Of the parts "name …": the module, the names in it, and whether calls can change the value. */
  where: Readonly<Record<string, readonly [path: string, names: string, changeable: boolean]>>;
  /** Of the whole project at that moment, by path. */
  texts: ReadonlyMap<string, ModuleTexts>;
}

export interface PatchPlan {
  units: readonly PatchedUnit[];
  /** It reaches values now that it did not before: calls of other functions may have changed those. */
  data: boolean;
  /** TypeScript: what is evaluated in place. */
  bundle?: { digest: string; data: Uint8Array };
}

export type Patching = { kind: "patch"; plan: PatchPlan; reason: string } | { kind: "fork"; reason?: string };

/**
 * A patch takes that each changed part is a definition of which nothing but the body changed and that did not run while the process
 * loaded; and that all else that is reached now has been loaded with the text that it has now.
 */
export function patchBetween(was: DescribedFunction, now: DescribedFunction): Patching {
  if (!now.units) return { kind: "fork" };
  const units: Unit[] = [];
  const names: string[] = [];
  let data = false;
  for (const key of Object.keys({ ...was.parts, ...now.parts }).sort()) {
    if (was.parts[key] === now.parts[key]) continue;
    const before = was.units?.[key];
    const after = now.units[key];
    if (key in was.parts && key in now.parts) {
      const fixed = now.fixed?.[key] ?? was.fixed?.[key];
      if (fixed !== undefined) return { kind: "fork", reason: fixed };
      if (!before || !after) return forkFor(key);
      const differs = Object.keys({ ...before.outline, ...after.outline }).find(
        (what) => before.outline[what] !== after.outline[what],
      );
      if (differs !== undefined) return { kind: "fork", reason: `${differs} of ${after.name} changed` };
      units.push(after);
      names.push(key === "own" ? "" : key.slice("name ".length));
    } else if (!key.startsWith("name ") && !key.startsWith("import ")) return forkFor(key);
    else if (key in now.parts && key.startsWith("name ")) {
      if (!loadedAsNow(was, now, key))
        return { kind: "fork", reason: `reaches ${key.slice("name ".length)}, which was not loaded` };
      if (after) units.push(after);
      else if (placeOf(now, key)?.[2]) data = true;
    }
  }
  if (names.length === 0) return { kind: "fork" };
  const differs = importsDiffer(was, now);
  if (differs !== undefined) return { kind: "fork", reason: differs };
  const others = names.filter(Boolean);
  const reason = names.includes("")
    ? "body changed"
    : `body of ${others.slice(0, 2).join(", ")}${others.length > 2 ? " …" : ""} changed`;
  return { kind: "patch", plan: { units, data }, reason };
}

function forkFor(key: string): Patching {
  const [what, name = ""] = key.split(" ");
  if (what === "name") return { kind: "fork", reason: `reaches ${name}` };
  return what === "code" ? { kind: "fork", reason: `module code of ${name} changed` } : { kind: "fork" };
}

/** A method's is its class's. */
const placeOf = ({ loaded }: DescribedFunction, key: string): LoadedCode["where"][string] | undefined =>
  loaded?.where[key] ?? loaded?.where[key.slice(0, key.lastIndexOf("."))];

function loadedAsNow(was: DescribedFunction, now: DescribedFunction, key: string): boolean {
  const [path, names] = placeOf(now, key) ?? [];
  if (path === undefined || names === undefined || !was.loaded?.modules.includes(path)) return false;
  const text = was.loaded.texts.get(path)?.names[names];
  return text !== undefined && text === now.loaded?.texts.get(path)?.names[names];
}

/**
 * What a process has loaded once it has been patched: of what was not put in place it has the text that it had. A method's text is not told apart from
 * its class's, which stays what it was: what reaches that anew takes a new process.
 */
export function loadedAfter(was: LoadedCode, now: LoadedCode, units: readonly PatchedUnit[]): LoadedCode {
  const texts = new Map(was.texts);
  for (const { path, name } of units) {
    const [before, text] = [texts.get(path), now.texts.get(path)?.names[name]];
    if (before && text !== undefined) texts.set(path, { ...before, names: { ...before.names, [name]: text } });
  }
  return { ...now, texts };
}

function importsDiffer(was: DescribedFunction, now: DescribedFunction): string | undefined {
  if (!was.loaded || !now.loaded) return "what was loaded is not known any more";
  for (const path of now.loaded.modules) {
    if (!was.loaded.modules.includes(path)) return `imports ${path}`;
    if (was.loaded.texts.get(path)?.imports !== now.loaded.texts.get(path)?.imports) return `imports of ${path} changed`;
  }
  return undefined;
}

/** What serves a function now: the snapshot that its version came with, and the one that its process was started with. */
export interface Base {
  snapshot: string;
  home: string;
}

export interface PatchedFunction {
  name: string;
  language: string;
  base: Base;
  plan: PatchPlan;
}

/**
 * One patch for the functions of each process. `stateful`: languages of which a function that the save touches may have left something;
 * `storing`: of which one is seen to store something.
 */
export function patchesOf(
  functions: readonly PatchedFunction[],
  stateful: ReadonlySet<string>,
  storing: ReadonlySet<string> = stateful,
): Patch[] {
  const groups = Map.groupBy(functions, ({ base, language, plan }) =>
    [base.snapshot, base.home, language, plan.bundle?.digest].join(" "),
  );
  return [...groups.values()].map((mine) => {
    const units = new Map<string, PatchedUnit>();
    for (const { path, name, line, endLine } of mine.flatMap(({ plan }) => plan.units))
      units.set(`${path} ${name}`, { path, name, line, endLine });
    const { base, language, plan: first } = mine[0]!;
    const touched = units.size > 0 || first.bundle !== undefined;
    const stored = storing.has(language) || mine.some(({ plan }) => plan.data);
    const left = stored ? "loaded" : stateful.has(language) ? "unsure" : "all";
    return {
      base: base.snapshot,
      functions: mine.map(({ name }) => name),
      keep: touched ? left : "all",
      units: [...units.values()],
      bundle: first.bundle?.digest ?? "",
    };
  });
}

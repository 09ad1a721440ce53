// ⑥ The modules of this process: one registry, so that functions share what a module holds, and code can be put in place in the scope that lives.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Module, SourceTextModule, SyntheticModule } from "node:vm";
import { moveLines, registerScript } from "./evaluate.ts";

/** What project/describe/typescript-link.ts makes of a module and all that it imports. */
export interface LinkedModules {
  /** By path in the project. `imports`: specifier → "project:PATH", "package:INDEX" or "node:NAME"; "hob" is the SDK. */
  modules: Record<string, { code: string; imports: Record<string, string> }>;
  /** The packages as one ES module; `names` by index: what each of them exports here → the name in it. */
  packages: { code: string; names: Record<string, string>[] };
}

/** Texts to be evaluated each in the scope of its module, and where lines of that module lie now: [from, to, by how many lower]. */
export type PatchedModules = Record<string, { code: string[]; lines: [number, number, number][] }>;

const linkedMark = "hob-modules 1\n";
const patchMark = "hob-patch 1\n";

interface Unit {
  module: SourceTextModule;
  imports: Record<string, string>;
  evaluate: ((code: string) => unknown) | undefined;
}

const units = new Map<string, Unit>(); // by path
const natives = new Map<string, Promise<Module>>();
const packages = new Map<string, Promise<SourceTextModule>>(); // by their text
const packagesFile = "node_modules/.hob.mjs";
let projectFolder = "";

export function readLinked(text: string): LinkedModules | undefined {
  return text.startsWith(linkedMark) ? (JSON.parse(text.slice(linkedMark.length)) as LinkedModules) : undefined;
}

/** Evaluates the module `path` of `linked`, and what it imports, where that has not been done in this process. */
export async function evaluateModule(linked: LinkedModules, path: string, folder: string): Promise<Record<string, unknown>> {
  projectFolder = folder;
  const fresh = Object.entries(linked.modules).filter(([name]) => !units.has(name));
  for (const [name, { code, imports }] of fresh) units.set(name, makeUnit(name, code, imports));
  for (const [name] of fresh) {
    const { module, imports } = units.get(name) as Unit;
    const targets = module.moduleRequests.map(({ specifier }) => target(linked, imports[specifier] ?? specifier));
    module.linkRequests(await Promise.all(targets));
  }
  const { module } = units.get(path) as Unit;
  if (module.status === "unlinked") module.instantiate();
  await module.evaluate();
  return module.namespace as Record<string, unknown>;
}

function makeUnit(path: string, code: string, imports: Record<string, string>): Unit {
  const file = join(projectFolder, path);
  registerScript(file, { folder: projectFolder, path });
  const unit: Unit = { module: undefined as unknown as SourceTextModule, imports, evaluate: undefined };
  unit.module = new SourceTextModule(code, {
    identifier: file,
    initializeImportMeta(meta) {
      Object.assign(meta, { url: pathToFileURL(file).href, filename: file, dirname: dirname(file) });
      // The module's last line sets it: what evaluates a text in the module's own scope. It is not for the module's eyes.
      Object.defineProperty(meta, "hobScope", {
        configurable: true,
        set(evaluate: (code: string) => unknown) {
          unit.evaluate = evaluate;
        },
      });
    },
    importModuleDynamically: (async (specifier: string) => {
      const to = imports[specifier];
      if (!to?.startsWith("project:")) return import(specifier);
      const { module } = units.get(to.slice("project:".length)) as Unit;
      if (module.status === "unlinked") module.instantiate();
      await module.evaluate();
      return module;
    }) as never,
  });
  return unit;
}

function target(linked: LinkedModules, to: string): Module | Promise<Module> {
  if (to.startsWith("project:")) return (units.get(to.slice("project:".length)) as Unit).module;
  if (to.startsWith("package:")) return packageModule(linked, Number(to.slice("package:".length)));
  return native(to);
}

export function native(name: string): Promise<Module> {
  const known = natives.get(name) ?? nativeModule(name);
  natives.set(name, known);
  return known;
}

/** A module of Node's own, or the SDK: with what it exports at this moment. */
async function nativeModule(name: string): Promise<Module> {
  const found = (name === "hob" ? await import("../index.ts") : await import(name)) as Record<string, unknown>;
  const made = new SyntheticModule(Object.keys(found), function fill(this: SyntheticModule) {
    for (const [key, value] of Object.entries(found)) this.setExport(key, value);
  });
  await made.link(() => made);
  await made.evaluate();
  return made;
}

/** One of the packages: passes on its names from the module that holds them all. */
async function packageModule({ packages: { code, names } }: LinkedModules, index: number): Promise<Module> {
  const list = Object.entries(names[index] ?? {}).map(([name, inside]) => `${inside} as ${name}`);
  const text = `export { ${list.join(", ")} } from "packages";`;
  const shim = new SourceTextModule(text, { identifier: `${join(projectFolder, packagesFile)}#${index}` });
  let whole = packages.get(code);
  if (!whole) {
    whole = allPackages(code);
    packages.set(code, whole);
  }
  shim.linkRequests([await whole]);
  return shim;
}

async function allPackages(code: string): Promise<SourceTextModule> {
  const file = join(projectFolder, packagesFile);
  const require = createRequire(join(projectFolder, "package.json"));
  registerScript(file, { folder: projectFolder, path: "", text: code });
  const module = new SourceTextModule(code, {
    identifier: file,
    initializeImportMeta: (meta) => Object.assign(meta, { url: pathToFileURL(file).href, hobRequire: require }),
    importModuleDynamically: ((specifier: string) => import(specifier)) as never,
  });
  module.linkRequests(await Promise.all(module.moduleRequests.map(({ specifier }) => native(specifier))));
  return module;
}

export function readPatch(text: string): PatchedModules | undefined {
  return text.startsWith(patchMark) ? (JSON.parse(text.slice(patchMark.length)) as PatchedModules) : undefined;
}

/** Puts new code in place. `folder` holds the sources that it comes from. */
export function applyPatch(patch: PatchedModules, folder: string): void {
  for (const [path, { code, lines }] of Object.entries(patch)) {
    const unit = units.get(path);
    if (!unit) continue; // not evaluated here, so nothing that this process serves needs it
    if (!unit.evaluate) throw new Error(`${path} has not been evaluated to its end`);
    moveLines(path, folder, lines);
    const file = join(folder, path);
    registerScript(file, { folder, path });
    for (const text of code) unit.evaluate(`${text}\n//# sourceURL=${file}`);
  }
}

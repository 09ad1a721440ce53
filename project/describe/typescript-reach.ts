// ② What code of a project reaches: from one definition to another through modules, and what evaluating the modules does. Pure.

import type { ReadModule } from "./typescript-module.ts";
import { dynamicImport, type Names, type Statement } from "./typescript-statements.ts";

/** What an import of a module leads to. */
type Target = { kind: "project"; path: string } | { kind: "package"; path: string } | { kind: "native"; name: string };

export interface Unit {
  file: string;
  index: number; // of the statement
  method: string; // of a class that is declared with app.cls; "" for the statement
}

export interface Reached {
  /** By file, in the order of evaluation, then of the source. */
  statements: { file: string; statement: Statement; methods: string[] }[];
  /** The statement of the first entry. */
  own: Statement | undefined;
  packages: Set<string>;
  natives: Set<string>;
}

export interface Graph {
  modules: ReadonlyMap<string, ReadModule>;
  resolve(file: string, from: string): Target | undefined;
}

/** The project's modules that evaluating `file` evaluates, in order; with `dynamic`, also those that its code imports when it runs. */
export function evaluatedModules({ modules, resolve }: Graph, file: string, dynamic = false): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const enter = (path: string): void => {
    const module = modules.get(path);
    if (seen.has(path) || !module) return;
    seen.add(path);
    for (const from of dynamic ? [...module.requests, ...dynamicImports(module)] : module.requests) {
      const target = resolve(path, from);
      if (target?.kind === "project") enter(target.path);
    }
    order.push(path);
  };
  enter(file);
  return order;
}

export function dynamicImports({ statements }: ReadModule): string[] {
  const mark = dynamicImport("");
  const all = statements.flatMap(({ load, body, methods }) =>
    [load, body, ...methods.values()].flatMap(({ idents }) => [...idents]),
  );
  return all.filter((name) => name.startsWith(mark)).map((name) => name.slice(mark.length));
}

type Found = { at: Unit } | { whole: string } | { package: string } | { native: string } | undefined;

/** What the export `name` of a module is; undefined when it has no such value. */
export function findExport(graph: Graph, file: string, name: string, seen = new Set<string>()): Found {
  const module = graph.modules.get(file);
  if (!module || seen.has(`${file} ${name}`)) return undefined;
  seen.add(`${file} ${name}`);
  const own = module.exports.get(name);
  if (own) return "local" in own ? findLocal(graph, file, own.local, seen) : findImported(graph, file, own, seen);
  if (name === "default") return undefined;
  for (const from of module.stars) {
    const target = graph.resolve(file, from);
    const found = target?.kind === "project" ? findExport(graph, target.path, name, seen) : undefined;
    if (found) return found;
  }
  return undefined;
}

function findImported(graph: Graph, file: string, { from, name }: { from: string; name: string }, seen?: Set<string>): Found {
  const target = graph.resolve(file, from);
  if (target?.kind === "package") return { package: target.path };
  if (target?.kind === "native") return { native: target.name };
  if (!target) return undefined;
  return name === "*" ? { whole: target.path } : findExport(graph, target.path, name, seen);
}

/** What a name stands for at a module's top level. */
export function findLocal(graph: Graph, file: string, name: string, seen?: Set<string>): Found {
  const module = graph.modules.get(file);
  const index = definitionsOf(module).get(name);
  if (index !== undefined) return { at: { file, index, method: "" } };
  const imported = module?.imports.get(name);
  return imported && findImported(graph, file, imported, seen);
}

const definitions = new WeakMap<ReadModule, Map<string, number>>();

function definitionsOf(module: ReadModule | undefined): Map<string, number> {
  if (!module) return new Map();
  let known = definitions.get(module);
  if (!known) {
    known = new Map();
    for (const [index, { defines }] of module.statements.entries()) for (const name of defines) known.set(name, index);
    definitions.set(module, known);
  }
  return known;
}

/** What runs or may run when `entries` are used, and when the modules that `files` names are evaluated. `loading`: only what that runs. */
export function reach(graph: Graph, files: readonly string[], entries: readonly Unit[], loading = false): Reached {
  const seen = new Set<string>();
  const reached = { packages: new Set<string>(), natives: new Set<string>() };
  const order = [...files];
  const found = new Map<string, Map<number, Set<string>>>(); // file → statement → methods
  const properties = new Set<string>();
  const classes: Unit[] = [];
  let escapes = false;
  const queue: Unit[] = [...entries];

  const statementOf = ({ file, index }: Unit): Statement => graph.modules.get(file)!.statements[index]!;

  function evaluates(file: string): void {
    for (const path of evaluatedModules(graph, file)) {
      if (!order.includes(path)) order.push(path);
      startModule(path);
    }
  }

  function startModule(file: string): void {
    if (seen.has(`module ${file}`)) return;
    seen.add(`module ${file}`);
    for (const [index, { acts, load, options }] of graph.modules.get(file)!.statements.entries()) {
      if (acts) queue.push({ file, index, method: "" });
      // A definition is evaluated with its module: what it names then has been used, though its body has not run.
      else if (loading) follow(file, load);
      if (loading) follow(file, options);
    }
  }

  function follow(file: string, names: Names): void {
    for (const name of names.idents) {
      if (name.startsWith(dynamicImport(""))) {
        const target = graph.resolve(file, name.slice(dynamicImport("").length));
        if (target?.kind === "project") {
          evaluates(target.path);
          takeWhole(target.path);
        }
      } else take(findLocal(graph, file, name));
    }
    for (const name of names.properties) properties.add(name);
  }

  function take(target: Found): void {
    if (!target) return;
    if ("at" in target) queue.push(target.at);
    else if ("whole" in target) takeWhole(target.whole);
    else if ("package" in target) reached.packages.add(target.package);
    else reached.natives.add(target.native);
  }

  function takeWhole(file: string): void {
    const module = graph.modules.get(file);
    if (!module || seen.has(`whole ${file}`)) return;
    seen.add(`whole ${file}`);
    for (const index of module.statements.keys()) queue.push({ file, index, method: "" });
    for (const each of module.exports.values()) if (!("local" in each)) take(findImported(graph, file, each));
    for (const from of module.stars) {
      const target = graph.resolve(file, from);
      if (target?.kind === "project") takeWhole(target.path);
    }
  }

  function enter(unit: Unit): void {
    const key = `${unit.file} ${unit.index} ${unit.method}`;
    if (seen.has(key)) return;
    seen.add(key);
    const statement = statementOf(unit);
    const inFile = found.get(unit.file) ?? new Map<number, Set<string>>();
    found.set(unit.file, inFile);
    const methods = inFile.get(unit.index) ?? new Set<string>();
    inFile.set(unit.index, methods);
    if (unit.method) {
      methods.add(unit.method);
      const method = statement.methods.get(unit.method)!;
      follow(unit.file, method);
      escapes ||= method.escapes;
      enter({ ...unit, method: "" });
      return;
    }
    follow(unit.file, statement.load);
    follow(unit.file, statement.body);
    if (statement.methods.size > 0) {
      classes.push(unit);
      for (const life of ["enter", "exit"]) if (statement.methods.has(life)) queue.push({ ...unit, method: life });
    }
  }

  for (const file of files) startModule(file);
  for (let unit = queue.pop(); unit; unit = queue.pop()) {
    enter(unit);
    if (queue.length > 0) continue;
    for (const type of classes) {
      for (const method of statementOf(type).methods.keys()) {
        if ((escapes || properties.has(method)) && !seen.has(`${type.file} ${type.index} ${method}`))
          queue.push({ ...type, method });
      }
    }
  }
  const statements = order.flatMap((file) =>
    [...(found.get(file) ?? [])]
      .sort(([left], [right]) => left - right)
      .map(([index, methods]) => ({ file, statement: statementOf({ file, index, method: "" }), methods: [...methods].sort() })),
  );
  const own = entries[0] && statementOf(entries[0]);
  return { statements, own, ...reached };
}

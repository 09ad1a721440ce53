// ② From modules to what travels: a blob with all that a file's functions evaluate, and for an edit of bodies the new code alone. Pure.

import { type Digest, sha256 } from "../../base/content-folder.ts";
import { isPackage, type ReadModule, wholePackage } from "./typescript-module.ts";
import type { Packages } from "./typescript-packages.ts";
import { dynamicImports, evaluatedModules, findExport, type Graph, type Reached, reach, type Unit } from "./typescript-reach.ts";
import type { Place, Statement } from "./typescript-statements.ts";
import { stripTypes } from "./typescript-strip.ts";

/** Why what `file` declares can only be a bundle for itself; "" when it need not. */
export function wholeReason(graph: Graph, file: string): string {
  for (const path of evaluatedModules(graph, file, true)) {
    const module = graph.modules.get(path)!;
    if (module.whole) return `${path}: ${module.whole}`;
    const dynamic = dynamicImports(module);
    for (const from of [...module.requests, ...dynamic]) {
      const target = graph.resolve(path, from);
      if (!target) return `${path} imports ${from}`;
      if (target.kind !== "package") continue;
      const passesOn = [...module.exports.values()].some((each) => "from" in each && each.from === from && each.name === "*");
      if (module.stars.includes(from) || passesOn || dynamic.includes(from) || !isPackage(from))
        return `${path} passes ${from} on`;
    }
    // A type that is imported or exported without the word looks like a value, and evaluating it would fail.
    for (const [name, target] of module.exports) {
      if ("from" in target && target.name === "*") continue;
      if (!findExport(graph, path, name)) return `${path} exports ${name}`;
    }
    for (const { from, name } of module.imports.values()) {
      const target = graph.resolve(path, from);
      if (name !== "*" && target?.kind === "project" && !findExport(graph, target.path, name)) return `${path} imports ${name}`;
    }
  }
  return "";
}

/** The names that the modules import of each package, by its path. */
export function wantedPackages(graph: Graph, files: Iterable<string>): Map<string, Set<string>> {
  const wanted = new Map<string, Set<string>>();
  for (const file of files) {
    for (const path of evaluatedModules(graph, file, true)) {
      const module = graph.modules.get(path)!;
      const named = [
        ...module.imports.values(),
        ...[...module.exports.values()].flatMap((each) => ("local" in each ? [] : [each])),
      ];
      for (const from of module.requests) {
        const target = graph.resolve(path, from);
        if (target?.kind === "package") wanted.set(target.path, wanted.get(target.path) ?? new Set());
      }
      for (const { from, name } of named) {
        const target = graph.resolve(path, from);
        if (target?.kind === "package") wanted.get(target.path)?.add(name === "*" ? wholePackage : name);
      }
    }
  }
  return wanted;
}

export interface LinkedBundle {
  data: Buffer;
  digest: Digest;
}

/** As sdk/typescript/runner/modules.ts reads it. */
export function linkedBundle(graph: Graph, file: string, packages: Packages): LinkedBundle {
  const modules: Record<string, { code: string; imports: Record<string, string> }> = {};
  const used = new Map<string, number>(); // package → index
  for (const path of evaluatedModules(graph, file, true)) {
    const module = graph.modules.get(path)!;
    const imports: Record<string, string> = {};
    for (const from of [...module.requests, ...dynamicImports(module)]) {
      const target = graph.resolve(path, from)!;
      if (target.kind === "native") imports[from] = target.name;
      else if (target.kind === "project") imports[from] = `project:${target.path}`;
      else {
        const index = used.get(target.path) ?? used.size;
        used.set(target.path, index);
        imports[from] = `package:${index}`;
      }
    }
    modules[path] = { code: module.code!, imports };
  }
  const names = [...used.keys()].map((path) => packages.names.get(path) ?? {});
  const content = { modules, packages: { code: used.size > 0 ? packages.code : "", names } };
  const data = Buffer.from(`hob-modules 1\n${JSON.stringify(content)}`);
  return { data, digest: sha256(data) };
}

/** What an edit of bodies has changed. */
export interface BodyChange {
  file: string;
  name: string;
  /** Of a class: the changed ones. */
  methods: string[];
  place: Place;
}

/** The changed bodies from one reading of a module to the next; the reason when more than bodies has changed. */
export function bodyChanges(file: string, before: ReadModule, after: ReadModule): BodyChange[] | string {
  const outline = ({ imports, exports, stars, requests }: ReadModule): string =>
    JSON.stringify([[...imports], [...exports].filter(([, target]) => "from" in target || target.local !== ""), stars, requests]);
  if (outline(before) !== outline(after) || before.statements.length !== after.statements.length)
    return `module code of ${file} changed`;
  const changes: BodyChange[] = [];
  for (const [index, now] of after.statements.entries()) {
    const was = before.statements[index]!;
    const methods = changedMethods(was, now);
    const { place } = now;
    const framed = was.place?.frame === place?.frame && was.declares === now.declares;
    if (was.hash === now.hash && methods.length === 0 && framed) continue;
    const same =
      place && was.place && place.kind === was.place.kind && place.name === was.place.name && place.frame === was.place.frame;
    const named = now.defines[0] ?? `a statement of ${file}`;
    if (!place || !same)
      return place && place.name === was.place?.name ? `more than a body of ${named} changed` : `module code of ${file} changed`;
    if (now.defines.join() !== was.defines.join()) return `module code of ${file} changed`;
    if ([...place.methods.keys()].join() !== [...was.place!.methods.keys()].join()) return `the methods of ${named} changed`;
    if (place.kind === "class" || place.kind === "app class") {
      const differing = [...place.methods].filter(([name, hash]) => was.place!.methods.get(name) !== hash).map(([name]) => name);
      if (differing.includes("enter")) return `${named}.enter changed`;
      changes.push({ file, name: place.name, methods: differing, place });
    } else changes.push({ file, name: place.name, methods: [], place });
  }
  return changes;
}

function changedMethods(was: Statement, now: Statement): string[] {
  const names = new Set([...was.methods.keys(), ...now.methods.keys()]);
  return [...names].filter((name) => was.methods.get(name)?.hash !== now.methods.get(name)?.hash);
}

/** What evaluating the project's modules, and entering its classes, has run or used. */
export function loadedBy(graph: Graph, files: readonly string[]): Reached {
  const classes: Unit[] = files.flatMap((file) =>
    graph.modules.get(file)!.statements.flatMap(({ methods }, index) => (methods.size > 0 ? [{ file, index, method: "" }] : [])),
  );
  return reach(graph, files, classes, true);
}

/** Which of the changes loading depends on. */
export function ranAtLoad(changes: readonly BodyChange[], loaded: Reached): string | undefined {
  for (const { file, name, methods, place } of changes) {
    const at = loaded.statements.find((each) => each.file === file && each.statement.defines.includes(name));
    if (!at) continue;
    if (place.kind === "app class") {
      const run = methods.find((method) => at.methods.includes(method));
      if (run) return `${name}.${run} runs when the class is loaded`;
    } else if (place.kind !== "app function" || at.statement.place?.kind !== "app function")
      return `${name} is used while the module is loaded`;
    else if (loaded.statements.some((other) => other !== at && other.statement.load.idents.has(name)))
      return `${name} is used while the module is loaded`;
  }
  return undefined;
}

/** As sdk/typescript/runner/modules.ts reads it. */
export function patchBundle(
  changes: readonly BodyChange[],
  files: ReadonlyMap<string, { before: ReadModule; after: ReadModule }>,
): LinkedBundle {
  const content: Record<string, { code: string[]; lines: [number, number, number][] }> = {};
  for (const [file, { before, after }] of files) {
    const code = changes.filter((change) => change.file === file).map(({ place }) => placeCode(file, after, place));
    content[file] = { code, lines: movedLines(before, after) };
  }
  const data = Buffer.from(`hob-patch 1\n${JSON.stringify(content)}`);
  return { data, digest: sha256(data) };
}

/** An assignment of the new code, which lies at the lines and columns of the source. */
function placeCode(file: string, { statements, source }: ReadModule, place: Place): string {
  const { start } = statements.find((each) => each.place === place)!;
  const [from, to] = [start + place.start, start + place.end];
  const lines = source.slice(0, from).split("\n");
  const padding = "\n".repeat(lines.length - 1) + " ".repeat(lines.at(-1)!.length);
  const { name, kind } = place;
  // Without its own name: inside, the name then is the module's, which others have too.
  const named = /^((?:async\s+)?(?:function\s*\*?|class)\s+)([\w$]+)/;
  const text = source.slice(from, to);
  const own =
    kind === "function" || kind === "class" ? text.replace(named, (_all, head, id) => head + " ".repeat(id.length)) : text;
  const typed = /\.[cm]?ts$/.test(file);
  const expression = `(${padding}${own}\n)`;
  const code = typed ? stripTypes(expression) : expression;
  if (kind === "app function") return `${name}[Symbol.for("hob.function")]=${code}`;
  if (kind === "function" || kind === "variable") return `${name}=${code}`;
  const target = kind === "class" ? name : `${name}[Symbol.for("hob.class")]`;
  const names = JSON.stringify([...place.methods.keys()]);
  return (
    `(({prototype:to},{prototype:from})=>{for(const name of ${names})` +
    `Object.defineProperty(to,name,Object.getOwnPropertyDescriptor(from,name))})(${target},${code})`
  );
}

/** Where lines of the former source lie now, without those that lie where they were. */
function movedLines(before: ReadModule, after: ReadModule): [number, number, number][] {
  const [old, now] = [lineCounter(before.source), lineCounter(after.source)];
  return before.statements.flatMap(({ start, end }, index) => {
    const by = now(after.statements[index]!.start) - old(start);
    return by === 0 ? [] : [[old(start), old(end), by] satisfies [number, number, number]];
  });
}

/** Line of an offset, 1-based; offsets have to rise. */
function lineCounter(source: string): (offset: number) => number {
  let [line, at] = [1, 0];
  return (offset) => {
    if (offset < at) [line, at] = [1, 0];
    for (let next = source.indexOf("\n", at); next !== -1 && next < offset; next = source.indexOf("\n", at)) {
      line++;
      at = next + 1;
    }
    return line;
  };
}

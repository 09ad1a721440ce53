// ② One module of a project, read: its top-level statements with their facts, what it imports and exports, and the code that a process evaluates. Pure.

import { isBuiltin } from "node:module";
import { type Statement as Node, parseSync } from "oxc-parser";
import { type AnyNode, type Declaration, isNode, isTypes, readStatement, type Statement } from "./typescript-statements.ts";
import { stripTypes } from "./typescript-strip.ts";
import {
  applyEdits,
  calls,
  declarationEdits,
  type Edit,
  type ModuleSyntax,
  mayDeclare,
  parseModule,
} from "./typescript-syntax.ts";

/** `name` "*": the whole module's namespace. */
interface Imported {
  from: string;
  name: string;
}

export interface ReadModule {
  source: string;
  /** When it may declare something, or does not parse. */
  syntax: ModuleSyntax | undefined;
  statements: Statement[];
  imports: Map<string, Imported>; // by local name; without those that only types use
  exports: Map<string, { local: string } | Imported>;
  stars: string[]; // export * from
  /** Every module that evaluating this one evaluates, in order. */
  requests: string[];
  /** What a process evaluates, its lines and columns the source's; undefined when only a bundle will do, and why. */
  code: string | undefined;
  whole: string;
}

const commonJs =
  /\b(?:module\.exports|exports\.\w|require\s*\(|__filename|__dirname)\b|\brequire\s*\(|^\s*(?:import|export)\s+[\w$]*\s*=/m;

/** `before`: the same module as it was read last; statements whose text has not changed are not read again. */
export function readModule(path: string, source: string, before: ReadModule | undefined): ReadModule {
  const parsed = parseSync(path, source);
  const faulty = parsed.errors.length > 0;
  const syntax = mayDeclare(source) || faulty ? parseModule(path, source, parsed) : undefined;
  const body = faulty ? [] : (parsed.program.body as unknown as AnyNode[]);
  const found: ReadModule = { source, syntax, ...namesOf(body), statements: [], code: undefined, whole: "" };
  found.statements = readStatements(body, found, before);
  dropTypeImports(found, path);
  found.whole = faulty ? "it does not parse" : wholeReason(path, source, found);
  if (!found.whole) {
    try {
      found.code = evaluatedCode(source, body, found, /\.[cm]?ts$/.test(path));
    } catch {
      found.whole = "its syntax is more than types (an enum, a namespace, a decorator, a parameter property)";
    }
  }
  return found;
}

function wholeReason(path: string, source: string, { syntax }: ReadModule): string {
  if (/\.(tsx|jsx|cts|cjs)$/.test(path)) return "it is not plain TypeScript";
  if (commonJs.test(source)) return "it is CommonJS";
  if (/\beval\s*\(/.test(source)) return "it uses eval";
  if (/(?:^|[\s;])@\w/m.test(source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ""))) return "it has decorators";
  if (/\bimport\s*\(\s*(?!["'][^"']*["']\s*\))/.test(source)) return "it imports a computed name";
  return syntax?.functions.some(({ body, call }) => body.end > call.end) ? "its declarations are unusual" : "";
}

function namesOf(body: readonly AnyNode[]): Pick<ReadModule, "imports" | "exports" | "stars" | "requests"> {
  const imports = new Map<string, Imported>();
  const exports = new Map<string, { local: string } | Imported>();
  const stars: string[] = [];
  const requests: string[] = [];
  for (const node of body) {
    const from = isNode(node["source"]) ? String(node["source"]["value"]) : undefined;
    if (node.type === "ImportDeclaration" && from !== undefined && node["importKind"] !== "type") {
      const specifiers = node["specifiers"] as AnyNode[];
      if (specifiers.length === 0 || specifiers.some((each) => each["importKind"] !== "type")) requests.push(from);
      for (const specifier of node["specifiers"] as AnyNode[]) {
        if (specifier["importKind"] !== "type") imports.set(textOf(specifier["local"]), { from, name: importedName(specifier) });
      }
    } else if (node["exportKind"] === "type") {
    } else if (node.type === "ExportAllDeclaration" && from !== undefined) {
      requests.push(from);
      if (isNode(node["exported"])) exports.set(textOf(node["exported"]), { from, name: "*" });
      else stars.push(from);
    } else if (node.type === "ExportDefaultDeclaration") exports.set("default", { local: "default" });
    else if (node.type === "ExportNamedDeclaration") {
      if (from !== undefined) requests.push(from);
      for (const specifier of node["specifiers"] as AnyNode[]) {
        if (specifier["exportKind"] === "type") continue;
        const local = textOf(specifier["local"]);
        exports.set(textOf(specifier["exported"]), from === undefined ? { local } : { from, name: local });
      }
    }
  }
  return { imports, exports, stars, requests };
}

const textOf = (node: unknown): string => (isNode(node) ? String(node["name"] ?? node["value"]) : "");

function importedName(specifier: AnyNode): string {
  if (specifier.type === "ImportNamespaceSpecifier") return "*";
  return specifier.type === "ImportDefaultSpecifier" ? "default" : textOf(specifier["imported"]);
}

function readStatements(body: readonly AnyNode[], found: ReadModule, before: ReadModule | undefined): Statement[] {
  const { source, syntax, imports, exports } = found;
  const origin = (local: string): string | undefined => {
    const from = imports.get(local)?.from;
    return from === undefined || from.startsWith(".") ? undefined : from;
  };
  const same = before && JSON.stringify([...before.imports]) === JSON.stringify([...imports]);
  const known = new Map(same ? before.statements.map((each) => [before.source.slice(each.start, each.end), each]) : []);
  const declared = new Map(calls(syntax?.functions ?? []).map((each) => [each.call.start, each]));
  const starts = syntax?.declarations ?? [];
  const statements: Statement[] = [];
  for (const node of body) {
    if (isTypes(node)) continue;
    const mine = starts.filter((start) => start >= node.start && start < node.end);
    const old = known.get(source.slice(node.start, node.end));
    // Whether a call is one of the SDK's hangs on other statements.
    const reusable = old && mine.length > 0 === (old.place?.kind.startsWith("app") ?? false);
    const statement = reusable
      ? { ...old, start: node.start, end: node.end }
      : readStatement(node as unknown as Node, mine.map(toDeclaration), origin);
    if (statement.defines.length > 0 && node.type === "ExportNamedDeclaration") {
      for (const name of statement.defines) exports.set(name, { local: name });
    }
    statements.push(statement);
  }
  return statements;

  function toDeclaration(call: number): Declaration {
    const each = declared.get(call);
    return { call, options: each?.options, body: each?.body, isClass: each !== undefined && each.className !== "" };
  }
}

/** TypeScript leaves out imports that nothing but types use. */
function dropTypeImports({ imports, statements, exports, requests }: ReadModule, path: string): void {
  if (!/\.[cm]?tsx?$/.test(path)) return;
  const used = new Set<string>();
  for (const { load, body, options, methods } of statements) {
    for (const names of [load, body, options, ...methods.values()]) for (const name of names.idents) used.add(name);
  }
  for (const target of exports.values()) if ("local" in target) used.add(target.local);
  const kept = new Set<string>();
  const dropped = new Set<string>();
  for (const [local, { from }] of imports) {
    if (used.has(local)) kept.add(from);
    else {
      dropped.add(from);
      imports.delete(local);
    }
  }
  for (const from of dropped) if (!kept.has(from)) requests.splice(requests.indexOf(from), 1);
}

/** What evaluates a text in the module's own scope: the last line of its code. */
const scopeLine = "\nimport.meta.hobScope = (hob$code) => eval(hob$code);\n";

function evaluatedCode(source: string, body: readonly AnyNode[], found: ReadModule, typed: boolean): string {
  const { imports, syntax, statements } = found;
  const edits: Edit[] = declarationEdits(source, syntax?.functions ?? []);
  for (const node of body) {
    if (node.type === "ImportDeclaration" && node["importKind"] !== "type")
      edits.push(...importEdits(node, imports, source, typed));
  }
  for (const { start, place } of statements) {
    if (place?.kind !== "variable") continue;
    // So that a patch can assign it. Nobody else can: an assignment to a constant is a fault that a test of the project finds.
    const at = source.indexOf("const", start);
    edits.push({ start: at, end: at + 5, text: "let  " });
  }
  const text = applyEdits(source, edits);
  return (typed ? stripTypes(text) : text) + scopeLine;
}

function importEdits(node: AnyNode, imports: ReadModule["imports"], source: string, typed: boolean): Edit[] {
  const specifiers = node["specifiers"] as AnyNode[];
  const values = specifiers.filter((each) => each["importKind"] !== "type");
  const used = values.filter((each) => imports.has(textOf(each["local"])));
  const blank = ({ start, end }: AnyNode): Edit => ({ start, end, text: source.slice(start, end).replace(/[^\n]/g, " ") });
  if (typed && specifiers.length > 0 && used.length === 0) return [blank(node)];
  const from = textOf(node["source"]);
  const edits: Edit[] = [];
  for (const each of used) {
    const name = importedName(each);
    // A package is one module with others: it passes its namespace on as a value of this name.
    if (name === "*" && isPackage(from))
      edits.push({ start: each.start, end: each.end, text: `{ ${wholePackage} as ${textOf(each["local"])} }` });
  }
  if (used.length === specifiers.length) return edits;
  // Written anew, on the line of its end, so that the lines below stay where they are.
  const whole = used.find((each) => each.type === "ImportNamespaceSpecifier");
  const lines = source.slice(node.start, node.end).replace(/[^\n]/g, "");
  if (whole && !isPackage(from)) {
    const text = `import * as ${textOf(whole["local"])} from ${JSON.stringify(from)};`;
    return [{ start: node.start, end: node.end, text: lines + text }];
  }
  const list = used.map((each) =>
    each.type === "ImportDefaultSpecifier"
      ? `default as ${textOf(each["local"])}`
      : each === whole
        ? `${wholePackage} as ${textOf(each["local"])}`
        : source.slice(each.start, each.end),
  );
  return [{ start: node.start, end: node.end, text: `${lines}import { ${list.join(", ")} } from ${JSON.stringify(from)};` }];
}

export const wholePackage = "hob$whole";

/** Neither of the project, of Node, nor the SDK. Specifiers that tsconfig's paths lead into the project are found out when they are resolved. */
export const isPackage = (from: string): boolean => !/^(?:\.{0,2}\/|\.\.?$|hob$)/.test(from) && !isBuiltin(from);

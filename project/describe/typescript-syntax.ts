// ② What one TypeScript module declares, from its syntax tree: apps, functions with their parameters, and where their parts lie. Pure.

import {
  type Expression,
  type Function as FunctionNode,
  type ParamPattern,
  type Program,
  parseSync,
  type Statement,
} from "oxc-parser";
import type { Parameter } from "../../proto/gen/hob/v1/common.ts";
import type { Diagnostic } from "../events.ts";

interface Span {
  start: number;
  end: number;
}

/** `export const NAME = APP.function(OPTIONS, fn)` */
export interface DeclaredFunction {
  name: string;
  /** The name under which it is called: the option `name` where that is a constant. */
  publicName: string;
  /** The local name of its app. */
  app: string;
  call: Span;
  options: Span | undefined;
  body: Span;
  line: number;
  parameters: Parameter[];
  returns: string;
  doc: string;
}

export interface ModuleSyntax {
  /** Local name → the app's name, undefined when that is no constant. */
  apps: Map<string, string | undefined>;
  imports: Map<string, { from: string; name: string }>;
  /** Exported name → local name. */
  exports: Map<string, string>;
  functions: DeclaredFunction[];
  /** Where calls of the SDK start: without effects, so a bundle can leave them out. */
  declarations: number[];
  diagnostics: Diagnostic[];
}

type Callable = Extract<Expression, { type: "ArrowFunctionExpression" | "FunctionExpression" }> | FunctionNode;

/** Every module but those that cannot declare anything. */
export const mayDeclare = (source: string): boolean => /\bfrom\s*["']hob["']|\.function\s*[<(]/.test(source);

export function parseModule(path: string, source: string): ModuleSyntax {
  const { program, errors } = parseSync(path, source);
  const lines = lineStarts(source);
  const diagnostics: Diagnostic[] = errors.map((error) => at(error.labels[0]?.start ?? 0, error.message));
  const found: ModuleSyntax = {
    apps: new Map(),
    imports: new Map(),
    exports: new Map(),
    functions: [],
    declarations: [],
    diagnostics,
  };
  const sdk = new Set<string>(); // local names that stand for the SDK, or for what was made with it
  const callables = new Map<string, Callable>();

  function at(offset: number, message: string): Diagnostic {
    const line = lineOf(lines, offset);
    const start = lines[line - 1] ?? 0;
    const end = source.indexOf("\n", start);
    return {
      file: path,
      line,
      column: offset - start + 1,
      message,
      sourceLine: source.slice(start, end === -1 ? undefined : end).trimEnd(),
    };
  }

  function declare(name: string, value: Expression, exported: boolean, start: number): void {
    if (value.type === "ArrowFunctionExpression" || value.type === "FunctionExpression") callables.set(name, value);
    const root = rootOf(value);
    if (root === undefined || (value.type !== "CallExpression" && value.type !== "NewExpression")) return;
    if (value.type === "CallExpression" && value.callee.type === "MemberExpression" && propertyOf(value.callee) === "function") {
      const [first, second] = value.arguments;
      const last = second ?? first;
      if (!exported || !last || last.type === "SpreadElement" || value.callee.object.type !== "Identifier") return;
      const fn = last.type === "Identifier" ? callables.get(last.name) : isCallable(last) ? last : undefined;
      const options = second && first && first.type !== "SpreadElement" ? first : undefined;
      found.functions.push({
        name,
        publicName: nameOption(options) ?? name,
        app: value.callee.object.name,
        call: value,
        options,
        body: last,
        line: lineOf(lines, start),
        parameters: fn ? parametersOf(fn, source) : [variadic],
        returns: fn?.returnType ? source.slice(fn.returnType.typeAnnotation.start, fn.returnType.typeAnnotation.end) : "",
        doc: docBefore(source, start),
      });
      found.declarations.push(value.start);
      return;
    }
    if (!sdk.has(root)) return;
    sdk.add(name);
    found.declarations.push(value.start);
    if (value.type !== "NewExpression" || !isAppClass(value.callee)) return;
    const text = value.arguments[0];
    const constant = text?.type === "Literal" && typeof text.value === "string" ? text.value : undefined;
    found.apps.set(name, constant);
    if (constant === undefined)
      diagnostics.push(at(value.start, 'new App(...) needs its name as a constant text: new App("images")'));
  }

  const isAppClass = (callee: Expression): boolean =>
    callee.type === "Identifier" ? found.imports.get(callee.name)?.name === "App" : propertyOf(callee) === "App";

  for (const statement of program.body) gatherImports(statement, found, sdk);
  for (const statement of program.body) {
    if (statement.type === "FunctionDeclaration" && statement.id) callables.set(statement.id.name, statement);
    const inner = statement.type === "ExportNamedDeclaration" ? statement.declaration : undefined;
    if (inner?.type === "FunctionDeclaration" && inner.id) callables.set(inner.id.name, inner);
  }
  for (const statement of program.body) {
    const exported = statement.type === "ExportNamedDeclaration";
    const declaration = exported ? statement.declaration : statement;
    if (exported) gatherExports(statement, found.exports);
    if (declaration?.type !== "VariableDeclaration") continue;
    for (const { id, init } of declaration.declarations) {
      if (id.type === "Identifier" && init) declare(id.name, unwrap(init), exported, statement.start);
    }
  }
  return found;
}

function gatherImports(statement: Statement, found: ModuleSyntax, sdk: Set<string>): void {
  if (statement.type !== "ImportDeclaration") return;
  const from = statement.source.value;
  for (const specifier of statement.specifiers) {
    const imported = specifier.type === "ImportSpecifier" ? specifier.imported : undefined;
    const name = imported
      ? imported.type === "Literal"
        ? imported.value
        : imported.name
      : specifier.type === "ImportDefaultSpecifier"
        ? "default"
        : "*";
    found.imports.set(specifier.local.name, { from, name });
    if (from === "hob") sdk.add(specifier.local.name);
  }
}

function gatherExports(
  statement: Extract<Program["body"][number], { type: "ExportNamedDeclaration" }>,
  exports: Map<string, string>,
): void {
  if (statement.declaration?.type === "VariableDeclaration") {
    for (const { id } of statement.declaration.declarations) if (id.type === "Identifier") exports.set(id.name, id.name);
  }
  for (const { local, exported } of statement.specifiers) {
    if (statement.source || local.type === "Literal") continue;
    exports.set(exported.type === "Literal" ? exported.value : exported.name, local.name);
  }
}

/** The expression without `as`, `satisfies` and parentheses around it. */
function unwrap(value: Expression): Expression {
  if (value.type === "TSAsExpression" || value.type === "TSSatisfiesExpression" || value.type === "ParenthesizedExpression") {
    return unwrap(value.expression);
  }
  return value;
}

function propertyOf(node: Expression): string | undefined {
  return node.type === "MemberExpression" && !node.computed && node.property.type === "Identifier"
    ? node.property.name
    : undefined;
}

function rootOf(value: Expression): string | undefined {
  if (value.type === "Identifier") return value.name;
  if (value.type === "CallExpression" || value.type === "NewExpression") return rootOf(value.callee);
  return value.type === "MemberExpression" ? rootOf(value.object) : undefined;
}

const isCallable = (
  value: Expression,
): value is Extract<Expression, { type: "ArrowFunctionExpression" | "FunctionExpression" }> =>
  value.type === "ArrowFunctionExpression" || value.type === "FunctionExpression";

function nameOption(options: Expression | undefined): string | undefined {
  if (options?.type !== "ObjectExpression") return undefined;
  for (const property of options.properties) {
    if (property.type !== "Property" || property.key.type !== "Identifier" || property.key.name !== "name") continue;
    if (property.value.type === "Literal" && typeof property.value.value === "string") return property.value.value;
  }
  return undefined;
}

const variadic: Parameter = { name: "args", kind: "variadic", hasDefault: false, annotation: "" };

function parametersOf(fn: Callable, source: string): Parameter[] {
  return fn.params.map((parameter, index) => describeParameter(parameter, index, source));
}

function describeParameter(parameter: ParamPattern, index: number, source: string): Parameter {
  const pattern = parameter.type === "TSParameterProperty" ? parameter.parameter : parameter;
  const rest = pattern.type === "RestElement";
  const target = rest ? pattern.argument : pattern.type === "AssignmentPattern" ? pattern.left : pattern;
  const type = (rest && pattern.typeAnnotation) || ("typeAnnotation" in target ? target.typeAnnotation : null);
  const optional = pattern.type === "Identifier" && Boolean(pattern.optional);
  return {
    name: target.type === "Identifier" ? target.name : `arg${index + 1}`,
    kind: rest ? "variadic" : "positional",
    hasDefault: pattern.type === "AssignmentPattern" || optional,
    annotation: type ? source.slice(type.typeAnnotation.start, type.typeAnnotation.end) : "",
  };
}

/** First line of the JSDoc comment that ends right before `start`. */
function docBefore(source: string, start: number): string {
  const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(source.slice(0, start))?.[1];
  const lines = comment?.split("\n").map((line) => line.replace(/^\s*\*?\s?/, "").trim());
  return lines?.find((line) => line !== "") ?? "";
}

function lineStarts(source: string): number[] {
  const starts = [0];
  for (let at = source.indexOf("\n"); at !== -1; at = source.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineOf(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low + 1;
}

/**
 * The module for a bundle of code: what it declares is marked as free of effects, the options (the spec's matter) are blank, and the
 * function is told its name, which is no longer to be seen from inside a bundle.
 */
export function codeText(source: string, { functions, declarations }: ModuleSyntax): string {
  const edits = declarations.map((start) => ({ start, end: start, text: "/* @__PURE__ */ " }));
  for (const { options, body, publicName } of functions) {
    if (options) edits.push({ start: options.start, end: options.end, text: blank(source, options, "{", "}") });
    edits.push({ start: body.end, end: body.end, text: `, ${JSON.stringify(publicName)}` });
  }
  return applyEdits(source, edits);
}

/** The module for evaluating its options: the functions' bodies, and so all that only they reach, are left out. */
export function specText(source: string, { functions }: ModuleSyntax): string {
  return applyEdits(
    source,
    functions.map(({ body, name }) => ({ start: body.start, end: body.end, text: `() => {}, ${JSON.stringify(name)}` })),
  );
}

/** As many lines as before, so that the source map's lines hold. */
function blank(source: string, { start, end }: Span, open: string, close: string): string {
  return `${open}${source.slice(start + 1, end - 1).replace(/[^\n]/g, " ")}${close}`;
}

function applyEdits(source: string, edits: { start: number; end: number; text: string }[]): string {
  let text = "";
  let from = 0;
  for (const edit of edits.sort((left, right) => left.start - right.start)) {
    text += source.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return text + source.slice(from);
}

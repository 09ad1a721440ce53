// ② What one TypeScript module declares, from its syntax tree: apps, functions with their parameters, and where their parts lie. Pure.

import {
  type Class,
  type Expression,
  type Function as FunctionNode,
  type ParamPattern,
  type ParseResult,
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

/** `export const NAME = APP.function(OPTIONS, fn)` or `.fetch(…)`, or a method of `export const NAME = APP.cls(OPTIONS, class { … })` */
export interface DeclaredFunction {
  /** Of a method: NAME.METHOD. */
  name: string;
  /** NAME. */
  constant: string;
  /** The name under which it is called: the option `name` where that is a constant. */
  publicName: string;
  /** The public name of the class; "" for a plain function. */
  className: string;
  /** The local name of its app. */
  app: string;
  call: Span;
  options: Span | undefined;
  /** Of the function, or of the whole class. */
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
export const mayDeclare = (source: string): boolean => /\bfrom\s*["']hob["']|\.(?:function|fetch|cls)\s*[<(]/.test(source);

export function parseModule(
  path: string,
  source: string,
  { program, errors }: ParseResult = parseSync(path, source),
): ModuleSyntax {
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
  const classes = new Map<string, Class>();

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
    const called = value.type === "CallExpression" ? propertyOf(value.callee) : undefined;
    if (value.type === "CallExpression" && (called === "function" || called === "fetch" || called === "cls")) {
      const { callee } = value;
      const [first, second] = value.arguments;
      const last = second ?? first;
      if (!exported || !last || last.type === "SpreadElement") return;
      if (callee.type !== "MemberExpression" || callee.object.type !== "Identifier") return;
      const options = second && first && first.type !== "SpreadElement" ? first : undefined;
      const publicName = nameOption(options) ?? name;
      const common = { constant: name, app: callee.object.name, call: value, options, body: last };
      found.declarations.push(value.start);
      if (called === "cls") {
        const type = last.type === "Identifier" ? classes.get(last.name) : last.type === "ClassExpression" ? last : undefined;
        for (const { key, method, start: at } of type ? methodsOf(type) : []) {
          const names = { name: `${name}.${key}`, publicName: `${publicName}.${key}`, className: publicName };
          found.functions.push({ ...common, ...names, line: lineOf(lines, at), ...shapeOf(method, at) });
        }
        return;
      }
      const fn = last.type === "Identifier" ? callables.get(last.name) : isCallable(last) ? last : undefined;
      found.functions.push({ ...common, name, publicName, className: "", line: lineOf(lines, start), ...shapeOf(fn, start) });
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

  function shapeOf(fn: Callable | undefined, start: number): Pick<DeclaredFunction, "parameters" | "returns" | "doc"> {
    const type = fn?.returnType?.typeAnnotation;
    return {
      parameters: fn ? parametersOf(fn, source) : [variadic],
      returns: type ? source.slice(type.start, type.end) : "",
      doc: docBefore(source, start),
    };
  }

  const isAppClass = (callee: Expression): boolean =>
    callee.type === "Identifier" ? found.imports.get(callee.name)?.name === "App" : propertyOf(callee) === "App";

  for (const statement of program.body) gatherImports(statement, found, sdk);
  for (const statement of program.body) {
    const inner = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (inner?.type === "FunctionDeclaration" && inner.id) callables.set(inner.id.name, inner);
    if (inner?.type === "ClassDeclaration" && inner.id) classes.set(inner.id.name, inner);
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

/** The methods of a class that can be called from elsewhere: as sdk/typescript/class.ts finds them, without those that types keep private. */
function methodsOf(type: Class): { key: string; method: Callable; start: number }[] {
  return type.body.body.flatMap((member) => {
    if (member.type !== "MethodDefinition" || member.kind !== "method" || member.static || member.computed) return [];
    const { key, value } = member;
    if (key.type !== "Identifier" || value.type !== "FunctionExpression" || member.decorators.length > 0) return [];
    if (key.name === "enter" || key.name === "exit" || key.name.startsWith("_")) return [];
    if (member.accessibility === "private" || member.accessibility === "protected") return [];
    return [{ key: key.name, method: value, start: member.start }];
  });
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
  return applyEdits(source, [...edits, ...declarationEdits(source, functions)]);
}

/** Options are blank, and what is declared is told its name. */
export function declarationEdits(source: string, functions: readonly DeclaredFunction[]): Edit[] {
  const edits: Edit[] = [];
  for (const { options, body, publicName, className } of calls(functions)) {
    if (options) edits.push({ start: options.start, end: options.end, text: blank(source, options, "{", "}") });
    edits.push({ start: body.end, end: body.end, text: `, ${JSON.stringify(className || publicName)}` });
  }
  return edits;
}

/** One function for each call of the SDK: of a class, its first method. */
export const calls = (functions: readonly DeclaredFunction[]): DeclaredFunction[] =>
  functions.filter(({ call }, index) => functions.findIndex((other) => other.call.start === call.start) === index);

/** The module for evaluating its options: the functions' bodies, and so all that only they reach, are left out. */
export function specText(source: string, { functions }: ModuleSyntax): string {
  return applyEdits(
    source,
    calls(functions).map(({ body, className, constant, call }) => {
      const methods = functions.filter((each) => each.call.start === call.start).map(({ name }) => `${name.split(".")[1]}() {}`);
      const text = className ? `class { ${methods.join(" ")} }` : "() => {}";
      return { start: body.start, end: body.end, text: `${text}, ${JSON.stringify(constant)}` };
    }),
  );
}

/** As many lines as before, so that the source map's lines hold. */
function blank(source: string, { start, end }: Span, open: string, close: string): string {
  return `${open}${source.slice(start + 1, end - 1).replace(/[^\n]/g, " ")}${close}`;
}

export interface Edit extends Span {
  text: string;
}

export function applyEdits(source: string, edits: Edit[]): string {
  let text = "";
  let from = 0;
  for (const edit of edits.sort((left, right) => left.start - right.start)) {
    text += source.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return text + source.slice(from);
}

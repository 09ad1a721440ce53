// ② The facts of a module's top-level statements: what each defines, what it names when it is evaluated and in bodies that run later. Pure.

import type { Statement as Node } from "oxc-parser";
import { sha256 } from "../../base/content-folder.ts";
import { isFree } from "./typescript-effects.ts";
import { mayWrite } from "./typescript-writes.ts";

/** A node of any kind: the walk looks at its fields only. */
export interface AnyNode {
  type: string;
  start: number;
  end: number;
  [field: string]: unknown;
}

/** What code names. */
export interface Names {
  idents: Set<string>;
  /** Names of properties that it reads. */
  properties: Set<string>;
  /** It uses `this` as a value, so that others may call any method of it. */
  escapes: boolean;
}

interface Method extends Names {
  hash: string;
  writes: boolean;
}

/** How new code can be put in place of the old. `frame`: the rest of the statement, which has to be as it was. */
export interface Place {
  kind: "function" | "variable" | "app function" | "class" | "app class";
  name: string;
  /** Of the function or class, from the statement's start. */
  start: number;
  end: number;
  frame: string;
  /** Of a class: name → hash. */
  methods: Map<string, string>;
}

export interface Statement {
  start: number; // in the source
  end: number;
  defines: string[];
  /** Of its syntax tree: without comments, formatting, types and a declaration's options. */
  hash: string;
  /** Named when the module is evaluated; and in functions that may run later. */
  load: Names;
  body: Names;
  /** Of a declaration whose function stands elsewhere: all of it, the options too. */
  declares: string;
  /** Named in a declaration's options. */
  options: Names;
  /** Of a class that is declared with app.cls: its methods, which `body` does not have then. */
  methods: Map<string, Method>;
  /** Evaluating it does something beyond defining its names. */
  acts: boolean;
  /** A call of its code may leave something behind in the process. */
  writes: boolean;
  place: Place | undefined;
}

/** Spans, from the statement's start, of a declaration's options, body and call. */
export interface Declaration {
  call: number;
  options: { start: number; end: number } | undefined;
  body: { start: number; end: number } | undefined; // none for what only makes an app or an image
  isClass: boolean;
}

/** Among the names that code uses, a module that it imports when it runs. */
export const dynamicImport = (specifier: string): string => `import ${specifier}`;

const emptyNames = (): Names => ({ idents: new Set(), properties: new Set(), escapes: false });
const typeFields = new Set([
  ...["typeAnnotation", "typeParameters", "typeArguments", "returnType", "superTypeArguments", "implements", "decorators"],
  ...["accessibility", "readonly", "optional", "definite", "override", "abstract", "declare", "importKind", "exportKind"],
  ...["start", "end", "type", "range", "parent", "raw", "directive"],
]);
const transparent = new Set([
  ...["TSAsExpression", "TSSatisfiesExpression", "TSNonNullExpression", "TSTypeAssertion", "TSInstantiationExpression"],
  "ParenthesizedExpression",
]);
const functions = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

export const isNode = (value: unknown): value is AnyNode =>
  typeof value === "object" && value !== null && typeof (value as AnyNode).type === "string";

export const bare = (node: AnyNode): AnyNode => (transparent.has(node.type) ? bare(node["expression"] as AnyNode) : node);

const innerOf = (statement: AnyNode): AnyNode => {
  const declaration = statement["declaration"];
  return statement.type === "ExportNamedDeclaration" && isNode(declaration) ? declaration : statement;
};

/** It is nothing but types, and not there when the module is evaluated. */
export const isTypes = (node: AnyNode): boolean => {
  const inner = innerOf(node);
  return (
    /^TS(?:Interface|TypeAlias|Declare|.*Declaration$)/.test(inner.type) ||
    inner["declare"] === true ||
    inner.type === "EmptyStatement"
  );
};

/** The statement's facts; `imported`: local name → the package or builtin it comes from. */
export function readStatement(
  node: Node,
  declarations: readonly Declaration[],
  imported: (local: string) => string | undefined,
): Statement {
  const statement = node as unknown as AnyNode;
  const inner = innerOf(statement);
  const declared = declarations.find(({ body }) => body !== undefined);
  const found: Statement = {
    start: statement.start,
    end: statement.end,
    defines: definedNames(inner),
    hash: "",
    load: emptyNames(),
    body: emptyNames(),
    options: emptyNames(),
    methods: new Map(),
    acts: !isFree(inner, (start) => declarations.some(({ call }) => call === start)),
    writes: false,
    place: undefined,
    declares: "",
  };
  const skip = new Set(declarations.flatMap(({ options }) => (options ? [options.start] : [])));
  const classBody = declared?.isClass ? nodeAt(inner, declared.body!.start) : undefined;
  // What is imported and passed on is the module's to know, and is no use of it.
  const passes = /^(?:Import|ExportAll|ExportNamed)Declaration$/.test(inner.type);
  found.hash = sha256(walk(inner, passes ? { load: emptyNames(), body: emptyNames() } : found, { skip, classBody }));
  for (const name of found.defines) found.load.idents.delete(name);
  for (const start of skip) {
    const options = objectAt(inner, start);
    // Evaluated for the spec, and never in a process: what they reach is no part of the code.
    if (options) walk(options, { load: found.options, body: found.options }, { skip: new Set() });
  }
  found.writes = mayWrite(classBody ? withoutMethods(classBody) : inner, imported);
  if (classBody) takeMethods(classBody, found, imported);
  found.place = placeOf(inner, declared, found.start);
  if (declared && !found.place)
    found.declares = sha256(walk(inner, { load: emptyNames(), body: emptyNames() }, { skip: new Set() }));
  return found;
}

/** Gathers names, and returns the tree as a text. */
function walk(
  root: AnyNode,
  into: Pick<Statement, "load" | "body">,
  given: { skip: Set<number>; classBody?: AnyNode | undefined },
): string {
  const text: string[] = [];

  function visit(node: AnyNode, later: boolean): void {
    if (transparent.has(node.type)) {
      visit(bare(node), later);
      return;
    }
    if (given.skip.has(node.start)) return;
    const names = later ? into.body : into.load;
    text.push("(", node.type);
    if (node.type === "Identifier" || node.type === "JSXIdentifier") {
      names.idents.add(node["name"] as string);
      text.push(" ", node["name"] as string);
    } else if (node.type === "ThisExpression") names.escapes = true;
    else if (node.type === "ImportExpression" && isNode(node["source"]) && node["source"].type === "Literal") {
      names.idents.add(dynamicImport(String(node["source"]["value"])));
      text.push(literalText(node["source"]));
    } else if (node.type === "Literal") text.push(literalText(node));
    else if (node.type === "TemplateElement") text.push(JSON.stringify((node["value"] as { raw: string }).raw));
    else {
      const isMethod = node.type === "MethodDefinition" && node["static"] !== true;
      const runsLater = functions.has(node.type) || (node.type === "PropertyDefinition" && node["static"] !== true);
      for (const [field, value] of Object.entries(node)) {
        if (typeFields.has(field) && field !== "decorators") continue;
        if (value === null || value === undefined || value === false) continue;
        if (isNode(value)) {
          const isKey = field === "key" || field === "property";
          if (isKey && node["computed"] !== true && (value.type === "Identifier" || value.type === "PrivateIdentifier")) {
            text.push(" .", value["name"] as string);
            if (field === "property" || node.type === "Property") names.properties.add(value["name"] as string);
            continue;
          }
          if (field === "object" && value.type === "ThisExpression") {
            text.push(" this");
            if (node["computed"] === true) names.escapes = true;
            continue;
          }
          if (given.classBody && isMethod && field === "value" && isOwnMethod(node, given.classBody)) {
            text.push(" method"); // found apart
            continue;
          }
          visit(value, later || (runsLater && !isKey));
        } else if (Array.isArray(value)) {
          text.push("[");
          for (const each of value) {
            if (isNode(each) && (!each.type.startsWith("TS") || transparent.has(each.type)))
              visit(each, later || (runsLater && field !== "decorators"));
            else if (isNode(each) && isNode(each["parameter"])) visit(each["parameter"], later || runsLater);
            else if (each === null) text.push(",");
          }
          text.push("]");
        } else if (typeof value !== "object") text.push(" ", field, "=", String(value));
      }
    }
    text.push(")");
  }

  visit(root, false);
  return text.join("");
}

function literalText(node: AnyNode): string {
  const value = node["value"];
  if (typeof value === "string" || typeof value === "number") return `${typeof value} ${JSON.stringify(value)}`;
  return ` ${String(node["raw"])}`;
}

const named = (node: AnyNode): string | undefined => {
  const key = node["key"];
  return isNode(key) && key.type === "Identifier" && node["computed"] !== true ? (key["name"] as string) : undefined;
};

/** A plain method of this class: not static, no accessor, no constructor, no decorator. */
function isOwnMethod(node: AnyNode, classNode: AnyNode): boolean {
  const members = (classNode["body"] as AnyNode)["body"] as AnyNode[];
  return (
    members.includes(node) &&
    node["kind"] === "method" &&
    node["static"] !== true &&
    named(node) !== undefined &&
    ((node["decorators"] as unknown[] | undefined)?.length ?? 0) === 0
  );
}

function takeMethods(classNode: AnyNode, found: Statement, imported: (local: string) => string | undefined): void {
  for (const member of (classNode["body"] as AnyNode)["body"] as AnyNode[]) {
    if (!isOwnMethod(member, classNode)) continue;
    const names = { load: emptyNames(), body: emptyNames() };
    const value = member["value"] as AnyNode;
    const hash = sha256(walk(value, names, { skip: new Set() }));
    found.methods.set(named(member)!, { ...names.body, hash, writes: mayWrite(value, imported) });
  }
}

function placeOf(inner: AnyNode, declared: Declaration | undefined, offset: number): Place | undefined {
  const made = (kind: Place["kind"], name: string, target: AnyNode, frame: string): Place => {
    const methods = kind === "class" || kind === "app class" ? methodHashes(target) : new Map<string, string>();
    return { kind, name, start: target.start - offset, end: target.end - offset, frame, methods };
  };
  const id = inner["id"];
  if (inner.type === "FunctionDeclaration" && isNode(id)) return made("function", id["name"] as string, inner, "");
  if (inner.type === "ClassDeclaration" && isNode(id)) {
    const frame = classFrame(inner);
    return frame === undefined ? undefined : made("class", id["name"] as string, inner, frame);
  }
  const [only, ...others] = inner.type === "VariableDeclaration" ? (inner["declarations"] as AnyNode[]) : [];
  const [target, init] = [only?.["id"], only?.["init"]];
  if (!only || others.length > 0 || !isNode(target) || target.type !== "Identifier" || !isNode(init)) return undefined;
  const name = target["name"] as string;
  if (declared) {
    const body = nodeAt(inner, declared.body!.start);
    if (!body || !functions.has(body.type) === !declared.isClass) return undefined;
    const frame = declared.isClass ? classFrame(body) : "";
    if (frame === undefined) return undefined;
    const rest = walk(inner, { load: emptyNames(), body: emptyNames() }, { skip: new Set() }); // the options too
    const own = walk(body, { load: emptyNames(), body: emptyNames() }, { skip: new Set() });
    return made(declared.isClass ? "app class" : "app function", name, body, sha256(rest.replace(own, "") + frame));
  }
  const value = bare(init);
  if (value.type !== "ArrowFunctionExpression" && value.type !== "FunctionExpression") return undefined;
  return inner["kind"] === "const" ? made("variable", name, value, "") : undefined;
}

/** A class's text without its methods' bodies; undefined when its definition cannot be evaluated a second time without consequences. */
function classFrame(node: AnyNode): string | undefined {
  const parent = node["superClass"];
  if (isNode(parent) && bare(parent).type !== "Identifier") return undefined;
  if ((node["decorators"] as unknown[] | undefined)?.length) return undefined;
  const parts: string[] = [isNode(parent) ? String(bare(parent)["name"]) : ""];
  for (const member of (node["body"] as AnyNode)["body"] as AnyNode[]) {
    if (isOwnMethod(member, node)) parts.push(`method ${named(member)}`);
    else if (member.type.startsWith("TS")) continue;
    else {
      const key = member["key"];
      const private_ = isNode(key) && key.type === "PrivateIdentifier";
      if (member.type === "StaticBlock" || member["computed"] === true || private_) return undefined;
      if (
        (member["decorators"] as unknown[] | undefined)?.length ||
        (member["static"] === true && member.type !== "MethodDefinition")
      )
        return undefined;
      parts.push(walk(member, { load: emptyNames(), body: emptyNames() }, { skip: new Set() }));
    }
  }
  return parts.join("\n");
}

function methodHashes(node: AnyNode): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const member of (node["body"] as AnyNode)["body"] as AnyNode[]) {
    if (!isOwnMethod(member, node)) continue;
    const text = walk(member["value"] as AnyNode, { load: emptyNames(), body: emptyNames() }, { skip: new Set() });
    hashes.set(named(member)!, sha256(text));
  }
  return hashes;
}

const objectAt = (root: AnyNode, start: number): AnyNode | undefined =>
  nodeAt(root, start, (node) => !/^TS|Pattern$/.test(node.type));

const withoutMethods = (node: AnyNode): AnyNode => {
  const members = ((node["body"] as AnyNode)["body"] as AnyNode[]).filter((member) => !isOwnMethod(member, node));
  return { type: "ClassBody", start: node.start, end: node.end, body: members };
};

const isFunctionOrClass = (node: AnyNode): boolean => functions.has(node.type) || node.type === "ClassExpression";

/** The outermost such node that starts there, below `root`. */
function nodeAt(root: AnyNode, start: number, wanted: (node: AnyNode) => boolean = isFunctionOrClass): AnyNode | undefined {
  for (const value of Object.values(root)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (!isNode(each) || start < each.start || start >= each.end) continue;
      if (each.start === start && wanted(each)) return each;
      const found = nodeAt(each, start, wanted);
      if (found) return found;
    }
  }
  return undefined;
}

function definedNames(node: AnyNode): string[] {
  const id = node["id"];
  if ((functions.has(node.type) || node.type === "ClassDeclaration") && isNode(id)) return [id["name"] as string];
  if (node.type === "ExportDefaultDeclaration") {
    const inner = (node["declaration"] as AnyNode)["id"];
    return isNode(inner) ? [inner["name"] as string, "default"] : ["default"];
  }
  if (node.type !== "VariableDeclaration" || node["declare"] === true) return [];
  return (node["declarations"] as AnyNode[]).flatMap((each) => patternNames(each["id"] as AnyNode));
}

export function patternNames(pattern: AnyNode | null): string[] {
  if (!pattern) return [];
  if (pattern.type === "Identifier") return [pattern["name"] as string];
  if (pattern.type === "TSParameterProperty") return patternNames(pattern["parameter"] as AnyNode);
  if (pattern.type === "AssignmentPattern") return patternNames(pattern["left"] as AnyNode);
  if (pattern.type === "RestElement") return patternNames(pattern["argument"] as AnyNode);
  if (pattern.type === "ArrayPattern") return (pattern["elements"] as (AnyNode | null)[]).flatMap(patternNames);
  if (pattern.type !== "ObjectPattern") return [];
  return (pattern["properties"] as AnyNode[]).flatMap((each) => patternNames((each["value"] ?? each["argument"]) as AnyNode));
}

// ② Whether a call of some code may leave something behind in its process: a module's variable, a cache, an attribute. Pure, and rather yes than no.

import { type AnyNode, bare, isNode, patternNames } from "./typescript-statements.ts";

const known = (text: string): ReadonlySet<string> => new Set(text.split(" "));

/** Methods that change nothing, of whatever they are methods. */
const reading = known(
  "reduce reduceRight map filter slice trim trimStart trimEnd join toString includes indexOf lastIndexOf padStart padEnd split concat " +
    "toUpperCase toLowerCase charAt charCodeAt codePointAt at find findIndex findLast every some flat flatMap repeat replaceAll startsWith " +
    "endsWith substring normalize localeCompare toFixed toPrecision toISOString getTime getFullYear keys values entries has get forEach " +
    "toSorted toReversed toSpliced valueOf then catch finally remote spawn starmap hasOwnProperty match matchAll search replace",
);
/** Of those: the result is new, so that changing it changes nothing else. */
const copying = known(
  "map filter slice split concat flat flatMap toSorted toReversed toSpliced from of keys values entries fromEntries",
);
const globals = known(
  "Math JSON Object Number String Array Promise console Date BigInt Symbol performance Buffer Intl URL crypto Atomics structuredClone",
);
const changingStatics = known("assign defineProperty defineProperties setPrototypeOf freeze seal");
const builtins = known(
  "fs fs/promises path crypto util url os zlib buffer string_decoder querystring assert perf_hooks timers timers/promises",
);
const freshClasses = known(
  "Map Set WeakMap WeakSet Array Date Error Object URL URLSearchParams RegExp Uint8Array Float64Array Int32Array Promise",
);
const freshNodes = known("ArrayExpression ObjectExpression TemplateLiteral Literal FunctionExpression ArrowFunctionExpression");

/** `imported`: local name → the package or Node module it comes from; undefined for what is of the project. */
export function mayWrite(root: AnyNode, imported: (local: string) => string | undefined): boolean {
  const locals = new Set<string>();
  const fresh = new Set<string>();
  const own = (name: string): boolean => locals.has(name);
  const foreign = (name: string): boolean => {
    const from = own(name) ? undefined : imported(name);
    return from !== undefined && from !== "hob" && !builtins.has(from.replace(/^node:/, ""));
  };

  function gather(node: AnyNode, inside: boolean): void {
    const later = inside || node.type.includes("Function");
    if (Array.isArray(node["params"]))
      for (const each of node["params"] as AnyNode[]) for (const name of patternNames(each)) locals.add(name);
    if (node.type === "VariableDeclarator" && inside) {
      for (const name of patternNames(node["id"] as AnyNode)) locals.add(name);
      const init = node["init"];
      if ((node["id"] as AnyNode).type === "Identifier" && isNode(init) && isFresh(bare(init))) {
        fresh.add((node["id"] as AnyNode)["name"] as string);
      }
    }
    if (node.type === "CatchClause") for (const name of patternNames(node["param"] as AnyNode | null)) locals.add(name);
    if (inside && node.type === "FunctionDeclaration" && isNode(node["id"])) locals.add(node["id"]["name"] as string);
    for (const child of children(node)) gather(child, later);
  }

  function isFresh(node: AnyNode): boolean {
    if (freshNodes.has(node.type)) return true;
    const callee = isNode(node["callee"]) ? bare(node["callee"]) : undefined;
    if (node.type === "NewExpression") return callee?.type === "Identifier" && freshClasses.has(callee["name"] as string);
    return node.type === "CallExpression" && callee?.type === "MemberExpression" && copying.has(propertyOf(callee));
  }

  /** Of `x.y = …` and `x.change()`: x is this code's own, or was made by it a moment ago. */
  function isOwnObject(value: AnyNode, inConstructor: boolean): boolean {
    const node = bare(value);
    if (node.type === "Identifier") return fresh.has(node["name"] as string);
    return (inConstructor && node.type === "ThisExpression") || isFresh(node);
  }

  function changes(target: AnyNode, inConstructor: boolean): boolean {
    const node = bare(target);
    if (node.type === "Identifier") return !own(node["name"] as string);
    if (node.type === "MemberExpression") return !isOwnObject(node["object"] as AnyNode, inConstructor);
    return !patternNames(node).every(own) || patternNames(node).length === 0;
  }

  function callWrites(node: AnyNode, inConstructor: boolean): boolean {
    const callee = bare((node["callee"] ?? node["tag"]) as AnyNode);
    if (callee.type === "Identifier") return foreign(callee["name"] as string);
    if (callee.type.includes("Function") || callee.type === "Super" || callee.type === "CallExpression") return false;
    if (callee.type !== "MemberExpression") return true;
    const object = bare(callee["object"] as AnyNode);
    const name = callee["computed"] === true ? "" : propertyOf(callee);
    const root = object.type === "Identifier" && !own(object["name"] as string) ? (object["name"] as string) : undefined;
    if (root !== undefined && foreign(root)) return true;
    if (root !== undefined && globals.has(root) && imported(root) === undefined) {
      const [first] = node["arguments"] as AnyNode[];
      return changingStatics.has(name) && !(first && isOwnObject(first, inConstructor));
    }
    if (root === "process") return !["hrtime", "cwd", "uptime", "memoryUsage", "cpuUsage"].includes(name);
    if (root !== undefined && imported(root) !== undefined) return false; // a Node module
    // A method of the class itself is looked at where it is.
    if (object.type === "ThisExpression" && name) return false;
    return !reading.has(name) && !isOwnObject(object, inConstructor);
  }

  function visit(node: AnyNode, later: boolean, inConstructor: boolean): boolean {
    if (later) {
      if (node.type === "AssignmentExpression" && changes(node["left"] as AnyNode, inConstructor)) return true;
      if (node.type === "UpdateExpression" && changes(node["argument"] as AnyNode, inConstructor)) return true;
      if (node.type === "UnaryExpression" && node["operator"] === "delete" && changes(node["argument"] as AnyNode, inConstructor))
        return true;
      if ((node.type === "ForOfStatement" || node.type === "ForInStatement") && isNode(node["left"])) {
        if (node["left"].type !== "VariableDeclaration" && changes(node["left"], inConstructor)) return true;
      }
      if ((node.type === "CallExpression" || node.type === "TaggedTemplateExpression") && callWrites(node, inConstructor))
        return true;
      const callee = isNode(node["callee"]) ? bare(node["callee"]) : undefined;
      if (node.type === "NewExpression" && (callee?.type !== "Identifier" || foreign(callee["name"] as string))) return true;
    }
    const isConstructor = node.type === "MethodDefinition" && node["kind"] === "constructor";
    const nested = later || node.type.includes("Function");
    return children(node).some((child) => visit(child, nested, isConstructor || inConstructor));
  }

  gather(root, false);
  return visit(root, false, false);
}

const propertyOf = (node: AnyNode): string => {
  const property = node["property"] as AnyNode;
  return node["computed"] !== true && property.type === "Identifier" ? (property["name"] as string) : "";
};

function children(node: AnyNode): AnyNode[] {
  const found: AnyNode[] = [];
  for (const value of Object.values(node)) {
    if (isNode(value)) found.push(value);
    else if (Array.isArray(value)) for (const each of value) if (isNode(each)) found.push(each);
  }
  return found;
}

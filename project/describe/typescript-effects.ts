// ② Whether evaluating a top-level statement does nothing but define names. Pure.

import { type AnyNode, bare, isNode } from "./typescript-statements.ts";

/** Made empty or from constants, they touch nothing else. */
const plainClasses = new Set([
  "Map",
  "Set",
  "WeakMap",
  "WeakSet",
  "Array",
  "Date",
  "Error",
  "Object",
  "AbortController",
  "Float64Array",
]);

/** `pure`: a call that starts there is known to be free of effects. */
export function isFree(node: AnyNode, pure: (start: number) => boolean): boolean {
  switch (node.type) {
    case "FunctionDeclaration":
    case "EmptyStatement":
    case "ImportDeclaration":
    case "ExportAllDeclaration":
      return true;
    case "ClassDeclaration":
      return freeClass(node, pure);
    case "VariableDeclaration":
      if (node["declare"] === true) return true;
      return (node["declarations"] as AnyNode[]).every(({ id, init }) => {
        return (id as AnyNode).type === "Identifier" && (!isNode(init) || freeValue(init, pure));
      });
    case "ExportNamedDeclaration":
      return true; // without a declaration: names only
    case "ExportDefaultDeclaration": {
      const inner = node["declaration"] as AnyNode;
      return inner.type.endsWith("Declaration") ? isFree(inner, pure) : freeValue(inner, pure);
    }
    case "ExpressionStatement":
      return freeValue(node["expression"] as AnyNode, pure);
    default:
      return node.type.startsWith("TS") && /Interface|TypeAlias|DeclareFunction/.test(node.type);
  }
}

function freeValue(value: AnyNode, pure: (start: number) => boolean): boolean {
  const node = bare(value);
  const free = (each: unknown): boolean => !isNode(each) || freeValue(each, pure);
  if (pure(node.start) && (node.type === "CallExpression" || node.type === "NewExpression")) return true;
  switch (node.type) {
    case "Literal":
    case "Identifier":
    case "ArrowFunctionExpression":
    case "FunctionExpression":
      return true;
    case "ClassExpression":
      return freeClass(node, pure);
    case "TemplateLiteral":
      return (node["expressions"] as AnyNode[]).every((each) => bare(each).type === "Literal");
    case "UnaryExpression":
      return node["operator"] !== "delete" && free(node["argument"]);
    case "BinaryExpression":
    case "LogicalExpression":
      return free(node["left"]) && free(node["right"]);
    case "ConditionalExpression":
      return free(node["test"]) && free(node["consequent"]) && free(node["alternate"]);
    case "ArrayExpression":
      return (node["elements"] as (AnyNode | null)[]).every((each) => each?.type !== "SpreadElement" && free(each));
    case "ObjectExpression":
      return (node["properties"] as AnyNode[]).every(
        (each) => each.type === "Property" && (each["computed"] !== true || free(each["key"])) && free(each["value"]),
      );
    case "NewExpression": {
      const callee = node["callee"] as AnyNode;
      const known = callee.type === "Identifier" && plainClasses.has(callee["name"] as string);
      return known && (node["arguments"] as AnyNode[]).every((each) => each.type === "Literal");
    }
    default:
      return false;
  }
}

function freeClass(node: AnyNode, pure: (start: number) => boolean): boolean {
  const parent = node["superClass"];
  if (isNode(parent) && bare(parent).type !== "Identifier") return false;
  if ((node["decorators"] as unknown[] | undefined)?.length) return false;
  return ((node["body"] as AnyNode)["body"] as AnyNode[]).every((member) => {
    if (member.type.startsWith("TS")) return true;
    if (member.type === "StaticBlock" || (member["decorators"] as unknown[] | undefined)?.length) return false;
    if (member["computed"] === true && !freeValue(member["key"] as AnyNode, pure)) return false;
    const value = member["value"];
    return member.type !== "PropertyDefinition" || member["static"] !== true || !isNode(value) || freeValue(value, pure);
  });
}

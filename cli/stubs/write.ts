// ⑧ The signatures of an app's functions as a Python module with its types, and as types for TypeScript. Pure.

import type { FunctionSpec, Parameter } from "../../proto/gen/hob/v1/common.ts";
import { type Language, readType, type ValueType, writeType } from "./types.ts";

type Signed = Pick<FunctionSpec, "name" | "language" | "parameters" | "returns" | "doc">;

export interface StubbedApp {
  app: string;
  /** "deployment 3", or "what was published last". */
  of: string;
  functions: readonly Signed[];
}

/** "hob_images": for files, and for Python's import. */
export const moduleName = (app: string): string => `hob_${app.replace(/[^a-z0-9_]/g, "_")}`;

const languageOf = ({ language }: Signed): Language => (language === "python" ? "python" : "typescript");
const typeIn = (spec: Signed, annotation: string, into: Language): string =>
  writeType(readType(annotation, languageOf(spec)), into);

const identifier = (name: string): string => name.replace(/[^\w]/g, "_").replace(/^(?=\d)/, "_");

/** Python says of a variadic parameter what each is, TypeScript what all are together. */
function oneOf(spec: Signed, annotation: string): ValueType {
  const type = readType(annotation, languageOf(spec));
  return spec.language === "typescript" && type.kind === "list" ? type.of : type;
}

/** As `name: type = ...` with Python's / and *. What TypeScript declares has no names that a caller could give. */
function pythonParameters(spec: Signed): string[] {
  const shown: string[] = [];
  let last = "";
  for (const { name, kind, hasDefault, annotation } of spec.parameters) {
    const type = writeType(kind === "variadic" ? oneOf(spec, annotation) : readType(annotation, languageOf(spec)), "python");
    if (last === "positional-only" && kind !== "positional-only") shown.push("/");
    if (kind === "keyword-only" && last !== "keyword-only" && last !== "variadic") shown.push("*");
    const stars = { variadic: "*", keywords: "**" }[kind] ?? "";
    shown.push(`${stars}${identifier(name)}: ${type}${hasDefault ? " = ..." : ""}`);
    last = kind;
  }
  if (last === "positional-only") shown.push("/");
  return shown;
}

function asPositional(spec: Signed): Signed {
  if (spec.language === "python") return spec;
  const parameters = spec.parameters.map((parameter) =>
    parameter.kind === "positional" ? { ...parameter, kind: "positional-only" } : parameter,
  );
  return { ...spec, parameters };
}

const methods = (spec: Signed): string[] => {
  const given = ["self", ...pythonParameters(asPositional(spec))].join(", ");
  const result = typeIn(spec, spec.returns, "python");
  const one = spec.parameters.find(({ kind }) => kind === "positional" || kind === "positional-only");
  const input = one ? typeIn(spec, one.annotation, "python") : "Any";
  const how = "*, ordered: bool = ..., return_exceptions: bool = ...";
  return [
    ...(spec.doc ? [`    """${spec.doc.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"""`] : []),
    `    def remote(${given}) -> ${result}: ...`,
    `    def spawn(${given}) -> hob.Call[${result}]: ...`,
    `    def map(self, inputs: _Inputs[${input}], ${how}) -> Iterator[${result}]: ...`,
    `    def starmap(self, inputs: _Inputs[Iterable[Any]], ${how}) -> Iterator[${result}]: ...`,
    `    def spawn_map(self, inputs: _Inputs[${input}], *, ordered: bool = ...) -> hob.MapCall[${result}]: ...`,
  ];
};

/** Functions, and classes with their methods, by the name that a module has for them. */
function members(functions: readonly Signed[]): Map<string, Signed | Map<string, Signed>> {
  const found = new Map<string, Signed | Map<string, Signed>>();
  for (const spec of functions) {
    const [owner = "", method] = spec.name.split(".", 2);
    const own = identifier(owner);
    if (method === undefined) found.set(own, spec);
    else {
      const known = found.get(own);
      found.set(own, (known instanceof Map ? known : new Map<string, Signed>()).set(identifier(method), spec));
    }
  }
  return found;
}

export function pythonStub({ app, of, functions }: StubbedApp): string {
  const lines = [
    `"""The functions of ${app}, ${of}: written by \`hob stubs ${app}\`."""`,
    "",
    "from collections.abc import AsyncIterable, Iterable, Iterator",
    "from typing import Any, Literal, TypeVar, Union",
    "",
    "import hob",
    "",
    '_T = TypeVar("_T")',
    "_Inputs = Union[Iterable[_T], AsyncIterable[_T]]",
  ];
  for (const [name, member] of members(functions)) {
    if (!(member instanceof Map)) {
      lines.push("", `class _${name}:`, ...methods(member), "", `${name}: _${name}`);
      continue;
    }
    for (const [method, spec] of member) lines.push("", `class _${name}_${method}:`, ...methods(spec));
    lines.push("", `class ${name}:`, ...[...member.keys()].map((method) => `    ${method}: _${name}_${method}`));
  }
  return `${lines.join("\n")}\n`;
}

export function pythonModule({ app, of, functions }: StubbedApp): string {
  const named = ({ name }: Signed): string => `hob.Function.from_name(${JSON.stringify(app)}, ${JSON.stringify(name)})`;
  const lines = [`"""The functions of ${app}, ${of}: written by \`hob stubs ${app}\`."""`, "", "import hob", ""];
  for (const [name, member] of members(functions)) {
    if (!(member instanceof Map)) lines.push(`${name} = ${named(member)}`);
    else lines.push("", `class ${name}:`, ...[...member].map(([method, spec]) => `    ${method} = ${named(spec)}`), "");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

/** TypeScript gives arguments in order only: what Python wants by name is left out. */
function typescriptParameters(spec: Signed): string {
  const inOrder = spec.parameters.filter(({ kind }) => kind !== "keyword-only" && kind !== "keywords");
  const show = ({ name, kind, hasDefault, annotation }: Parameter): string => {
    if (kind === "variadic")
      return `...${identifier(name)}: ${writeType({ kind: "list", of: oneOf(spec, annotation) }, "typescript")}`;
    return `${identifier(name)}${hasDefault ? "?" : ""}: ${typeIn(spec, annotation, "typescript")}`;
  };
  return inOrder.map(show).join(", ");
}

export function typescriptStub({ app, of, functions }: StubbedApp): string {
  const shown = functions.flatMap((spec) => [
    ...(spec.doc ? [`      /** ${spec.doc.replaceAll("*/", "* /")} */`] : []),
    `      ${JSON.stringify(spec.name)}: (${typescriptParameters(spec)}) => ${typeIn(spec, spec.returns, "typescript")};`,
  ]);
  return `// The functions of ${app}, ${of}: written by \`hob stubs ${app}\`.

export {};

declare module "hob" {
  interface Apps {
    ${JSON.stringify(app)}: {
${shown.join("\n")}
    };
  }
}
`;
}

// ⑧ Annotations as they were recorded, read as the JSON values that cross the wire, and written again in either language. Pure.

export type Language = "python" | "typescript";

type Scalar = "string" | "integer" | "number" | "boolean" | "null" | "bytes";

/** What a value may be; `any` for what an annotation says that means nothing outside of its project. */
export type ValueType =
  | { kind: "any" }
  | { kind: "scalar"; name: Scalar }
  | { kind: "list"; of: ValueType }
  | { kind: "tuple"; of: ValueType[] }
  | { kind: "record"; of: ValueType }
  | { kind: "union"; of: ValueType[] }
  | { kind: "literal"; text: string }; // JSON

const any: ValueType = { kind: "any" };
const scalar = (name: Scalar): ValueType => ({ kind: "scalar", name });

const scalars: Record<Language, Readonly<Record<string, ValueType>>> = {
  python: {
    str: scalar("string"),
    int: scalar("integer"),
    float: scalar("number"),
    bool: scalar("boolean"),
    bytes: scalar("bytes"),
    None: scalar("null"),
  },
  typescript: {
    string: scalar("string"),
    number: scalar("number"),
    boolean: scalar("boolean"),
    null: scalar("null"),
    undefined: scalar("null"),
    void: scalar("null"),
    Uint8Array: scalar("bytes"),
    Buffer: scalar("bytes"),
  },
};

type Make = (of: ValueType[]) => ValueType;
const list: Make = ([of = any]) => ({ kind: "list", of });
const record: Make = ([, of = any]) => ({ kind: "record", of });
const union: Make = (of) => ({ kind: "union", of });
const first: Make = ([of = any]) => of;

const generics: Record<Language, Readonly<Record<string, Make>>> = {
  python: {
    ...{ list, List: list, Sequence: list, Iterable: list, Collection: list, set: list, Set: list, frozenset: list },
    ...{ dict: record, Dict: record, Mapping: record },
    ...{ Union: union, Optional: ([of = any]) => union([of, scalar("null")]), Annotated: first, Literal: union },
    tuple: (of) => ({ kind: "tuple", of }),
    Tuple: (of) => ({ kind: "tuple", of }),
  },
  typescript: { Array: list, ReadonlyArray: list, Record: record, Promise: first, Readonly: first },
};

const token =
  /\s*(?:([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(-?\d+(?:\.\d+)?)|(\.\.\.|[[\]<>(){}|,:;?]))/y;

interface Token {
  kind: "name" | "text" | "number" | "sign";
  text: string;
}

function tokens(text: string): Token[] | undefined {
  const found: Token[] = [];
  token.lastIndex = 0;
  const end = text.trimEnd().length;
  while (token.lastIndex < end) {
    const match = token.exec(text);
    if (!match) return undefined;
    const [, name, quoted, number, sign] = match;
    if (name) found.push({ kind: "name", text: name });
    else if (quoted) found.push({ kind: "text", text: quoted });
    else if (number) found.push({ kind: "number", text: number });
    else found.push({ kind: "sign", text: sign! });
  }
  return found;
}

class Unreadable extends Error {}

/** What the annotation says a value is; `any` for what cannot be read. */
export function readType(text: string, language: Language): ValueType {
  const all = text === "" ? undefined : tokens(text);
  if (!all) return any;
  let at = 0;
  const is = (sign: string): boolean => all[at]?.kind === "sign" && all[at]?.text === sign;
  const take = (sign: string): boolean => is(sign) && at++ >= 0;
  const [open, close] = language === "python" ? ["[", "]"] : ["<", ">"];

  function several(end: string): ValueType[] {
    const found: ValueType[] = [];
    while (!take(end)) {
      if (take("...")) found.push({ kind: "literal", text: "..." });
      else found.push(options());
      if (!is(end) && !take(",")) throw new Unreadable();
    }
    return found;
  }

  function options(): ValueType {
    take("|"); // TypeScript's leading one
    const found = [one()];
    while (take("|")) found.push(one());
    return found.length === 1 ? found[0]! : union(found);
  }

  function one(): ValueType {
    let found = simple();
    while (language === "typescript" && is("[") && all![at + 1]?.text === "]") {
      at += 2;
      found = list([found]);
    }
    return found;
  }

  function simple(): ValueType {
    const next = all![at++];
    if (!next) throw new Unreadable();
    if (next.kind === "text") return quoted(next.text);
    if (next.kind === "number") return { kind: "literal", text: next.text };
    if (next.kind === "name") return named(next.text);
    if (language === "typescript" && next.text === "[") return { kind: "tuple", of: several("]") };
    if (language === "typescript" && next.text === "(") {
      const inner = options();
      if (take(")")) return inner;
    }
    throw new Unreadable();
  }

  function quoted(text: string): ValueType {
    const inner = text.slice(1, -1);
    if (language === "python" && all!.length === 1) return readType(inner, language); // an annotation that is written as text
    return { kind: "literal", text: JSON.stringify(inner) };
  }

  function named(path: string): ValueType {
    if (path === "readonly" && language === "typescript") return one();
    if (path === "true" || path === "false") return { kind: "literal", text: path };
    if (path === "True" || path === "False") return { kind: "literal", text: path.toLowerCase() };
    const name = /^(?:typing|t|collections\.abc|abc)\./.test(path) ? path.slice(path.lastIndexOf(".") + 1) : path;
    const make = Object.hasOwn(generics[language], name) ? generics[language][name] : undefined;
    const inner = take(open!) ? several(close!) : [];
    if (make) return make(inner);
    return Object.hasOwn(scalars[language], name) ? scalars[language][name]! : any;
  }

  try {
    const found = options();
    return at === all.length ? found : any;
  } catch (error) {
    if (error instanceof Unreadable) return any;
    throw error;
  }
}

/** In that language, with what its standard names give: `list[float]`, `number[]`. */
export function writeType(type: ValueType, language: Language): string {
  return language === "python" ? writePython(type) : writeTypescript(type);
}

const pythonScalars: Record<Scalar, string> = {
  ...{ string: "str", integer: "int", number: "float", boolean: "bool", null: "None", bytes: "bytes" },
};

const isDots = (type: ValueType | undefined): boolean => type?.kind === "literal" && type.text === "...";

function writePython(type: ValueType): string {
  switch (type.kind) {
    case "any":
      return "Any";
    case "scalar":
      return pythonScalars[type.name];
    case "list":
      return `list[${writePython(type.of)}]`;
    case "tuple":
      return `tuple[${type.of.map(writePython).join(", ") || "()"}]`;
    case "record":
      return `dict[str, ${writePython(type.of)}]`;
    case "union":
      return type.of.length === 1 ? writePython(type.of[0]!) : `Union[${type.of.map(writePython).join(", ")}]`;
    case "literal":
      if (isDots(type)) return "...";
      return `Literal[${{ true: "True", false: "False" }[type.text] ?? type.text}]`;
  }
}

const typescriptScalars: Record<Scalar, string> = {
  ...{ string: "string", integer: "number", number: "number", boolean: "boolean", null: "null", bytes: "Uint8Array" },
};

function writeTypescript(type: ValueType): string {
  switch (type.kind) {
    case "any":
      return "unknown";
    case "scalar":
      return typescriptScalars[type.name];
    case "list":
      return `${bracketed(type.of)}[]`;
    case "tuple":
      return isDots(type.of[1]) ? `${bracketed(type.of[0]!)}[]` : `[${type.of.map(writeTypescript).join(", ")}]`;
    case "record":
      return `Record<string, ${writeTypescript(type.of)}>`;
    case "union":
      return type.of.map(writeTypescript).join(" | ");
    case "literal":
      return type.text;
  }
}

const bracketed = (type: ValueType): string => (type.kind === "union" ? `(${writeTypescript(type)})` : writeTypescript(type));

// ③ Whether arguments fit a function's parameters, before anything is sent. Pure.

import { HobError } from "../base/errors.ts";
import type { FunctionSpec, Parameter } from "../proto/gen/hob/v1/common.ts";

/** `embed(path: str, width: int = …) -> list[float]` */
function signatureOf({ name, language, parameters, returns }: FunctionSpec): string {
  const arrow = language === "typescript" ? ": " : " -> ";
  return `${name}(${listed(parameters, language).join(", ")})${returns ? arrow + returns : ""}`;
}

function listed(parameters: readonly Parameter[], language: string): string[] {
  const typescript = language === "typescript";
  const shown: string[] = [];
  parameters.forEach(({ name, kind, hasDefault, annotation }, index) => {
    const before = parameters[index - 1]?.kind;
    if (!typescript && before === "positional-only" && kind !== "positional-only") shown.push("/");
    if (!typescript && kind === "keyword-only" && before !== "keyword-only" && before !== "variadic") shown.push("*");
    const stars = kind === "variadic" ? (typescript ? "..." : "*") : kind === "keywords" ? "**" : "";
    const type = annotation ? `: ${annotation}` : "";
    const rest = hasDefault && !typescript ? (annotation ? " = …" : "=…") : "";
    shown.push(`${stars}${name}${hasDefault && typescript ? "?" : ""}${type}${rest}`);
  });
  if (!typescript && parameters.at(-1)?.kind === "positional-only") shown.push("/");
  return shown;
}

/** Throws a HobError of kind `usage` that names the function and the parameter, and shows the signature. */
export function checkArguments(
  spec: FunctionSpec,
  positional: readonly unknown[],
  keywords: Readonly<Record<string, unknown>>,
): void {
  const fault = faultOf(spec, positional.length, Object.keys(keywords));
  if (fault) throw new HobError("usage", `${spec.name}: ${fault}`, { remedy: `it is ${signatureOf(spec)}` });
}

function faultOf({ language, parameters }: FunctionSpec, given: number, names: readonly string[]): string | undefined {
  const has = (kind: string): boolean => parameters.some((parameter) => parameter.kind === kind);
  const inOrder = parameters.filter(({ kind }) => kind === "positional-only" || kind === "positional");
  if (language === "typescript" && names.length > 0) return "a TypeScript function takes no keyword arguments";
  if (given > inOrder.length && !has("variadic")) {
    const most = inOrder.length === 1 ? "1 argument" : `${inOrder.length} arguments`;
    return `it takes at most ${most} by position, and ${given} were given`;
  }
  const filled = new Set(inOrder.slice(0, given).map((parameter) => parameter.name));
  for (const name of names) {
    const parameter = parameters.find(
      (candidate) => candidate.name === name && candidate.kind !== "variadic" && candidate.kind !== "keywords",
    );
    if (!parameter || parameter.kind === "positional-only") {
      if (has("keywords")) continue;
      return parameter ? `its parameter ${name} is given by position only` : `it has no parameter ${name}`;
    }
    if (filled.has(name)) return `its parameter ${name} is given twice, by position and by name`;
    filled.add(name);
  }
  const optional = (parameter: Parameter): boolean =>
    parameter.hasDefault || parameter.kind === "variadic" || parameter.kind === "keywords";
  const lacking = parameters.find((parameter) => !optional(parameter) && !filled.has(parameter.name));
  return lacking && `its parameter ${lacking.name} is missing`;
}

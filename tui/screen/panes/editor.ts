// ⑧ The input being edited, in pane 2: the parameters' names above it, what is wrong with it below.

import type { FunctionSpec, Parameter } from "../../../proto/gen/hob/v1/common.ts";
import { candidates, checkInput, type InputCheck, parameterAt } from "../../model/completion.ts";
import type { Editor } from "../../model/editor.ts";
import { scanLine } from "../../model/json-line.ts";
import { keyOf, type State } from "../../model/state.ts";
import { clean } from "../../text.ts";
import { type Line, line, type Span, span, wrapped } from "../line.ts";

function parameterText({ name, kind, hasDefault, annotation }: Parameter, language: string): string {
  const rest = language === "python" ? { variadic: "*", keywords: "**" } : { variadic: "...", keywords: "..." };
  const prefix = kind === "variadic" || kind === "keywords" ? rest[kind] : "";
  return `${prefix}${name}${annotation === "" ? "" : `: ${annotation}`}${hasDefault ? " = …" : ""}`;
}

/** "embed(path: str, width: int = …) → list[float]", the parameter at the cursor emphasised. */
export function signature(spec: FunctionSpec, at?: number): Line {
  const parameters = spec.parameters.flatMap((parameter, index): Span[] => [
    ...(index > 0 ? [span(", ", "dim")] : []),
    span(parameterText(parameter, spec.language), index === at ? "accentStrong" : "strong"),
  ]);
  const returns = spec.returns === "" ? [] : [span(` → ${spec.returns}`, "dim")];
  return [span(spec.name, "strong"), span("(", "dim"), ...parameters, span(")", "dim"), ...returns];
}

/** The part of the line around the cursor, the cursor as one inverse cell; below a fault, where it is. */
function inputLines({ text, cursor }: Editor, width: number, faultAt: number | undefined): Line[] {
  const before = clean(text.slice(0, cursor));
  const after = clean(text.slice(cursor));
  const from = Math.max(0, before.length - Math.floor(width * 0.8));
  const spans: Span[] = [
    span(from > 0 ? `…${before.slice(from + 1)}` : before),
    { text: after[0] ?? " ", style: "inverse" },
    span(after.slice(1)),
  ];
  const input: Line = [span(" ▸ ", "accentStrong"), ...spans];
  if (faultAt === undefined) return [input];
  const column = clean(text.slice(0, faultAt)).length - from;
  return column < 0 || column > width ? [input] : [input, [span(`${" ".repeat(column + 3)}^`, "bad")]];
}

function checkLine(check: InputCheck, width: number): Line[] {
  switch (check.state) {
    case "fits":
      return [line("✓ fits", "good")];
    case "unfinished":
      return [line(`◌ not finished: ${check.missing} is missing`, "dim")];
    case "wrong":
      return wrapped(`✗ ${check.problem}`, width, "warn");
    default:
      return check satisfies never;
  }
}

export function editorLines(state: State, width: number, height: number): Line[] {
  const { editor } = state;
  if (!editor) return [];
  const spec = state.project?.functions.find((view) => keyOf(view.spec) === editor.functionKey)?.spec;
  const verb = editor.purpose === "run" ? "run" : "pin: run on every save";
  const history = (state.inputs.get(editor.functionKey) ?? []).length;
  const help = `enter ${verb} · esc leave${history > 0 ? ` · ↑ ↓ ${history} earlier` : ""} · ["positional"] or {"name": value}`;
  const place = scanLine(editor.text, editor.cursor).place;
  const check = spec ? checkInput(spec, editor.text) : undefined;
  const names = spec ? candidates(spec, place) : [];
  const head: Line = spec ? signature(spec, parameterAt(spec, place)) : line(editor.functionKey, "strong");
  const refused = editor.problem === undefined ? [] : wrapped(`✗ ${editor.problem}`, width - 2, "bad");
  const told = refused.length > 0 || !check ? refused : checkLine(check, width - 2);
  const tab: Line[] = names.length > 0 ? [[span("tab ", "accentStrong"), span(names.join("  "), "accent")]] : [];
  const lines: Line[] = [
    [span(" "), ...head],
    ...inputLines(editor, width - 4, check?.state === "wrong" ? check.at : undefined),
    ...[...told, ...tab, ...wrapped(help, width - 2, "dim")].map((spans): Line => [span(" "), ...spans]),
  ];
  if (spec && spec.doc !== "") lines.push([], line(` ${spec.doc}`, "dim"));
  return lines.slice(0, height);
}

// ⑧ The input being edited, in pane 2: the parameters' names above it, what is wrong with it below.

import type { FunctionSpec, Parameter } from "../../../proto/gen/hob/v1/common.ts";
import type { Editor } from "../../model/editor.ts";
import { keyOf, type State } from "../../model/state.ts";
import { clean } from "../../text.ts";
import { type Line, line, type Span, span, wrapped } from "../line.ts";

function parameterText({ name, kind, hasDefault, annotation }: Parameter, language: string): string {
  const rest = language === "python" ? { variadic: "*", keywords: "**" } : { variadic: "...", keywords: "..." };
  const prefix = kind === "variadic" || kind === "keywords" ? rest[kind] : "";
  return `${prefix}${name}${annotation === "" ? "" : `: ${annotation}`}${hasDefault ? " = …" : ""}`;
}

/** "embed(path: str, width: int = …) → list[float]". */
export function signature(spec: FunctionSpec): string {
  const parameters = spec.parameters.map((parameter) => parameterText(parameter, spec.language));
  return `${spec.name}(${parameters.join(", ")})${spec.returns === "" ? "" : ` → ${spec.returns}`}`;
}

/** The part of the line around the cursor, the cursor as one inverse cell. */
function inputLine({ text, cursor }: Editor, width: number): Line {
  const before = clean(text.slice(0, cursor));
  const after = clean(text.slice(cursor));
  const from = Math.max(0, before.length - Math.floor(width * 0.8));
  const spans: Span[] = [
    span(from > 0 ? `…${before.slice(from + 1)}` : before),
    { text: after[0] ?? " ", style: "inverse" },
    span(after.slice(1)),
  ];
  return [span(" ▸ ", "accentStrong"), ...spans];
}

export function editorLines(state: State, width: number, height: number): Line[] {
  const { editor } = state;
  if (!editor) return [];
  const spec = state.project?.functions.find((view) => keyOf(view.spec) === editor.functionKey)?.spec;
  const verb = editor.purpose === "run" ? "run" : "pin: run on every save";
  const history = (state.inputs.get(editor.functionKey) ?? []).length;
  const help = `enter ${verb} · esc leave${history > 0 ? ` · ↑ ↓ ${history} earlier` : ""} · ["positional"] or {"name": value}`;
  const lines: Line[] = [line(` ${spec ? signature(spec) : editor.functionKey}`, "strong"), inputLine(editor, width - 4)];
  const below = editor.problem === undefined ? [] : wrapped(`✗ ${editor.problem}`, width - 2, "bad");
  for (const spans of [...below, ...wrapped(help, width - 2, "dim")]) lines.push([span(" "), ...spans]);
  if (spec && spec.doc !== "") lines.push([], line(` ${spec.doc}`, "dim"));
  return lines.slice(0, height);
}

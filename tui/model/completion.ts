// ⑧ Help with an input while it is typed: the parameter at the cursor, names to complete, whether it fits the function.

import { sentenceOf } from "../../base/errors.ts";
import { checkArguments } from "../../project/arguments.ts";
import type { FunctionSpec, Parameter } from "../../proto/gen/hob/v1/common.ts";
import { type Editor, parseInput } from "./editor.ts";
import { type Place, scanLine } from "./json-line.ts";

export type InputCheck =
  | { state: "fits" }
  | { state: "unfinished"; missing: string }
  | { state: "wrong"; problem: string /** Where in the text, if it is one place. */; at: number | undefined };

export function checkInput(spec: FunctionSpec, text: string): InputCheck {
  const { fault, missing } = scanLine(text, text.length);
  if (fault) return { state: "wrong", problem: `expected ${fault.expected}`, at: fault.at };
  if (missing !== "") return { state: "unfinished", missing };
  const parsed = parseInput(text);
  if (!parsed.ok) return { state: "wrong", problem: parsed.problem.replace(/^not sent: /, ""), at: undefined };
  try {
    checkArguments(spec, parsed.input.positional, parsed.input.keywords);
    return { state: "fits" };
  } catch (error) {
    const [problem = ""] = sentenceOf(error)
      .replace(`${spec.name}: `, "")
      .split(/: it is |; it is /);
    return { state: "wrong", problem, at: undefined };
  }
}

const byName = ({ kind }: Parameter): boolean => kind === "positional" || kind === "keyword-only";

/** The parameters that the name at the cursor may become. */
export function candidates(spec: FunctionSpec, place: Place): readonly string[] {
  const names = spec.language === "typescript" ? [] : spec.parameters.filter(byName).map(({ name }) => name);
  if (place.kind === "start") return names;
  if (place.kind !== "name") return [];
  return names.filter((name) => name.startsWith(place.typed) && (!place.used.includes(name) || name === place.typed));
}

/** The index of the parameter that the cursor is at; undefined where it is at none. */
export function parameterAt({ parameters }: FunctionSpec, place: Place): number | undefined {
  if (place.kind === "position") {
    const inOrder = parameters.findIndex(({ kind }, index) => index === place.index && !/^key/.test(kind));
    const rest = parameters.findIndex(({ kind }) => kind === "variadic");
    const index = inOrder >= 0 && !(rest >= 0 && inOrder > rest) ? inOrder : rest;
    return index < 0 ? undefined : index;
  }
  const name = place.kind === "value" ? place.name : place.kind === "name" ? place.typed : undefined;
  const index = parameters.findIndex((parameter) => parameter.name === name);
  return index < 0 ? undefined : index;
}

/** Completes the name at the cursor; again: the next that fits. */
export function complete(editor: Editor, spec: FunctionSpec): Editor {
  const { completed } = editor;
  if (completed?.text === editor.text) {
    const next = (completed.index + 1) % completed.names.length;
    return put(editor, { ...completed, index: next });
  }
  const empty = /^\s*\[?\s*\]?\s*$/.test(editor.text);
  const place = empty ? ({ kind: "start" } as const) : scanLine(editor.text, editor.cursor).place;
  const names = candidates(spec, place);
  if (names.length === 0 || (place.kind !== "name" && place.kind !== "start")) return editor;
  const [before, after] = place.kind === "start" ? ["{", "}"] : [editor.text.slice(0, place.from), editor.text.slice(place.to)];
  return put(editor, { text: "", names, index: 0, before, after });
}

function put(editor: Editor, completed: NonNullable<Editor["completed"]>): Editor {
  const { names, index, before, after } = completed;
  const name = `${JSON.stringify(names[index])}${/^\s*:/.test(after) ? "" : ": "}`;
  const text = before + name + after;
  return {
    ...editor,
    text,
    draft: text,
    cursor: before.length + name.length,
    historyIndex: 0,
    problem: undefined,
    completed: { ...completed, text },
  };
}

// ⑧ Two runs beside each other: where and how long they ran, what they were given, what they gave; what differs is marked.

import type { CallInfo } from "../../../proto/gen/hob/v1/calls.ts";
import type { CallRecord } from "../../model/calls.ts";
import { runMs } from "../../model/calls.ts";
import { comparedRuns, type Difference, differences } from "../../model/compare.ts";
import { parsedJson, type State } from "../../model/state.ts";
import { pad } from "../../text.ts";
import { count, duration, short, size, timeOfDayMs } from "../../units.ts";
import { failureSentence } from "../failure.ts";
import { beside, type Line, line, type Span, type Style, span } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { callText, inline } from "../value.ts";

const nameColumns = 18;
const shortestMs = 0.05; // that a duration shows
const mostComparedBytes = 4 * 1024 * 1024;

interface Look {
  /** Cells of one side. */
  readonly side: number;
}

/** A mark where both sides differ, a name, the left one, the right one. */
function row(name: string, left: Line, right: Line, differs: boolean, { side }: Look): Line {
  const mark: Span = { text: differs ? " ≠ " : "   ", style: "warn" };
  return [mark, ...beside(line(name, "dim"), nameColumns, []), ...beside(left, side - 1, line(" ")), ...right];
}

const text = (value: string, style: Style = "plain"): Line => [span(value, style)];

function factRows([left, right]: readonly [CallRecord, CallRecord], nowMs: number, look: Look): Line[] {
  const fact = (name: string, of: (call: CallInfo) => string): Line => {
    const [a, b] = [of(left.info), of(right.info)];
    return row(name, text(a), text(b), a !== b, look);
  };
  const state = (call: CallInfo): Line => [callMark(call), span(` ${callTime(call, nowMs)}`, "strong")];
  return [
    row("", text(`#${left.info.number}`, "strong"), text(`#${right.info.number}`, "strong"), false, look),
    row("state", state(left.info), state(right.info), left.info.state !== right.info.state, look),
    row("queued", text(timeOfDayMs(left.info.queuedAtMs)), text(timeOfDayMs(right.info.queuedAtMs)), false, look),
    fact("where", (call) => (call.node === "" ? "nowhere yet" : `${call.node} · ${short(call.container, 4)}`)),
    fact("code", (call) => short(call.version) || "none yet"),
    fact("started by", (call) => call.origin),
  ];
}

/** "+3.1 ms" and "×1.8" of the left one; empty where one of them is not known. */
function change(left: number | undefined, right: number | undefined): string {
  if (left === undefined || right === undefined) return "";
  const more = right - left;
  if (Math.abs(more) < shortestMs) return "  the same";
  const times = left > 0 && right > 0 ? `  ×${(right / left).toFixed(right / left < 10 ? 2 : 0)}` : "";
  return `  ${more < 0 ? "−" : "+"}${duration(Math.abs(more))}${times}`;
}

function timeRows([left, right]: readonly [CallRecord, CallRecord], look: Look): Line[] {
  const names = [...new Set([...left.info.steps, ...right.info.steps].map(({ name }) => name))].filter((name) => name !== "run");
  const times: [string, number | undefined, number | undefined][] = [
    ["run", runMs(left.info), runMs(right.info)],
    ...names.map((name): [string, number | undefined, number | undefined] => {
      const of = (call: CallInfo): number | undefined => call.steps.find((step) => step.name === name)?.ms;
      return [name, of(left.info), of(right.info)];
    }),
    ["save→result", left.saveToResultMs, right.saveToResultMs],
  ];
  return times
    .filter(([, a, b]) => a !== undefined || b !== undefined)
    .map(([name, a, b]) => {
      const shown = (ms: number | undefined): Span => span(pad(ms === undefined ? "–" : duration(ms), 9, "right"));
      return row(name, [shown(a)], [shown(b), span(change(a, b), "accent")], false, look);
    });
}

function differenceRow({ depth, name, left, right, kind, count: many }: Difference, look: Look): Line {
  const label = `${"  ".repeat(Math.max(0, Math.min(depth - 1, 4)))}${name}`;
  if (kind === "alike") return row(label, text(`… ${count(many)} the same`, "dim"), text("…", "dim"), false, look);
  if (kind === "inside") {
    const shape = (value: unknown): Line =>
      text(
        Array.isArray(value) ? `${count(value.length)} elements` : `${count(Object.keys(value as object).length)} fields`,
        "dim",
      );
    return row(label, shape(left), shape(right), true, look);
  }
  const style: Style = kind === "same" ? "dim" : "strong";
  const shown = (value: unknown): Line =>
    value === undefined ? text("– none –", "dim") : text(inline(value, look.side - 2), style);
  return row(label, shown(left), shown(right), kind === "differs", look);
}

function valueRows(left: unknown, right: unknown, look: Look): Line[] {
  const found = differences(left, right);
  if (found.length === 1 && found[0]?.kind === "same")
    return [[span("   "), ...beside(line("alike", "dim"), nameColumns, text(inline(left, 2 * look.side - 2)))]];
  return found.filter(({ depth, kind }) => depth > 0 || kind === "differs").map((difference) => differenceRow(difference, look));
}

function outcomeRows([left, right]: readonly [CallRecord, CallRecord], look: Look): Line[] {
  const outcomeOf = ({ failure, result, state }: CallInfo): { value: unknown } | { words: string } => {
    if (failure) return { words: failureSentence(failure) };
    if (!result) return { words: state };
    if (result.large || result.json.length > mostComparedBytes) return { words: size(result.large?.bytes ?? result.json.length) };
    return { value: parsedJson(result.json) };
  };
  const [a, b] = [outcomeOf(left.info), outcomeOf(right.info)];
  if ("value" in a && "value" in b) return valueRows(a.value, b.value, look);
  const words = (outcome: typeof a): string => ("words" in outcome ? outcome.words : inline(outcome.value, look.side - 2));
  return [row("", text(words(a)), text(words(b)), words(a) !== words(b), look)];
}

/** Arguments by their parameters' names, as far as the project has them. */
function inputOf({ project }: State, { app, function: name, arguments: given }: CallInfo): Record<string, unknown> {
  const parameters = project?.functions.find(({ spec }) => spec.app === app && spec.name === name)?.spec.parameters ?? [];
  const positional = (parsedJson(given?.positional) as unknown[] | undefined) ?? [];
  const named = positional.map((value, index): [string, unknown] => {
    const parameter = parameters[index];
    return [parameter && parameter.kind !== "variadic" ? parameter.name : `${index}`, value];
  });
  return { ...Object.fromEntries(named), ...((parsedJson(given?.keywords) as Record<string, unknown> | undefined) ?? {}) };
}

export function drawCompareView({ state, nowMs, width, height }: DrawContext): Drawn {
  const compared = comparedRuns(state);
  if (!compared.ok) return { title: line("Compare"), lines: [line(` ${compared.why} (esc goes back)`, "dim")] };
  const { runs } = compared;
  const look: Look = { side: Math.floor((width - nameColumns - 3) / 2) };
  const heading = (words: string): Line => line(` ${words}`, "accentStrong");
  const lines = [
    ...factRows(runs, nowMs, look),
    [],
    heading("Time"),
    ...timeRows(runs, look),
    [],
    heading("Input"),
    ...valueRows(inputOf(state, runs[0].info), inputOf(state, runs[1].info), look),
    [],
    heading("Result"),
    ...outcomeRows(runs, look),
  ];
  const [left, right] = runs.map(({ info }) => callText(info.function, info.arguments, Math.floor(width / 3)));
  const title = [span("Compare"), span(left === right ? `  ${left}` : `  ${left}  with  ${right}`, "plain")];
  return { title, ...windowOf([blockOf(lines)], state.scroll.compareView, height) };
}

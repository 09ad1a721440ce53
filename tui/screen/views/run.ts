// ⑧ A run in full: where it ran, its input, its output, its result or traceback, and what each step of the way took.

import type { Receipt } from "../../../project/events.ts";
import type { CallInfo } from "../../../proto/gen/hob/v1/calls.ts";
import { keysNow } from "../../keys.ts";
import { isFinished } from "../../model/calls.ts";
import { emptyLog } from "../../model/logs.ts";
import { repeated } from "../../model/runs.ts";
import { filesRoot, parsedJson, receiptOf, type State, shownCall } from "../../model/state.ts";
import { variablesOf } from "../../model/variables.ts";
import { pad } from "../../text.ts";
import { count, duration, size, timeOfDayMs } from "../../units.ts";
import { failureLines, repeatLines } from "../failure.ts";
import { type Line, line, type Span, span } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { type Block, blockOf, outputBlocks } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { callText, pretty } from "../value.ts";

const mostResultLines = 2_000;
const mostResultBytes = 4 * 1024 * 1024;

function heading(text: string, note = ""): Line {
  return [span(` ${text}`, "accentStrong"), span(note === "" ? "" : `  ${note}`, "dim")];
}

function fact(name: string, ...value: Span[]): Line {
  return [span(`   ${pad(name, 10)} `, "dim"), ...value];
}

function facts(state: State, call: CallInfo, nowMs: number): Line[] {
  const mark = callMark(call);
  const view = state.project?.functions.find(({ spec }) => spec.app === call.app && spec.name === call.function);
  const image = view?.spec.image;
  return [
    heading("State"),
    fact(
      "state",
      mark,
      span(` ${callTime(call, nowMs)}`, "strong"),
      span(call.attempt > 1 ? `  attempt ${call.attempt}` : "", "warn"),
    ),
    fact("started by", span(call.origin), span(call.parent === "" ? "" : `  from call ${call.parent}`, "dim")),
    fact("queued", span(timeOfDayMs(call.queuedAtMs))),
    fact("node", span(call.node || "none yet"), span(call.container === "" ? "" : `  container ${call.container}`)),
    fact("code", span(call.version || "none yet")),
    ...(image ? [fact("image", span(`${image.source}  ${image.digest}`))] : []),
  ];
}

function inputLines(call: CallInfo, width: number): Line[] {
  if (call.arguments?.large) return [heading("Input", `${size(call.arguments.large.bytes)}: too long to show here`)];
  const positional = parsedJson(call.arguments?.positional) ?? [];
  const keywords = parsedJson(call.arguments?.keywords);
  const named = typeof keywords === "object" && keywords !== null && Object.keys(keywords).length > 0;
  const values = [...pretty(positional, width - 6, 200), ...(named ? pretty(keywords, width - 6, 200) : [])];
  return [heading("Input"), ...values.map((text) => line(`   ${text}`))];
}

const laid = new WeakMap<Uint8Array, { width: number; lines: readonly Line[] }>();

/** Laid out once for each width: a result can be long, and it does not change. */
function resultLines(json: Buffer, width: number): readonly Line[] {
  const known = laid.get(json);
  if (known?.width === width) return known.lines;
  const lines = pretty(parsedJson(json), width - 4, mostResultLines).map((text) => line(`   ${text}`));
  laid.set(json, { width, lines });
  return lines;
}

/** Which keys show more of it. */
function tracebackNote(state: State, call: CallInfo): string {
  const key = (name: string): string => keysNow(state).find((binding) => binding.name === name)?.keys[0] ?? "";
  const python = call.failure?.frames.some(({ own, file }) => own && file.endsWith(".py")) && !variablesOf(state, call.id);
  return [
    state.details ? "" : `${key("details")} shows all of it`,
    python && !state.replay ? `${key("variables")} what its variables held` : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
}

function outcome(state: State, call: CallInfo, width: number): Line[] {
  if (call.failure) {
    const [head = [], ...frames] = failureLines(call.failure, {
      frames: state.details ? "all" : "folded",
      root: filesRoot(state),
      variables: variablesOf(state, call.id),
    });
    const lines = [head, ...repeatLines(repeated(state, call.id)), ...frames];
    return [heading("Traceback", tracebackNote(state, call)), ...lines.map((spans) => [span("   "), ...spans])];
  }
  if (call.state !== "succeeded" || !call.result) return [heading("Result", isFinished(call) ? "none" : "not yet")];
  const { json, large } = call.result;
  if (large) return [heading("Result", `${size(large.bytes)}, kept by the pool: hob calls ${call.number} --result`)];
  if (json.length > mostResultBytes) return [heading("Result", `${size(json.length)}: too long to show here`)];
  return [heading("Result", size(json.length)), ...resultLines(json, width)];
}

interface Bar {
  name: string;
  ms: number;
}

/** The steps one after the other: those of the save that caused the call, then the call's own. */
function waterfall(call: CallInfo, receipt: Receipt | undefined): Bar[] {
  const before = receipt ? (["watch", "describe", "ship"] as const).map((name) => ({ name, ms: receipt.ms[name] ?? 0 })) : [];
  return [...before.filter(({ ms }) => ms > 0), ...call.steps.map(({ name, ms }) => ({ name, ms }))];
}

function timingLines(call: CallInfo, receipt: Receipt | undefined, saveToResultMs: number | undefined, width: number): Line[] {
  const bars = waterfall(call, receipt);
  if (bars.length === 0) return [];
  const total = bars.reduce((sum, { ms }) => sum + ms, 0);
  const columns = Math.max(10, Math.min(80, width - 32));
  let done = 0;
  const rows = bars.map(({ name, ms }) => {
    const from = total === 0 ? 0 : Math.round((done / total) * columns);
    done += ms;
    const to = total === 0 ? 0 : Math.max(from + 1, Math.round((done / total) * columns));
    return fact(
      name,
      { text: pad(duration(ms), 8, "right"), style: "plain" },
      span(`  ${" ".repeat(from)}`),
      span("▇".repeat(to - from), "accent"),
    );
  });
  const whole = saveToResultMs === undefined ? duration(total) : `save→result ${duration(saveToResultMs)}`;
  return [heading("Timing", whole), ...rows, []];
}

export function drawRunView({ state, nowMs, width, height }: DrawContext): Drawn {
  const record = shownCall(state);
  if (!record) return { title: line("Run"), lines: [line(" this call is no longer remembered (esc goes back)", "dim")] };
  const call = record.info;
  const log = state.logs.byCall.get(call.id) ?? emptyLog;
  const output = outputBlocks(log, { width: width - 4, wrap: state.wrap, filter: state.filters.run });
  const indented = output.map(
    ({ height: rows, rows: slice }): Block => ({
      height: rows,
      rows: (from, to) => slice(from, to).map((spans) => [span("   "), ...spans]),
    }),
  );
  const timing = timingLines(call, receiptOf(state, record), record.saveToResultMs, width);
  const blocks: Block[] = [
    blockOf([
      ...facts(state, call, nowMs),
      [],
      ...timing,
      ...inputLines(call, width),
      [],
      heading("Output", `${count(log.lines)} lines`),
    ]),
    ...indented,
    blockOf([[], ...outcome(state, call, width)]),
  ];
  const { lines, viewport } = windowOf(blocks, state.scroll.runView, height);
  const name = callText(call.function, call.arguments, width - 30);
  return { title: [span(`Run #${call.number}`), span(`  ${name}`, "plain")], lines, viewport };
}

// ⑧ Pane 2: the latest call of the selected function (or the one chosen in Runs): how it went, its output, its result.

import type { CallInfo } from "../../../proto/gen/hob/v1/calls.ts";
import { isFinished } from "../../model/calls.ts";
import { emptyLog } from "../../model/logs.ts";
import { repeated } from "../../model/runs.ts";
import { filesRoot, parsedJson, type State, shownCall } from "../../model/state.ts";
import { variablesOf } from "../../model/variables.ts";
import { short, size } from "../../units.ts";
import { failureLines, repeatLines } from "../failure.ts";
import { fitting, joined, type Line, line, span } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { type Block, blockOf, outputBlocks } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { callText, inline, pretty } from "../value.ts";
import { editorLines } from "./editor.ts";
import { firstLines, urlLines } from "./first.ts";

/** Where a call ran, and which code and image answered. Short, so that it fits: the full digests are in the full view. */
function whereLine(state: State, call: CallInfo, nowMs: number, width: number): Line {
  const mark = callMark(call);
  const head: Line = [mark, span(` ${callTime(call, nowMs)}`, mark.style === "good" ? "strong" : mark.style)];
  const loaded = call.steps.some(({ name, ms }) => name === "load" && ms > 0);
  const place = [
    call.node,
    call.container && short(call.container, 4),
    isFinished(call) && call.container ? (loaded ? "loaded" : "warm") : "",
  ];
  const where = line(place.filter((part) => part !== "").join(" · "), "dim");
  const code: Line = call.version === "" ? [] : [span("code ", "dim"), span(short(call.version))];
  const image = imageSpans(state, call);
  const attempt: Line = call.attempt > 1 ? [span(`attempt ${call.attempt}`, "warn")] : [];
  return fitting(
    [
      joined([head, attempt, where, code, image], "   "),
      joined([head, attempt, where, code], "   "),
      joined([head, attempt, where, code], "  "),
      joined([head, attempt, code], "   "),
      head,
    ],
    width,
  );
}

function imageSpans(state: State, call: CallInfo): Line {
  const view = state.project?.functions.find(({ spec }) => spec.app === call.app && spec.name === call.function);
  const image = view?.spec.image;
  if (!image) return [];
  return [span("image ", "dim"), span(image.digest === "" ? image.source : `${image.source} ${short(image.digest, 4)}`)];
}

const mostResultLines = 12;

/** The result whole where it has a structure and fits, else on one line that says how much it leaves out; the full view has all of it. */
function outcomeLines(state: State, call: CallInfo, width: number, height: number): Line[] {
  if (call.failure) {
    const look = { frames: "own", root: filesRoot(state), variables: variablesOf(state, call.id) } as const;
    const [head = [], ...frames] = failureLines(call.failure, look);
    return [head, ...repeatLines(repeated(state, call.id)), ...frames];
  }
  if (call.state !== "succeeded" || !call.result) return [];
  if (call.result.large) return [[span("→ ", "accent"), span(size(call.result.large.bytes), "strong")]];
  const value = parsedJson(call.result.json);
  const most = Math.min(mostResultLines, Math.floor(height / 2));
  const vector = Array.isArray(value) && value.every((item) => typeof item !== "object");
  const whole = vector ? [] : pretty(value, width - 2, most);
  const lines = whole.length > 0 && whole.length <= most ? whole : [inline(value, width - 2)];
  return lines.map((text, row) => [span(row === 0 ? "→ " : "  ", "accent"), span(text, "strong")]);
}

function titleOf(call: CallInfo, width: number): Line {
  const text = callText(call.function, call.arguments, width - 16);
  return [span(`2 Run #${call.number}`), span(`  ${text}`, "plain")];
}

export function drawRun(context: DrawContext): Drawn {
  const { state, nowMs, width, height } = context;
  if (state.editor) return { title: line("2 Run with…"), lines: editorLines(state, width, height) };
  const call = shownCall(state)?.info;
  if (!call) return { title: line("2 Run"), lines: firstLines(context) };

  const inner = width - 2;
  const edge = (lines: readonly Line[]): Line[] => lines.map((spans) => [span(" "), ...spans]);
  const output = outputBlocks(state.logs.byCall.get(call.id) ?? emptyLog, {
    width: inner,
    wrap: state.wrap,
    filter: state.filters.run,
  });
  const outcome = outcomeLines(state, call, inner, height);
  const blocks: Block[] = [...output, blockOf(outcome)];
  const url = state.project?.functions.find(({ spec }) => spec.app === call.app && spec.name === call.function)?.url;
  const address = url === undefined ? [] : urlLines(url).map(([, ...spans]) => spans);
  const { lines, viewport } = windowOf(blocks, state.scroll.run, height - 1 - address.length);
  // Of a failure that is longer than the pane the sentence stays in sight.
  const gone = call.failure && viewport.total - outcome.length < viewport.top;
  const shown = gone ? [...outcome.slice(0, 1), ...lines.slice(1)] : lines;
  const away = viewport.total - viewport.top - viewport.height;
  const title = [...titleOf(call, width), span(away > 0 ? `  ${away} lines below (f follows)` : "", "warn")];
  return { title, lines: edge([whereLine(state, call, nowMs, inner), ...address, ...shown]), viewport };
}

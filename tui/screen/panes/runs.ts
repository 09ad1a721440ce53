// ⑧ Pane 3: the calls, newest first, each on a line.

import type { MapInfo } from "../../../proto/gen/hob/v1/maps.ts";
import { bar } from "../../charts/bars.ts";
import { stateOf } from "../../model/calls.ts";
import { listedRuns, type RunRow, rowOf } from "../../model/runs.ts";
import { type State, shownCall } from "../../model/state.ts";
import { clean, cut, pad } from "../../text.ts";
import { count, duration, timeOfDay } from "../../units.ts";
import { failureSentence } from "../failure.ts";
import { cutLine, type Line, line, span, spread } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { type DrawContext, type Drawn, listTop } from "../section.ts";

const longestName = 22;

interface Columns {
  number: number;
  name: number;
  width: number;
}

function runLine(state: State, { record: { info }, calls }: RunRow, columns: Columns, nowMs: number): Line {
  const shown = shownCall(state)?.info.id;
  const chosen = state.focus === "runs" && calls.some((call) => call.info.id === shown);
  const marked = calls.some((call) => state.marked.includes(call.info.id));
  const failure = stateOf(info) === "failed" ? info.failure : undefined;
  const time = callTime(info, nowMs);
  // Times stand below each other; words, which may be longer, follow the name.
  const times = calls.length > 1 ? `×${calls.length}  ` : "";
  const outcome = failure ? span(times + failureSentence(failure), "bad") : span(time.length > 9 ? time : pad(time, 9, "right"));
  const left: Line = [
    span(chosen ? "▸" : " ", "accentStrong"),
    { text: pad(`#${info.number}`, columns.number), style: "dim" },
    span(marked ? "+" : " ", "accentStrong"),
    callMark(info),
    { text: ` ${pad(clean(info.function), columns.name)} `, style: chosen ? "strong" : "plain" },
    outcome,
  ];
  const right = [
    span(columns.width >= 56 ? `${pad(info.origin, 8)}  ` : "", "dim"),
    span(`${timeOfDay(info.queuedAtMs)} `, "dim"),
  ];
  return spread(left, right, columns.width);
}

/** A map that has ended is shown for so long. */
const endedMs = 8_000;
const mapsShown = 3;
const barCells = 12;

const shownMaps = (state: State, nowMs: number): MapInfo[] =>
  state.maps.filter(({ state: now, finishedAtMs }) => now === "running" || nowMs - finishedAtMs < endedMs).slice(0, mapsShown);

/** " map #3 ▇▇▇▁▁▁▁▁▁▁▁▁ embed  12,345/100,000  8,421/s  10 s left  2 failed" */
function mapLine({ number, function: name, state, inputs, closed, succeeded, failed, rate }: MapInfo): Line {
  const done = succeeded + failed;
  const running = state === "running";
  const words = [closed ? `${count(done)}/${count(inputs)}` : `${count(done)} done`];
  if (running) words.push(`${count(Math.round(rate))}/s`);
  else words.push(state === "succeeded" ? "done" : state);
  if (running && closed && rate > 0) words.push(`${duration(((inputs - done) / rate) * 1000)} left`);
  return [
    span(` map #${number} `, "dim"),
    ...bar(inputs > 0 ? done / inputs : 0, barCells, running ? "accent" : state === "succeeded" ? "good" : "bad"),
    span(` ${cut(clean(name), longestName)}  ${words.join("  ")}`),
    ...(failed > 0 ? [span(`  ${count(failed)} failed`, "bad")] : []),
  ];
}

export function drawRuns(context: DrawContext): Drawn {
  const maps = shownMaps(context.state, context.nowMs).map((map) => cutLine(mapLine(map), context.width));
  const calls = drawCalls({ ...context, height: Math.max(1, context.height - maps.length) });
  return { ...calls, lines: [...maps, ...calls.lines] };
}

function drawCalls({ state, nowMs, width, height }: DrawContext): Drawn {
  const rows = listedRuns(state);
  const listed = rows.reduce((sum, { calls }) => sum + calls.length, 0);
  const forgotten = state.calls.forgotten > 0 ? `, ${state.calls.forgotten} older forgotten` : "";
  const title = [span("3 Runs"), span(listed > 0 ? `  ${listed}${forgotten}` : "", "dim")];
  if (rows.length === 0) {
    const filter = state.filters.runs;
    return { title, lines: [line(filter === "" ? " no runs yet" : ` no run contains "${filter}" (esc shows all)`, "dim")] };
  }
  const top = listTop(Math.max(0, rowOf(rows, state.inspected)), rows.length, height);
  const shown = rows.slice(top, top + height);
  const columns = {
    number: Math.max(3, ...shown.map(({ record }) => `#${record.info.number}`.length)),
    name: Math.min(longestName, Math.max(...shown.map(({ record }) => cut(clean(record.info.function), longestName).length))),
    width,
  };
  return { title, lines: shown.map((row) => runLine(state, row, columns, nowMs)) };
}

// ⑧ Pane 1: the project's functions, how their latest runs went, and the version of each that serves.

import type { FunctionView } from "../../../project/events.ts";
import type { FunctionSpec } from "../../../proto/gen/hob/v1/common.ts";
import { scheduleText } from "../../../proto/schedule-text.ts";
import { sparkline } from "../../charts/bars.ts";
import { medianMs, newestFirst, stateOf } from "../../model/calls.ts";
import { keyOf, listedFunctions, type State, selectedFunction } from "../../model/state.ts";
import { clean, pad } from "../../text.ts";
import { duration, short } from "../../units.ts";
import { type Line, line, type Span, span, widthOf } from "../line.ts";
import { callMarks } from "../marks.ts";
import { nextFiring } from "../schedule.ts";
import { type DrawContext, type Drawn, listTop } from "../section.ts";

const sparkColumns = 6;
const markerColumns = 2;
const pinColumns = 2;
const languageColumns = 3;
const medianColumns = 11; // "p50 12.4 ms"
const versionColumns = 6;
const shortestName = 16;

interface Columns {
  name: number;
  gap: string;
  states: boolean;
  median: boolean;
  spark: boolean;
  version: boolean;
}

/** What fits: the name comes first, then the version, the times, the states, the sparkline. */
function chooseColumns(width: number, longestName: number): Columns {
  const columns: Columns = { name: 0, gap: " ", states: false, median: false, spark: false, version: false };
  let left = width - 1 - markerColumns - pinColumns - languageColumns;
  const wanted = { version: versionColumns, median: medianColumns, states: 3, spark: sparkColumns };
  for (const column of ["version", "median", "states", "spark"] as const) {
    const needed = wanted[column] + 1;
    if (left - needed < Math.min(longestName, shortestName)) break;
    columns[column] = true;
    left -= needed;
  }
  columns.name = Math.max(4, Math.min(longestName, left));
  if (left - columns.name >= 4) columns.gap = "  ";
  return columns;
}

const isRunning = (state: State, key: string): boolean =>
  newestFirst(state.calls).some(({ info }) => `${info.app}/${info.function}` === key && stateOf(info) === "running");

/** The last three states, oldest first; ○ where there was no run yet. A run that is under way comes last. */
function lastStates(state: State, key: string): Span[] {
  const finished = (state.calls.recent.get(key) ?? []).slice(-3).map((run) => run.state);
  const states = isRunning(state, key) ? [...finished, "running" as const].slice(-3) : finished;
  const marks = states.map((name) => ({ text: callMarks[name].mark, style: callMarks[name].style }));
  return [...marks, { text: "○".repeat(3 - marks.length), style: "dim" }];
}

/** What calls it besides persons: where an endpoint answers, when the clock does. Shown until its runs are; the longest way first. */
function calledBy({ operations }: State, { app, name, endpoint, schedule }: FunctionSpec, nowMs: number): string[] {
  if (endpoint)
    return [`${endpoint.kind === "function" ? endpoint.methods.join(",") || "GET" : endpoint.kind} /${app}${endpoint.path}`];
  if (!schedule) return [];
  const text = scheduleText(schedule);
  const known = operations?.schedules.find((info) => info.app === app && info.function === name);
  if (!known) return [text];
  const next = nextFiring(known, nowMs).text.replace(/^in /, "next ");
  return [`${next}  ${text}`, next];
}

/** The cells that states, median and sparkline take, gaps between them included. */
function cellsOfRuns({ states, median, spark, gap }: Columns): number {
  const shown = [states ? 3 : 0, median ? medianColumns : 0, spark ? sparkColumns : 0].filter((cells) => cells > 0);
  return shown.reduce((sum, cells) => sum + cells + gap.length, -gap.length);
}

function functionLine({ state, nowMs }: DrawContext, view: FunctionView, columns: Columns, chosen: boolean): Line {
  const { spec, pinned, version } = view;
  const key = keyOf(spec);
  const runs = state.calls.recent.get(key) ?? [];
  const median = medianMs(runs);
  const focused = state.focus === "functions";
  const spans: Span[] = [
    span(chosen ? "▸ " : "  ", focused ? "accentStrong" : "dim"),
    { text: pad(clean(spec.name), columns.name), style: chosen ? "strong" : "plain" },
    span(pinned ? " ◆" : "  ", "accent"),
    span(spec.language === "python" ? " py" : " ts", "dim"),
  ];
  const gap = span(columns.gap);
  const ways = runs.length === 0 && !isRunning(state, key) ? calledBy(state, spec, nowMs) : [];
  const serves = columns.version ? [gap, span(version === "" ? "–" : short(version), "dim")] : [];
  const cells = cellsOfRuns(columns);
  const [longest] = ways;
  if (longest !== undefined && cells > 0) {
    const spills = longest.length > cells; // and has the version's cells, too
    const room = spills ? cells + widthOf(serves) : cells;
    const way = ways.find((each) => each.length <= room) ?? longest;
    return [...spans, gap, span(pad(clean(way), room), "dim"), ...(spills ? [] : serves)];
  }
  if (columns.states) spans.push(gap, ...lastStates(state, key));
  if (columns.median) {
    const time = median === undefined ? "" : duration(median);
    spans.push(gap, span(median === undefined ? "    " : "p50 ", "dim"), span(pad(time, medianColumns - 4, "right")));
  }
  if (columns.spark)
    spans.push(
      gap,
      span(
        sparkline(
          runs.map(({ ms }) => ms),
          sparkColumns,
        ),
        "accent",
      ),
    );
  return [...spans, ...serves];
}

function emptyLines(state: State): Line[] {
  if (!state.project) return [line(" reading the project …", "dim")];
  if (state.filters.functions !== "") return [line(` no function contains "${state.filters.functions}" (esc shows all)`, "dim")];
  if (state.diagnostics.length > 0) return [line(" no function could be read: see Last save", "dim")];
  return [line(" no functions in this project yet", "dim"), line(` ${state.project.root}`, "dim")];
}

export function drawFunctions(context: DrawContext): Drawn {
  const { state, width, height } = context;
  const title = line("1 Functions");
  const listed = listedFunctions(state);
  if (listed.length === 0) return { title, lines: emptyLines(state) };
  const chosen = selectedFunction(state);
  const columns = chooseColumns(width, Math.max(...listed.map(({ spec }) => clean(spec.name).length)));
  const top = listTop(chosen ? listed.indexOf(chosen) : 0, listed.length, height);
  const lines = listed.slice(top, top + height).map((view) => functionLine(context, view, columns, view === chosen));
  const hidden = listed.length - lines.length;
  return { title: hidden > 0 ? [...title, span(` ${lines.length} of ${listed.length}`, "dim")] : title, lines };
}

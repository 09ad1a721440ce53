// ⑧ Pane 3: the calls, newest first, each on a line.

import { type CallRecord, stateOf } from "../../model/calls.ts";
import { listedCalls, type State, shownCall } from "../../model/state.ts";
import { clean, cut, pad } from "../../text.ts";
import { timeOfDay } from "../../units.ts";
import { failureSentence } from "../failure.ts";
import { type Line, line, span, spread } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { type DrawContext, type Drawn, listTop } from "../section.ts";

const longestName = 22;

interface Columns {
  number: number;
  name: number;
  width: number;
}

function runLine(state: State, { info }: CallRecord, columns: Columns, nowMs: number): Line {
  const chosen = state.focus === "runs" && info.id === shownCall(state)?.info.id;
  const failure = stateOf(info) === "failed" ? info.failure : undefined;
  const time = callTime(info, nowMs);
  // Times stand below each other; words, which may be longer, follow the name.
  const outcome = failure ? span(failureSentence(failure), "bad") : span(time.length > 9 ? time : pad(time, 9, "right"));
  const left: Line = [
    span(chosen ? "▸" : " ", "accentStrong"),
    { text: pad(`#${info.number}`, columns.number), style: "dim" },
    span(" "),
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

export function drawRuns({ state, nowMs, width, height }: DrawContext): Drawn {
  const listed = listedCalls(state);
  const forgotten = state.calls.forgotten > 0 ? `, ${state.calls.forgotten} older forgotten` : "";
  const title = [span("3 Runs"), span(listed.length > 0 ? `  ${listed.length}${forgotten}` : "", "dim")];
  if (listed.length === 0) {
    const filter = state.filters.runs;
    return { title, lines: [line(filter === "" ? " no runs yet" : ` no run contains "${filter}" (esc shows all)`, "dim")] };
  }
  const at = Math.max(
    0,
    listed.findIndex(({ info }) => info.id === state.inspected),
  );
  const top = listTop(at, listed.length, height);
  const shown = listed.slice(top, top + height);
  const columns = {
    number: Math.max(3, ...shown.map(({ info }) => `#${info.number}`.length)),
    name: Math.min(longestName, Math.max(...shown.map(({ info }) => cut(clean(info.function), longestName).length))),
    width,
  };
  return { title, lines: shown.map((record) => runLine(state, record, columns, nowMs)) };
}

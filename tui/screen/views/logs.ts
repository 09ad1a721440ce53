// ⑧ The logs in full: time, function, container, level, text; what matches the filter is marked in it.

import type { LogLine } from "../../../proto/gen/hob/v1/common.ts";
import { isGap } from "../../../proto/lost-output.ts";
import { filterOf, type Level, type LineFilter, levelOf, shownChunks } from "../../model/logview.ts";
import { clean, pad } from "../../text.ts";
import { count, short, size, timeOfDayMs } from "../../units.ts";
import { type Line, line, type Span, type Style, span } from "../line.ts";
import { type Block, blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";

const marks: Record<Level, { mark: string; style: Style }> = {
  debug: { mark: "·", style: "dim" },
  info: { mark: " ", style: "plain" },
  warning: { mark: "!", style: "warn" },
  error: { mark: "✗", style: "bad" },
};
const leastWords: Record<Level, string> = { debug: "", info: "info and above", warning: "warnings and errors", error: "errors" };
const longestCells = 4_096; // of a line that is shown
const longestName = 16;
const mostMarks = 50; // in one line

/** The text with what the filter looks for marked. */
function markedText(text: string, style: Style, filter: LineFilter): Line {
  if (!filter.ok) return [{ text, style }];
  const wanted = filter.terms.filter(({ kind }) => kind === "has").map(({ pattern }) => pattern);
  const found = wanted
    .flatMap((pattern) => [...text.matchAll(new RegExp(pattern, `${pattern.flags}g`))].slice(0, mostMarks))
    .sort((a, b) => a.index - b.index);
  const spans: Span[] = [];
  let at = 0;
  for (const { 0: match, index } of found) {
    if (match === "" || index < at) continue;
    spans.push({ text: text.slice(at, index), style }, { text: match, style: "inverse" });
    at = index + match.length;
  }
  return [...spans, { text: text.slice(at), style }].filter((part) => part.text !== "");
}

function lineRow(entry: LogLine, names: number, filter: LineFilter): Line {
  const head: Line = [
    span(` ${timeOfDayMs(entry.timeMs)} `, "dim"),
    ...(names > 0 ? [span(`${pad(clean(entry.function), names)} `, "accent")] : []),
    span(`${pad(short(entry.container, 4), 4)} `, "dim"),
  ];
  if (isGap(entry)) return [...head, span(`… ${size(entry.dropped)} dropped`, "dim")];
  const { mark, style } = marks[entry.stream === "system" ? "debug" : levelOf(entry)];
  const text = clean(entry.text.slice(0, longestCells));
  return [...head, span(mark, style), span(" "), ...markedText(text, style, filter)];
}

export function drawLogsView({ state, height }: DrawContext): Drawn {
  const { logView, logs, filters } = state;
  const filter = filterOf(filters.logs);
  const chunks = shownChunks(state);
  const functions = new Set(state.project?.functions.map(({ spec }) => clean(spec.name)));
  const names = logView.of === undefined ? Math.min(longestName, Math.max(4, ...[...functions].map((name) => name.length))) : 0;
  const blocks = chunks.map(
    (lines): Block => ({
      height: lines.length,
      rows: (from, to) => lines.slice(from, to).map((entry) => lineRow(entry, names, filter)),
    }),
  );
  const shown = chunks.reduce((sum, lines) => sum + lines.length, 0);
  if (logs.all.dropped > 0)
    blocks.unshift(blockOf([line(` … ${count(logs.all.dropped)} earlier lines are no longer kept here`, "dim")]));
  if (shown === 0) blocks.push(blockOf([line(emptyText(logs.all.lines, filters.logs), "dim")]));
  const { lines, viewport } = windowOf(blocks, state.scroll.logsView, height);
  const away = viewport.total - viewport.top - viewport.height;
  const title: Line = [
    span("Logs"),
    span(`  ${logView.of?.split("/").slice(1).join("/") ?? "of all functions"}`),
    span(`  ${count(shown)} of ${count(logs.all.lines)} lines`, "dim"),
    span(logView.least === "debug" ? "" : `  ${leastWords[logView.least]} (v)`, "warn"),
    span(filters.logs === "" ? "" : `  /${filters.logs}`, "accent"),
    span(logView.marked && filters.logs !== "" ? "  among all lines (m)" : "", "dim"),
    span(filter.ok ? "" : `  ${filter.problem}`, "bad"),
    span(away > 0 ? `  ${count(away)} below (f follows)` : "", "warn"),
  ];
  return { title, lines, viewport };
}

function emptyText(lines: number, filter: string): string {
  if (lines === 0) return " no output yet: what functions print appears here";
  return filter === "" ? " no line of this kind (v shows other levels, L all functions)" : " no line matches (esc shows all)";
}

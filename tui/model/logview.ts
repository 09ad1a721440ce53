// ⑧ The logs in full: of one function or of all, by level, by what they contain; which lines are shown, and where the next match is.

import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import { functionKey } from "./calls.ts";
import { type Step, step } from "./effects.ts";
import { type State, selectedFunction } from "./state.ts";

const levels = ["debug", "info", "warning", "error"] as const;
export type Level = (typeof levels)[number];

export interface LogView {
  /** A function's key; undefined shows the output of all. */
  readonly of: string | undefined;
  /** Lines below this level are left out. */
  readonly least: Level;
  /** All lines, those that match marked; else only those that match. */
  readonly marked: boolean;
}

export const firstLogView: LogView = { of: undefined, least: "debug", marked: false };

// Where a line's level stands, if it names one: near its start, as a word or a JSON field; or it ends a traceback.
const named = /^.{0,60}?\b(?:(fatal|critical|error|panic)|(warn(?:ing)?)|(info|notice)|(debug|trace))\b/i;
const longestHead = 80;
const raised = /^\w*(?:Error|Exception)\b/;

export function levelOf({ text, stream }: LogLine): Level {
  if (raised.test(text.slice(0, longestHead))) return "error";
  const [, error, warning, info, debug] = named.exec(text.slice(0, longestHead)) ?? [];
  if (error !== undefined) return "error";
  if (warning !== undefined) return "warning";
  if (debug !== undefined) return "debug";
  return info === undefined && stream === "stderr" ? "warning" : "info";
}

interface Term {
  readonly kind: "has" | "lacks" | "container";
  readonly pattern: RegExp;
}

/** Terms between spaces, all of which must hold: a regular expression, !regular expression, @container. */
export type LineFilter = { ok: true; terms: readonly Term[] } | { ok: false; problem: string };

const literally = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

export function parseFilter(text: string): LineFilter {
  const terms: Term[] = [];
  for (const word of text.split(" ")) {
    const kind = word.startsWith("!") ? "lacks" : word.startsWith("@") ? "container" : "has";
    const body = kind === "has" ? word : word.slice(1);
    if (body === "") continue;
    try {
      // Capitals mean capitals, as in an editor's smart case.
      const source = kind === "container" ? `^${literally(body)}` : body;
      terms.push({ kind, pattern: new RegExp(source, /\p{Lu}/u.test(body) ? "u" : "iu") });
    } catch (error) {
      return { ok: false, problem: (error as Error).message.replace(/^Invalid regular expression: /, "") };
    }
  }
  return { ok: true, terms };
}

const parsedFilters = new Map<string, LineFilter>();

export function filterOf(text: string): LineFilter {
  let filter = parsedFilters.get(text);
  if (!filter) {
    if (parsedFilters.size > 100) parsedFilters.clear(); // each key typed is another
    filter = parseFilter(text);
    parsedFilters.set(text, filter);
  }
  return filter;
}

/** A filter that is not one yet, because it is being typed, lets all lines through. */
export function isMatch(line: LogLine, filter: LineFilter): boolean {
  if (!filter.ok) return true;
  return filter.terms.every(({ kind, pattern }) =>
    kind === "container" ? pattern.test(line.container) : pattern.test(line.text) === (kind === "has"),
  );
}

function isShown(line: LogLine, { of, least, marked }: LogView, filter: LineFilter): boolean {
  if (of !== undefined && functionKey(line.app, line.function) !== of) return false;
  if (least !== "debug" && levels.indexOf(levelOf(line)) < levels.indexOf(least)) return false;
  return marked || isMatch(line, filter);
}

const chosen = new WeakMap<readonly LogLine[], { key: string; lines: readonly LogLine[] }>();

/** The lines to show, in the chunks that the book keeps: a chunk that has not changed is not looked at again. */
export function shownChunks({ logs, logView, filters }: Pick<State, "logs" | "logView" | "filters">): (readonly LogLine[])[] {
  const text = filters.logs;
  const filter = filterOf(text);
  const key = `${logView.of ?? ""}\n${logView.least}\n${logView.marked ? "" : text}`;
  return logs.all.chunks.map((chunk) => {
    const known = chosen.get(chunk);
    if (known?.key === key) return known.lines;
    const lines = chunk.filter((line) => isShown(line, logView, filter));
    chosen.set(chunk, { key, lines });
    return lines;
  });
}

/** The row of the next line that matches among all lines; undefined when there is none in that direction. */
function matchFrom(state: State, by: 1 | -1): number | undefined {
  const filter = filterOf(state.filters.logs);
  const among = { ...state, logView: { ...state.logView, marked: true } };
  const lines = shownChunks(among).flat();
  const before = state.logs.all.dropped > 0 ? 1 : 0; // the row that says how many lines went
  const { follow, top } = state.scroll.logsView;
  const seen = follow ? lines.length - (state.viewports.logsView?.height ?? 0) : top - before;
  const from = state.logView.marked ? seen + by : by > 0 ? 0 : lines.length - 1;
  for (let row = Math.max(0, from); row >= 0 && row < lines.length; row += by)
    if (isMatch(lines[row]!, filter)) return row + before;
  return undefined;
}

// Actions

export function openLogs(scope: "function" | "all"): (state: State) => Step {
  return (state) => {
    const spec = selectedFunction(state)?.spec;
    const of = scope === "all" || !spec ? undefined : functionKey(spec.app, spec.name);
    if (state.view === "logs" && state.logView.of === of) return step({ ...state, view: "main" });
    const scroll = { ...state.scroll, logsView: { follow: true, top: 0 } };
    return step({ ...state, view: "logs", logView: { ...state.logView, of }, scroll });
  };
}

export function needsLogs({ view }: State): string | undefined {
  return view === "logs" ? undefined : "the logs are not open (l opens them)";
}

export function needsPattern(state: State): string | undefined {
  return needsLogs(state) ?? (state.filters.logs === "" ? "type what to look for first (/)" : undefined);
}

export function nextLevel(state: State): Step {
  const { logView } = state;
  const least = levels[(levels.indexOf(logView.least) + 1) % levels.length] ?? "debug";
  return step({ ...state, logView: { ...logView, least } });
}

export function toggleMarked(state: State): Step {
  return step({ ...state, logView: { ...state.logView, marked: !state.logView.marked } });
}

/** Shows the match among its neighbours, at the top. */
export function nextMatch(by: 1 | -1): (state: State) => Step {
  return (state) => {
    const among: State = { ...state, wrap: false, logView: { ...state.logView, marked: true } };
    const row = matchFrom(state, by);
    if (row === undefined) {
      const text = by > 0 ? "no match below" : "no match above";
      return step({ ...among, notice: { level: "info", text, timeMs: 0, shownAtMs: 0 } });
    }
    return step({ ...among, scroll: { ...among.scroll, logsView: { follow: false, top: row } } });
  };
}

// ⑧ The whole screen as rows of text: sections drawn, put into their frames, painted. Pure; a new pane or view is a row in `sections` or `views`.

import { type Frame, layout, type Rectangle, type Section, type SectionName } from "../layout.ts";
import type { State, Surface, ViewName, Viewport } from "../model/state.ts";
import { counted } from "../units.ts";
import { blank, cutLine, fitting, type Line, line, type Span, span, widthOf } from "./line.ts";
import { withPalette } from "./overlay.ts";
import { type Palette, paint } from "./palette.ts";
import { drawFleet } from "./panes/fleet.ts";
import { footerLine } from "./panes/footer.ts";
import { drawFunctions } from "./panes/functions.ts";
import { headerLine } from "./panes/header.ts";
import { drawRun } from "./panes/run.ts";
import { drawRuns } from "./panes/runs.ts";
import { drawSave } from "./panes/save.ts";
import type { Drawn, DrawSection, Widgets } from "./section.ts";
import { drawCompareView } from "./views/compare.ts";
import { drawFleetView } from "./views/fleet.ts";
import { drawHelpView } from "./views/help.ts";
import { drawImagesView } from "./views/images.ts";
import { drawLogsView } from "./views/logs.ts";
import { drawOperationsView } from "./views/operations.ts";
import { drawRunView } from "./views/run.ts";

const sections: Record<Exclude<SectionName, "view">, { draw: DrawSection; surface?: Surface }> = {
  functions: { draw: drawFunctions },
  save: { draw: drawSave },
  run: { draw: drawRun, surface: "run" },
  runs: { draw: drawRuns },
  fleet: { draw: drawFleet, surface: "fleet" },
};

const views: Record<Exclude<ViewName, "main">, { draw: DrawSection; surface: Surface }> = {
  run: { draw: drawRunView, surface: "runView" },
  logs: { draw: drawLogsView, surface: "logsView" },
  fleet: { draw: drawFleetView, surface: "fleetView" },
  images: { draw: drawImagesView, surface: "imagesView" },
  operations: { draw: drawOperationsView, surface: "operationsView" },
  compare: { draw: drawCompareView, surface: "compareView" },
  help: { draw: drawHelpView, surface: "helpView" },
};

export interface Picture {
  readonly rows: readonly string[];
  readonly viewports: Partial<Record<Surface, Viewport>>;
}

export interface Look {
  readonly palette: Palette;
  readonly widgets: Widgets | undefined;
  readonly nowMs: number;
}

export function drawScreen(state: State, look: Look): Picture {
  const { lines, viewports } = drawLines(state, look);
  return { rows: lines.map((spans) => paint(spans, state.columns, look.palette)), viewports };
}

/** The rows before they have colours. */
export function drawLines(
  state: State,
  look: Omit<Look, "palette">,
): { lines: readonly Line[]; viewports: Picture["viewports"] } {
  const { columns, rows } = state;
  const plan = layout({ columns, rows, full: state.view !== "main", functions: state.project?.functions.length ?? 0 });
  if (plan.kind === "tooSmall") return { lines: tooSmall(columns, rows), viewports: {} };

  const viewports: Partial<Record<Surface, Viewport>> = {};
  const lines: Line[] = Array.from({ length: rows }, () => blank);
  lines[plan.header.y] = headerLine(state, look.nowMs, columns);
  lines[plan.footer.y] = footerLine(state, columns);
  for (const frame of plan.frames) {
    const drawn = frame.sections.map((section) => draw(section, state, look, viewports));
    for (const [row, spans] of frameRows(frame, drawn, state)) lines[row] = [...(lines[row] ?? blank), ...spans];
  }
  return { lines: withPalette(lines, state), viewports };
}

/** What the view in front says, without borders and marks of its layout. */
export function drawView(state: State, nowMs: number): { title: string; lines: readonly string[] } {
  const entry = state.view === "main" ? undefined : views[state.view];
  if (!entry) return { title: "", lines: [] };
  const { columns: width, rows: height } = state;
  const { title, lines } = entry.draw({ state, nowMs, width, height, widgets: undefined });
  const words = (spans: Line): string =>
    spans
      .map(({ text }) => text)
      .join("")
      .replace(/[─│▇▁█\u2800-\u28ff]+/g, " ")
      .replace(/ {3,}/g, "  ")
      .trim();
  return { title: words(title), lines: lines.map(words) };
}

function draw(
  { name, inner }: Section,
  state: State,
  look: Omit<Look, "palette">,
  viewports: Partial<Record<Surface, Viewport>>,
): Drawn {
  const entry = name === "view" ? (state.view === "main" ? undefined : views[state.view]) : sections[name];
  if (!entry) return { title: blank, lines: [] };
  const { width, height } = inner;
  const drawn = entry.draw({ state, nowMs: look.nowMs, width, height, widgets: look.widgets });
  if (entry.surface && drawn.viewport) viewports[entry.surface] = drawn.viewport;
  return name === "view" && state.view !== "logs" ? { ...drawn, title: [...drawn.title, below(drawn)] } : drawn;
}

/** How much of a view is further down. */
function below({ viewport }: Drawn): Span {
  const lines = viewport ? viewport.total - viewport.top - viewport.height : 0;
  return span(lines > 0 ? `  ${counted(lines, "line")} below` : "", "warn");
}

/** The rows of a frame, borders included, each in exactly its width. Frames must come from left to right. */
function* frameRows({ outer, sections: parts }: Frame, drawn: readonly Drawn[], state: State): Generator<[number, Line]> {
  for (const [index, { name, inner }] of parts.entries()) {
    const corners = index === 0 ? (["╭", "╮"] as const) : (["├", "┤"] as const);
    yield [inner.y - 1, border(corners, titled(name, drawn[index]?.title ?? blank, state), outer)];
    for (let row = 0; row < inner.height; row++) {
      const content = cutLine(drawn[index]?.lines[row] ?? blank, inner.width);
      yield [inner.y + row, [edge, ...content, fill(inner.width - widthOf(content)), edge]];
    }
  }
  yield [outer.y + outer.height - 1, border(["╰", "╯"], blank, outer)];
}

const edge: Span = span("│", "dim");
const fill = (cells: number): Span => ({ text: " ".repeat(cells), style: "plain" });

function titled(name: SectionName, title: Line, state: State): Line {
  const focused = name === "view" || (state.view === "main" && name === state.focus);
  const [first, ...rest] = title;
  if (!first) return title;
  const filter = name === "view" || name === "save" ? "" : state.filters[name];
  const shown: Line = [{ text: first.text, style: focused ? "accentStrong" : "strong" }, ...rest];
  return filter === "" ? shown : [...shown, span(`  /${filter}`, "accent")];
}

function border([left, right]: readonly [string, string], title: Line, { width }: Rectangle): Line {
  const room = width - 5;
  const shown = cutLine(title, room);
  const text: Line = widthOf(shown) === 0 ? [] : [span(" "), ...shown, span(" ")];
  return [span(left, "dim"), ...text, span("─".repeat(width - 2 - widthOf(text)), "dim"), span(right, "dim")];
}

function tooSmall(columns: number, rows: number): Line[] {
  const text = fitting(
    [line(`terminal too small: ${columns}×${rows}, hob needs 80×24`), line(`too small: needs 80×24`), line("too small")],
    columns,
  );
  const row = Math.floor((rows - 1) / 2);
  const left = Math.max(0, Math.floor((columns - widthOf(text)) / 2));
  return Array.from({ length: rows }, (_, index) => (index === row ? [fill(left), ...text] : blank));
}

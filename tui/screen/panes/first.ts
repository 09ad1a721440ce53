// ⑧ Pane 2 while nothing has run yet: what hob waits for, how a function looks, or which key runs the first one.

import { bar } from "../../charts/bars.ts";
import { keysNow } from "../../keys.ts";
import { presentBuilds } from "../../model/builds.ts";
import { type Progress, type State, selectedFunction } from "../../model/state.ts";
import { count, duration } from "../../units.ts";
import { buildLines } from "../builds.ts";
import { beside, type Line, line, span, wrapped } from "../line.ts";
import type { DrawContext } from "../section.ts";
import { signature } from "./editor.ts";

const mostBarColumns = 24;

/** "capturing image host  4,120 / 17,400 files  ▇▇▇▇▁▁▁▁". */
export function progressLines(progress: readonly Progress[], width: number): Line[] {
  return progress.flatMap(({ what, phase, done, total, unit, message }) => {
    if (phase === "failed") return indented(wrapped(`✗ ${what}: ${message}`, width - 2, "bad"));
    const name = ` ${phase} ${what}`;
    if (total <= 0) return [[span(name), span(`  ${done > 0 ? `${count(done)} ${unit}` : message}`, "dim")]];
    const amount = `  ${count(done)} / ${count(total)} ${unit}  `;
    const room = Math.min(mostBarColumns, width - name.length - amount.length - 1);
    return [[span(name), span(amount, "dim"), ...(room >= 4 ? bar(done / total, room, "accent") : [])]];
  });
}

function indented(lines: readonly Line[]): Line[] {
  return lines.map((spans) => [span(" "), ...spans]);
}

const python = [
  "import hob",
  'app = hob.App("hello")',
  "@app.function()",
  'def greet(name="world"):',
  '    return f"hello {name}"',
];

const typescript = [
  'import { App } from "hob";',
  'const app = new App("hello");',
  "export const greet = app.function({},",
  '  async (name = "world") =>',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the user's template
  "    `hello ${name}`);",
];

/** What hob can do about an empty folder. */
function emptyFolderLines(state: State): Line[] {
  const key = (name: string): string => keysNow(state).find((binding) => binding.name === name)?.keys[0] ?? "";
  return [
    line(" This folder is empty: a key makes a project"),
    [],
    [span(`   ${key("new python project")}`, "accentStrong"), span("  Python: app.py")],
    [span(`   ${key("new typescript project")}`, "accentStrong"), span("  TypeScript: app.ts and package.json")],
    [],
  ];
}

function exampleLines(width: number, height: number): Line[] {
  const examples =
    width >= 76
      ? python.map((text, row) => beside(line(`  ${text}`), 34, line(typescript[row] ?? "")))
      : [...python.map((text) => line(`  ${text}`)), [], ...typescript.map((text) => line(`  ${text}`))];
  const words = ` A function is a few lines. Save one of these${width >= 76 ? " in the project" : ""}:`;
  const head = height > examples.length ? [line(words, "dim"), ...(height > examples.length + 1 ? [[]] : [])] : [];
  return [...head, ...examples].slice(0, height);
}

/** What hob waits for, and what works meanwhile; nothing while the link is live. */
export function linkLines({ link, pool }: State, nowMs: number, width: number): Line[] {
  if (link.state === "live") return [];
  const since = Math.floor((nowMs - link.sinceMs) / 1000) * 1000;
  const time = since >= 1000 ? ` for ${duration(since)}` : "";
  const detail = link.detail === "" ? [] : wrapped(link.detail, width - 3, "dim").map((spans) => [span("  "), ...spans]);
  if (link.state === "connecting") return indented([line(`◌ connecting to pool ${pool}${time}`, "accent"), ...detail]);
  const meanwhile = wrapped("Saves are noticed, and shipped once it is back.", width - 3, "dim").map((spans) => [
    span("  "),
    ...spans,
  ]);
  return indented([line(`✗ pool ${pool} is gone${time}`, "bad"), ...detail, ...meanwhile]);
}

/** Where an endpoint answers. */
export const urlLines = (url: string): Line[] => [
  [span(" "), span(url, "accent"), span("   b", "accentStrong"), span(" opens it", "dim")],
];

export function firstLines({ state, nowMs, width, height }: DrawContext): Line[] {
  const builds = buildLines(presentBuilds(state), width);
  const waiting = [...linkLines(state, nowMs, width), ...builds, ...progressLines(state.progress, width)];
  if (waiting.length > 0) return waiting.slice(0, height);
  const view = selectedFunction(state);
  if (view) {
    const lines: Line[] = [[span(" "), ...signature(view.spec)]];
    if (view.spec.doc !== "") lines.push(line(` ${view.spec.doc}`));
    const needed = view.spec.parameters.some(({ hasDefault, kind }) => !hasDefault && kind !== "variadic" && kind !== "keywords");
    if (view.url !== undefined) lines.push([], ...urlLines(view.url));
    lines.push(
      [],
      [
        span(needed ? " R" : " r", "accentStrong"),
        span(needed ? " runs it with an input that you type" : " runs it", "dim"),
        span("   p", "accentStrong"),
        span(" runs it on every save", "dim"),
      ],
    );
    return lines.slice(0, height);
  }
  if (!state.project || state.filters.functions !== "") return [];
  if (state.diagnostics.length > 0) return [];
  return [...(state.project.empty ? emptyFolderLines(state) : []), ...exampleLines(width, height)].slice(0, height);
}

// ⑧ blessed-contrib's widgets, drawn off screen and handed on as lines: blessed never touches the terminal. Loaded when first needed.

import { PassThrough, Writable } from "node:stream";
import blessed, { type Cell, type Screen } from "blessed";
import createDonut, { type Donut } from "blessed-contrib/lib/widget/donut.js";
import type { Line, Span, Style } from "../screen/line.ts";
import type { Widgets } from "../screen/section.ts";

// Otherwise blessed's first screen listens for SIGTERM, SIGINT and uncaughtException, and swallows them.
blessed.Screen._bound = true;
blessed.Program._bound = true;

// blessed's colour numbers as our styles: what is drawn is the accent, what remains is quiet.
const styles: Readonly<Record<number, Style>> = { 0: "dim", 6: "accent", 3: "warn" };

function offScreen(columns: number, rows: number): Screen {
  const output = Object.assign(new Writable({ write: (_chunk, _encoding, done) => done() }), { columns, rows, isTTY: false });
  const screen = blessed.screen({
    input: new PassThrough(),
    output,
    terminal: "xterm-256color",
    smartCSR: false,
    fullUnicode: false,
  });
  screen.draw = () => {};
  return screen;
}

function lineOf(cells: readonly Cell[]): Line {
  const spans: Span[] = [];
  for (const [attributes, character] of cells) {
    const style = character === " " || character === "\u2800" ? "plain" : (styles[(attributes >> 9) & 0x1ff] ?? "plain");
    const text = character === "\u2800" ? " " : character;
    const last = spans.at(-1);
    if (last && last.style === style) spans[spans.length - 1] = { text: last.text + text, style };
    else spans.push({ text, style });
  }
  return spans;
}

interface Stage {
  readonly columns: number;
  readonly rows: number;
  readonly screen: Screen;
  readonly donut: Donut;
}

function stageOf(columns: number, rows: number): Stage {
  const screen = offScreen(columns, rows);
  const donut = createDonut({
    screen, // or blessed takes the newest that it knows, and throws a tick after the widget has left that
    width: columns,
    height: rows,
    radius: 12,
    arcWidth: 3,
    yPadding: 2,
    remainColor: "black",
    data: [],
  });
  screen.append(donut);
  return { columns, rows, screen, donut };
}

function drawDonuts({ screen, donut, rows }: Stage, data: readonly { label: string; percent: number }[]): Line[] {
  donut.setData(data.map((item) => ({ ...item, color: item.percent >= 90 ? "yellow" : "cyan" })));
  screen.render();
  return screen.lines.slice(0, rows).map(lineOf);
}

/** A widget is drawn again only when its data or its size has changed: about 2 ms each time. */
export function createWidgets(): Widgets {
  let key = "";
  let lines: Line[] = [];
  let stage: Stage | undefined;
  return {
    donuts(data, width, height) {
      const wanted = JSON.stringify([data, width, height]);
      if (wanted !== key) {
        key = wanted;
        if (stage?.columns !== width || stage.rows !== height) {
          const former = stage;
          stage = stageOf(width, height);
          former?.screen.destroy(); // after: the last of blessed's screens cannot be, for it has taken none of the process' signals
        }
        lines = drawDonuts(stage, data);
      }
      return lines;
    },
  };
}

// A screen as an SVG picture: letters are text, each in its cell; borders, bars and dots are drawn, so that no font can shift or tear them.

import type { Line, Style } from "../../tui/screen/line.ts";
import { plainGlyphs } from "../../tui/screen/palette.ts";

const cellWidth = 8.4;
const cellHeight = 18;
const margin = 12;
const fontSize = 14;

export interface Theme {
  readonly background: string;
  /** As on the Linux console: glyphs that its font has. */
  readonly plain?: true;
  readonly ink: Record<Exclude<Style, "inverse" | "accentStrong">, string>;
}

export const themes: Readonly<Record<"dark" | "light" | "console", Theme>> = {
  dark: {
    background: "#14171c",
    ink: {
      plain: "#c9d1d9",
      dim: "#737d8c",
      strong: "#f0f3f6",
      accent: "#56c8d8",
      good: "#7ec77e",
      bad: "#ef7d78",
      warn: "#e0b050",
    },
  },
  light: {
    background: "#fdfdfb",
    ink: {
      plain: "#2b2f36",
      dim: "#6b7280",
      strong: "#0d1117",
      accent: "#0b7285",
      good: "#2b7a3d",
      bad: "#c0322b",
      warn: "#8f5f00",
    },
  },
  // The sixteen colours that text modes have; what is bold is bright.
  console: {
    background: "#000000",
    plain: true,
    ink: {
      plain: "#aaaaaa",
      dim: "#6a6a6a",
      strong: "#ffffff",
      accent: "#00aaaa",
      good: "#00aa00",
      bad: "#ff5555",
      warn: "#ffff55",
    },
  },
};

const bold: ReadonlySet<Style> = new Set(["strong", "accentStrong", "bad", "warn"]);
const number = (value: number): string => String(Math.round(value * 100) / 100);

/** Lines from the middle of a cell: to the top, the right, the bottom, the left; corners are rounded. */
const borders: Readonly<Record<string, readonly [top: number, right: number, bottom: number, left: number]>> = {
  "│": [1, 0, 1, 0],
  "─": [0, 1, 0, 1],
  "├": [1, 1, 1, 0],
  "┤": [1, 0, 1, 1],
};
const corners: Readonly<Record<string, readonly [horizontal: 1 | -1, vertical: 1 | -1]>> = {
  "╭": [1, 1],
  "╮": [-1, 1],
  "╰": [1, -1],
  "╯": [-1, -1],
};
const levels = "▁▂▃▄▅▆▇█";
// Unicode's braille dots by bit: column and row in the cell.
const brailleAt = [
  [0, 0],
  [0, 1],
  [0, 2],
  [1, 0],
  [1, 1],
  [1, 2],
  [0, 3],
  [1, 3],
] as const;

/** The shape of a character that is drawn; undefined for one that is a letter. */
function shape(character: string, x: number, y: number, colour: string): string | undefined {
  const [middle, centre] = [x + cellWidth / 2, y + cellHeight / 2];
  const border = borders[character];
  if (border) {
    const [top, right, bottom, left] = border;
    const path = [
      ...(top || bottom ? [`M${number(middle)} ${number(top ? y : centre)}V${number(bottom ? y + cellHeight : centre)}`] : []),
      ...(left || right ? [`M${number(left ? x : middle)} ${number(centre)}H${number(right ? x + cellWidth : middle)}`] : []),
    ];
    return `<path d="${path.join("")}" stroke="${colour}"/>`;
  }
  const corner = corners[character];
  if (corner) {
    const [horizontal, vertical] = corner;
    const end = horizontal > 0 ? x + cellWidth : x;
    const foot = vertical > 0 ? y + cellHeight : y;
    return `<path d="M${number(end)} ${number(centre)}Q${number(middle)} ${number(centre)} ${number(middle)} ${number(foot)}" stroke="${colour}"/>`;
  }
  const level = levels.indexOf(character);
  if (level >= 0) {
    const height = ((level + 1) / 8) * (cellHeight - 5);
    return `<rect x="${number(x)}" y="${number(y + cellHeight - 2 - height)}" width="${number(cellWidth - 0.6)}" height="${number(height)}" fill="${colour}"/>`;
  }
  const code = character.charCodeAt(0);
  if (code < 0x2801 || code > 0x28ff) return undefined;
  return brailleAt
    .filter((_, bit) => (code & (1 << bit)) !== 0)
    .map(
      ([column, row]) =>
        `<circle cx="${number(x + cellWidth * (0.25 + column * 0.5))}" cy="${number(y + cellHeight * (0.125 + row * 0.25))}" r="1.35" fill="${colour}"/>`,
    )
    .join("");
}

const escapeXml = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function inkOf(style: Style, { ink }: Theme): string {
  return style === "accentStrong" ? ink.accent : style === "inverse" ? ink.strong : ink[style];
}

/** A span: its shapes, and what is left of it as text with a place for each letter. */
function spanParts(text: string, style: Style, at: { x: number; y: number }, theme: Theme): string {
  const colour = style === "inverse" ? theme.background : inkOf(style, theme);
  const shapes: string[] = [];
  const places: string[] = [];
  let letters = "";
  for (const [index, character] of [...text].entries()) {
    const x = at.x + index * cellWidth;
    if (character === " ") continue;
    const drawn = shape(character, x, at.y, colour);
    if (drawn !== undefined) shapes.push(drawn);
    else {
      letters += character;
      places.push(number(x));
    }
  }
  const back =
    style === "inverse"
      ? `<rect x="${number(at.x)}" y="${number(at.y)}" width="${number(text.length * cellWidth)}" height="${cellHeight}" fill="${theme.ink.strong}"/>`
      : "";
  const weight = bold.has(style) ? ' font-weight="bold"' : "";
  const words =
    letters === ""
      ? ""
      : `<text x="${places.join(" ")}" y="${number(at.y + cellHeight * 0.74)}" fill="${colour}"${weight}>${escapeXml(letters)}</text>`;
  return back + shapes.join("") + words;
}

/** `title` says what it shows, for those who do not see it. */
export function svgOf(lines: readonly Line[], columns: number, { title, theme }: { title: string; theme: Theme }): string {
  const parts = lines.flatMap((spans, row) => {
    let column = 0;
    return spans.map(({ text: written, style }) => {
      const text = theme.plain ? plainGlyphs(written) : written;
      const at = { x: margin + column * cellWidth, y: margin + row * cellHeight };
      column += text.length;
      return spanParts(text, style, at, theme);
    });
  });
  const width = number(columns * cellWidth + 2 * margin);
  const height = number(lines.length * cellHeight + 2 * margin);
  const font = `font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="${fontSize}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${font} fill="none" stroke-width="1.1">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${theme.background}"/>`,
    ...parts.filter((part) => part !== ""),
    "</svg>\n",
  ].join("\n");
}

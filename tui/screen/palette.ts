// ⑧ Styles as terminal attributes, and glyphs for terminals whose font lacks ours. Quiet: the terminal's own colours, one accent.

import { hostname } from "node:os";
import type { Config } from "../config.ts";
import type { FileLink, Line, Style } from "./line.ts";
import { cutLine, widthOf } from "./line.ts";

export interface Palette {
  readonly colours: boolean;
  readonly ascii: boolean;
  readonly accent: number; // SGR
  /** Links as OSC 8. */
  readonly links: boolean;
}

// SGR: attributes alone say enough where there are no colours; the sixteen-colour codes follow the terminal's light or dark theme.
const attributes: Record<Style, string> = {
  plain: "",
  dim: "2",
  strong: "1",
  accent: "",
  accentStrong: "1",
  good: "",
  bad: "1",
  warn: "1",
  inverse: "7",
};

const accentCodes: Record<Config["accent"], number> = { cyan: 36, blue: 34, magenta: 35, green: 32, yellow: 33 };

const coloured: Record<Style, string> = {
  ...attributes,
  good: "32",
  bad: "31",
  warn: "33",
};

/** By locale(7): the first of these that is set says it. One that names no encoding may be used on any terminal. */
function speaksUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "";
  const [, encoding = "utf-8"] = /\.([^@]+)/.exec(locale) ?? [];
  return /^utf-?8$/i.test(encoding);
}

/** FORCE_COLOR wins over NO_COLOR (no-color.org); the Linux console's font has neither braille nor marks nor rounded corners. */
export function choosePalette(env: Readonly<Record<string, string | undefined>>, config: Config): Palette {
  const forced = env["FORCE_COLOR"];
  const terminal = env["TERM"] ?? "";
  const colours = forced ? forced !== "0" && forced !== "false" : !env["NO_COLOR"] && terminal !== "dumb";
  return {
    colours: config.colours === "auto" ? colours : config.colours === "always",
    ascii: config.glyphs === "ascii" || terminal === "linux" || terminal === "dumb" || !speaksUnicode(env),
    accent: accentCodes[config.accent],
    links: terminal !== "linux" && terminal !== "dumb",
  };
}

// One for one, so that columns stay where they are.
const ourGlyphs = "■╭╮╰╯├┤─│✓✗●○◌–−◆▸→↑↓…·▯▏‖▁▂▃▄▅▆▇█≠×";
const asciiTwins = "#++++++-|+x*o~--@>>^v~-?|=_.--==##!x";

const densities = " .:-=+*##";

function asciiOf(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x2800 || code > 0x28ff) return asciiTwins[ourGlyphs.indexOf(character)] ?? "?";
  let dots = 0;
  for (let bits = code & 0xff; bits > 0; bits >>= 1) dots += bits & 1;
  return densities[dots] ?? "#";
}

const beyondLatin = /[^\x20-\x7e\xa0-\xff]/g;

/** For terminals whose font lacks our glyphs, one for one. */
export const plainGlyphs = (text: string): string => text.replace(beyondLatin, asciiOf);

const host = hostname();

/** OSC 8 around the text: a file of this host (the specification wants it named), its line as the fragment. */
function linked(text: string, { file, line }: FileLink): string {
  const path = encodeURI(file.toWellFormed()).replace(/[?#]/g, encodeURIComponent);
  return `\x1b]8;;file://${host}${path}#${line}\x1b\\${text}\x1b]8;;\x1b\\`;
}

/** A line as a string of exactly `width` cells, with SGR sequences closed within it. */
export function paint(spans: Line, width: number, palette: Palette): string {
  const shown = cutLine(spans, width);
  const table = palette.colours ? { ...coloured, accent: `${palette.accent}`, accentStrong: `${palette.accent};1` } : attributes;
  let out = "";
  for (const { text, style, link } of shown) {
    const glyphs = palette.ascii ? plainGlyphs(text) : text;
    const code = table[style];
    const styled = code === "" || text === "" ? glyphs : `\x1b[${code}m${glyphs}\x1b[0m`;
    out += link && palette.links && text !== "" ? linked(styled, link) : styled;
  }
  return out + " ".repeat(Math.max(0, width - widthOf(shown)));
}

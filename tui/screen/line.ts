// ⑧ A line of the screen before it has colours: spans of text with the name of a style.

import { clean, cut } from "../text.ts";

/** What a span means; palette.ts says what it looks like. */
export type Style = "plain" | "dim" | "strong" | "accent" | "accentStrong" | "good" | "bad" | "warn" | "inverse";

export interface Span {
  readonly text: string;
  readonly style: Style;
  /** Where the text leads, in terminals that follow links. */
  readonly link?: FileLink;
}

/** A line of one of the person's files, by its absolute path. */
export interface FileLink {
  readonly file: string;
  readonly line: number;
}

export type Line = readonly Span[];

export const blank: Line = [];

// More than a screen is wide: of a megabyte in one line the rest is never looked at.
const longestRead = 8_192;

/** Text from anywhere; it comes out safe to lay out. */
export function span(text: string, style: Style = "plain"): Span {
  return { text: clean(text.length > longestRead ? text.slice(0, longestRead) : text), style };
}

export function line(text: string, style: Style = "plain"): Line {
  return [span(text, style)];
}

export function widthOf(spans: Line): number {
  return spans.reduce((sum, part) => sum + part.text.length, 0);
}

/** At most `width` cells of a line; a cut is marked with … in the style of what it cuts. */
export function cutLine(spans: Line, width: number): Line {
  if (widthOf(spans) <= width) return spans;
  const kept: Span[] = [];
  let left = width;
  for (const part of spans) {
    // A span that just fits is cut all the same: more follows it, or the line would have fitted.
    if (part.text.length < left) {
      kept.push(part);
      left -= part.text.length;
      continue;
    }
    if (left > 0) kept.push({ ...part, text: cut(`${part.text} `, left) });
    break;
  }
  return kept;
}

/** `left` at the left edge, `right` at the right edge; `left` gives way. */
export function spread(left: Line, right: Line, width: number): Line {
  const rightWidth = Math.min(widthOf(right), width);
  const shown = cutLine(left, Math.max(0, width - rightWidth - (rightWidth > 0 ? 2 : 0)));
  const gap = Math.max(0, width - widthOf(shown) - rightWidth);
  return [...shown, { text: " ".repeat(gap), style: "plain" }, ...cutLine(right, width)];
}

/** Two lines beside each other, the left one in exactly `leftWidth` cells. */
export function beside(left: Line, leftWidth: number, right: Line): Line {
  const shown = cutLine(left, leftWidth);
  return [...shown, { text: " ".repeat(leftWidth - widthOf(shown)), style: "plain" }, ...right];
}

/** The longest of `variants` (longest first) that fits, else the last one, cut. */
export function fitting(variants: readonly Line[], width: number): Line {
  return variants.find((variant) => widthOf(variant) <= width) ?? cutLine(variants.at(-1) ?? blank, width);
}

/** Joins the non-empty lines with a gap between them. */
export function joined(parts: readonly Line[], gap: string): Line {
  const filled = parts.filter((part) => widthOf(part) > 0);
  return filled.flatMap((part, index) => (index === 0 ? part : [{ text: gap, style: "plain" as const }, ...part]));
}

/** Text broken at spaces into lines of at most `width` cells. */
export function wrapped(text: string, width: number, style: Style = "plain"): Line[] {
  const lines: string[] = [];
  for (const word of clean(text.slice(0, longestRead)).split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(cut(word, width));
  }
  return lines.map((shown) => [{ text: shown, style }]);
}

// Untrusted text comes out as single cells: judged by xterm's own widths and by Ink's, over the whole BMP and over random text.

import { createRequire } from "node:module";
import fc from "fast-check";
import { renderToString, Text } from "ink";
import { createElement } from "react";
import { describe, expect, test } from "vitest";
import { span } from "../../tui/screen/line.ts";
import { paint } from "../../tui/screen/palette.ts";
import { clean, cut, pad, standIn } from "../../tui/text.ts";

const load = createRequire(import.meta.url);
const { Terminal } = load("@xterm/headless") as typeof import("@xterm/headless");
const { Unicode11Addon } = load("@xterm/addon-unicode11") as typeof import("@xterm/addon-unicode11");

/** Where the terminal's cursor stands after `text`, for each of the texts. */
async function cellsInXterm(texts: readonly string[]): Promise<number[]> {
  const terminal = new Terminal({ cols: 400, rows: 2, allowProposedApi: true });
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  const cells: number[] = [];
  for (const text of texts) {
    await new Promise<void>((resolve) => terminal.write(`\r${text}`, resolve));
    cells.push(terminal.buffer.active.cursorX);
  }
  terminal.dispose();
  return cells;
}

const drawnByInk = (text: string): string => renderToString(createElement(Text, { wrap: "truncate" }, text), { columns: 400 });

describe("one character, one cell", () => {
  test("for every character of the BMP and the planes beyond, in xterm and in Ink", async () => {
    const texts: string[] = [];
    for (let first = 0; first < 0x20000; first += 64) {
      const characters = Array.from({ length: 64 }, (_, index) => `a${String.fromCodePoint(first + index)}`);
      texts.push(`${clean(characters.filter((text) => !/[\r\n\t\x1b\x90\x98\x9b\x9d-\x9f]/.test(text)).join(""))}|`);
    }
    const cells = await cellsInXterm(texts);
    for (const [index, text] of texts.entries()) {
      expect(cells[index], JSON.stringify(text)).toBe(text.length);
      expect(drawnByInk(text)).toBe(text);
    }
  });

  test("for random text with escapes, marks and emoji in it", async () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.constantFrom(
        "\x1b[31m",
        "\x1b]0;t\x07",
        "\x1b]8;;x\x1b\\",
        "\x9b2J",
        "\x1bP1$r",
        "\t",
        "\r",
        "\u202e",
        "👩‍👩‍👧",
        "e\u0301",
        "漢",
        "ﾊﾞ",
        "กำ",
        "🇩🇪",
        "\ud800",
      ),
    );
    const samples = fc.sample(
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
      2_000,
    );
    const cleaned = samples.map((sample) => `${clean(sample)}|`);
    const cells = await cellsInXterm(cleaned);
    for (const [index, text] of cleaned.entries()) {
      expect(cells[index], JSON.stringify(samples[index])).toBe(text.length);
      expect(text).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    }
  });
});

describe("what becomes of it", () => {
  test.each([
    ["\x1b[31mred\x1b[0m", "red"],
    ["\x1b]0;title\x07after", "after"],
    ["a\tb", "a       b"],
    ["progress 10 %\rprogress 20 %", "progress 20 %"],
    ["windows\r", "windows"],
    ["漢字", standIn + standIn],
    ["cafe\u0301", "café"],
    ["\u202egnirts", "gnirts"],
    ["one\ntwo", "one two"],
  ])("%j is shown as %j", (text, shown) => {
    expect(clean(text)).toBe(shown);
  });

  test("cleaning twice changes nothing more", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => clean(clean(text)) === clean(text)));
  });

  test("64 KiB of half an escape takes no time worth noticing", () => {
    const start = performance.now();
    clean("\x1b]".repeat(32_768));
    clean(`\x1b[${"0".repeat(65_536)}`);
    expect(performance.now() - start).toBeLessThan(500);
  });

  test("a cut is marked, and a padded text has exactly its width", () => {
    expect(cut("abcdef", 4)).toBe("abc…");
    expect(pad("abcdef", 4)).toBe("abc…");
    expect(pad("12", 4, "right")).toBe("  12");
  });

  test("a painted line has exactly its width, whatever its spans are", () => {
    const style = fc.constantFrom("plain", "dim", "accent", "bad", "inverse" as const);
    const spans = fc.array(fc.record({ text: fc.string({ unit: "binary", maxLength: 40 }), style }), { maxLength: 8 });
    fc.assert(
      fc.property(spans, fc.integer({ min: 0, max: 120 }), fc.boolean(), (parts, width, ascii) => {
        const line = parts.map(({ text, style: name }) => span(text, name));
        const painted = paint(line, width, { colours: true, ascii, accent: 36, links: true });
        return painted.replace(/\x1b\[[\d;]*m/g, "").length === width;
      }),
    );
  });
});

// The painter: whatever was on the screen before, after its update the terminal shows the frame.

import headless from "@xterm/headless";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Style } from "../../tui/screen/line.ts";
import { paint } from "../../tui/screen/palette.ts";
import { createPainter, modesOnly } from "../../tui/terminal/painter.ts";

const columns = 12;
const rows = 3;
const palette = { colours: true, ascii: false, accent: 36, links: true };

const styles: Style[] = ["plain", "dim", "strong", "accent", "bad", "inverse"];
const span = fc.record({
  text: fc.string({ unit: fc.constantFrom("a", "b", "│", " ", "⣿"), maxLength: 6 }),
  style: fc.constantFrom(...styles),
  link: fc.option(fc.constant({ file: "/p/a b.py", line: 3 }), { nil: undefined, freq: 4 }),
});
const frame = fc.array(
  fc.array(span, { maxLength: 4 }).map((spans) =>
    paint(
      spans.map(({ link, ...rest }) => (link ? { ...rest, link } : rest)),
      columns,
      palette,
    ),
  ),
  { minLength: rows, maxLength: rows },
);

/** Every cell with what can be seen of it. */
async function cellsAfter(written: string): Promise<string[]> {
  const terminal = new headless.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 0 });
  await new Promise<void>((resolve) => terminal.write(written, resolve));
  const cells: string[] = [];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const cell = terminal.buffer.active.getLine(y)?.getCell(x);
      const look = [cell?.getFgColor(), cell?.isBold(), cell?.isDim(), cell?.isInverse()];
      cells.push(`${cell?.getChars() || " "} ${look.join(" ")}`);
    }
  }
  terminal.dispose();
  return cells;
}

test("after any frames in a row the terminal shows what the last one alone shows", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { minLength: 2, maxLength: 4 }), async (frames) => {
      let written = "";
      const painter = createPainter((text) => (written += text));
      for (const each of frames) painter.paint(each);
      let whole = "";
      createPainter((text) => (whole += text)).paint(frames.at(-1)!);
      expect(await cellsAfter(written)).toEqual(await cellsAfter(whole));
    }),
    { numRuns: 150 },
  );
});

test("the same frame again writes nothing, and a forgotten one is written whole", () => {
  const writes: string[] = [];
  const painter = createPainter((text) => writes.push(text));
  const first = ["one", "two"].map((text) => paint([{ text, style: "plain" }], columns, palette));
  painter.paint(first);
  painter.paint([...first]);
  expect(writes).toHaveLength(1);
  painter.forget();
  painter.paint(first);
  expect(writes[1]).toBe(writes[0]);
  painter.paint(["one", "tWo"].map((text) => paint([{ text, style: "plain" }], columns, palette)));
  expect(writes[2]).toMatch(/\x1b\[2;2HWo/);
});

test("of what Ink writes only the terminal's modes pass, without its first entry into the alternate screen, where a frame is already", () => {
  const passed: string[] = [];
  const terminal = modesOnly({ write: (text: string) => passed.push(text) > 0 } as unknown as NodeJS.WriteStream);
  terminal.write("\x1b[2K\x1b[1A\x1b[?2004htext\n\x1b[?1049l\x1b[<u");
  terminal.write("\x1b[?1049h\x1b[?25l");
  terminal.write("\x1b[?1049h\x1b[?25l");
  expect(passed).toEqual(["\x1b[?2004h\x1b[?1049l\x1b[<u", "\x1b[?25l", "\x1b[?1049h\x1b[?25l"]);
});

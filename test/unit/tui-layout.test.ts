// The layout as drawings: one letter for five columns by two rows. h header, b border, f functions, s last save, r run, c calls, p pool, k keys.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LayoutInput, layout, type Rectangle, type SectionName } from "../../tui/layout.ts";

const letters: Record<SectionName, string> = { functions: "f", save: "s", run: "r", runs: "c", fleet: "p", view: "v" };

function cells(input: LayoutInput): string[][] {
  const plan = layout(input);
  const grid = Array.from({ length: input.rows }, () => Array.from({ length: input.columns }, () => " "));
  if (plan.kind === "tooSmall") return grid;
  const put = ({ x, y, width, height }: Rectangle, letter: string): void => {
    for (let row = y; row < y + height; row++) {
      for (let column = x; column < x + width; column++) {
        const line = grid[row];
        if (line?.[column] === undefined) throw new Error(`${letter} lies outside the screen`);
        if (line[column] !== " " && line[column] !== "b") throw new Error(`${letter} covers ${line[column]}`);
        line[column] = letter;
      }
    }
  };
  for (const frame of plan.frames) put(frame.outer, "b");
  for (const frame of plan.frames) for (const { name, inner } of frame.sections) put(inner, letters[name]);
  put(plan.header, "h");
  put(plan.footer, "k");
  return grid;
}

function drawing(columns: number, rows: number, full = false): string {
  const grid = cells({ columns, rows, full, functions: 4 });
  const sampled = grid.filter((_, row) => row % 2 === 0).map((line) => line.filter((_, column) => column % 5 === 2).join(""));
  return `\n${sampled.join("\n")}\n`;
}

describe("the panes", () => {
  test("lie one below the other at 80×24", () => {
    expect(drawing(80, 24)).toBe(`
hhhhhhhhhhhhhhhh
ffffffffffffffff
ffffffffffffffff
ssssssssssssssss
ssssssssssssssss
rrrrrrrrrrrrrrrr
rrrrrrrrrrrrrrrr
rrrrrrrrrrrrrrrr
bbbbbbbbbbbbbbbb
cccccccccccccccc
pppppppppppppppp
bbbbbbbbbbbbbbbb
`);
  });

  test("lie in two columns at 100×30", () => {
    expect(drawing(100, 30)).toBe(`
hhhhhhhhhhhhhhhhhhhh
ffffffffffrrrrrrrrrr
ffffffffffrrrrrrrrrr
ffffffffffrrrrrrrrrr
ffffffffffrrrrrrrrrr
ffffffffffrrrrrrrrrr
ffffffffffrrrrrrrrrr
ssssssssssrrrrrrrrrr
ssssssssssrrrrrrrrrr
bbbbbbbbbbbbbbbbbbbb
ccccccccccpppppppppp
ccccccccccpppppppppp
ccccccccccpppppppppp
ccccccccccpppppppppp
bbbbbbbbbbbbbbbbbbbb
`);
  });

  test("lie in two columns at 120×36, the run the widest", () => {
    expect(drawing(120, 36)).toBe(`
hhhhhhhhhhhhhhhhhhhhhhhh
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
fffffffffffrrrrrrrrrrrrr
sssssssssssrrrrrrrrrrrrr
sssssssssssrrrrrrrrrrrrr
sssssssssssrrrrrrrrrrrrr
bbbbbbbbbbbbbbbbbbbbbbbb
cccccccccccppppppppppppp
cccccccccccppppppppppppp
cccccccccccppppppppppppp
cccccccccccppppppppppppp
cccccccccccppppppppppppp
bbbbbbbbbbbbbbbbbbbbbbbb
`);
  });

  test("lie in two columns at 200×50, the left ones no wider than they need", () => {
    expect(drawing(200, 50)).toBe(`
hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrr
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppp
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
`);
  });

  test("lie in two columns at 300×80, the run with all the room that the lists do not need", () => {
    expect(drawing(300, 80)).toBe(`
hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
fffffffffffffffffrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
sssssssssssssssssrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
cccccccccccccccccppppppppppppppppppppppppppppppppppppppppppp
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
`);
  });

  test("give way to one view in full", () => {
    expect(drawing(80, 24, true)).toBe(`
hhhhhhhhhhhhhhhh
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
vvvvvvvvvvvvvvvv
bbbbbbbbbbbbbbbb
`);
  });

  test("are not drawn on less than 80×24", () => {
    expect(layout({ columns: 79, rows: 24, full: false, functions: 1 }).kind).toBe("tooSmall");
    expect(layout({ columns: 80, rows: 23, full: false, functions: 1 }).kind).toBe("tooSmall");
  });

  test("fill every cell, cover none twice and keep a row each, at any size", () => {
    const input = fc.record({
      columns: fc.integer({ min: 80, max: 400 }),
      rows: fc.integer({ min: 24, max: 120 }),
      full: fc.boolean(),
      functions: fc.integer({ min: 0, max: 500 }),
    });
    fc.assert(
      fc.property(input, (size) => {
        const drawn = cells(size).flat().join("");
        expect(drawn).not.toContain(" ");
        for (const letter of size.full ? "v" : "fsrcp") expect(drawn).toContain(letter);
      }),
      { numRuns: 200 },
    );
  });
});

// Looks at the screen: node test/tui/picture.ts RECORDING [COLUMNSxROWS] [KEYS] [--svg]. Prints the terminal's buffer as text, or as an SVG picture.

import type { IBufferCell } from "@xterm/headless";
import { buildStage, openStage, removeStage, type Stage } from "./terminal.ts";

const cellWidth = 8.4;
const cellHeight = 17;
const ink = ["#1c1c1c", "#c0392b", "#2e8b57", "#b8860b", "#3465a4", "#8e5a9c", "#1f8a99", "#d0d0d0"];

function fill(cell: IBufferCell): string {
  return cell.isFgPalette() ? (ink[cell.getFgColor() & 7] ?? "#d0d0d0") : "#d0d0d0";
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** The visible cells, with colours, as an SVG document. */
export function svgOf({ xterm }: Stage): string {
  const texts: string[] = [];
  for (let y = 0; y < xterm.rows; y++) {
    const row = xterm.buffer.active.getLine(xterm.buffer.active.viewportY + y);
    for (let x = 0; row && x < xterm.cols; x++) {
      const cell = row.getCell(x);
      if (!cell || cell.getChars().trim() === "") continue;
      const style = `${cell.isDim() ? ' opacity="0.55"' : ""}${cell.isBold() ? ' font-weight="bold"' : ""}`;
      const at = `x="${(x * cellWidth).toFixed(1)}" y="${(y + 0.8) * cellHeight}"`;
      texts.push(`<text ${at} fill="${fill(cell)}"${style}>${escapeXml(cell.getChars())}</text>`);
    }
  }
  const size = `width="${xterm.cols * cellWidth}" height="${xterm.rows * cellHeight}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="DejaVu Sans Mono" font-size="14"><rect width="100%" height="100%" fill="#1c1c1c"/>${texts.join("")}</svg>`;
}

if (process.argv[1] === import.meta.filename) {
  const [recording = "working", dimensions = "120x36", keys = ""] = process.argv
    .slice(2)
    .filter((word) => !word.startsWith("--"));
  const [columns = 120, rows = 36] = dimensions.split("x").map(Number);
  const env = Object.fromEntries(
    ["NO_COLOR", "TERM"].flatMap((name) =>
      process.env[`PICTURE_${name}`] ? [[name, process.env[`PICTURE_${name}`] ?? ""]] : [],
    ),
  );
  using stage = openStage({ stage: await buildStage(), recording, columns, rows, env });
  await stage.until("its frame", (text) => text.includes("quit") || text.includes("too small"));
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 600)); // for the eye, not for a test
  await settle();
  for (const key of keys.split(" ").filter((name) => name !== "")) {
    const before = stage.raw();
    stage.press(JSON.parse(`"${key}"`) as string);
    await stage.until("an answer to the key", () => stage.raw() !== before);
  }
  await settle();
  console.log(process.argv.includes("--svg") ? svgOf(stage) : stage.text());
  removeStage();
  process.exit(0);
}

// ⑧ Aligned tables of plain text: a header, two spaces between columns, numbers to the right.

export interface Column {
  title: string;
  align?: "left" | "right";
}

/**
 * Lines of the table. Only the last column is cut where a row would be wider than `width` (0: never cut), so that names and
 * numbers stay whole.
 */
export function formatTable(columns: Column[], rows: string[][], width: number): string[] {
  const cells = [columns.map((column) => column.title), ...rows].map((row) => row.map(oneLine));
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => displayWidth(row[index] ?? ""))));
  return cells.map((row) => cut(row.map((cell, index) => pad(cell, widths[index] ?? 0, columns[index])).join("  "), width));
}

function pad(cell: string, width: number, column: Column | undefined): string {
  const filling = " ".repeat(Math.max(0, width - displayWidth(cell)));
  return column?.align === "right" ? filling + cell : cell + filling;
}

function cut(line: string, width: number): string {
  const trimmed = line.trimEnd();
  if (width <= 0 || displayWidth(trimmed) <= width) return trimmed;
  return `${[...trimmed].slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** One cell is one line, and no text of a function can move the cursor. */
function oneLine(text: string): string {
  return text
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "")
    .replace(/[\r\n\t]+/g, " ")
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, "");
}

const displayWidth = (text: string): number => [...text].length;

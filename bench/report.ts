// Rows of figures beside their rivals: statistics, the table, the JSON line, whether a goal holds.

export interface Row {
  bench: string;
  row: string;
  /** What the row is measured of, where there are several. */
  of?: string;
  stat: "p50" | "p95" | "p99" | "mean" | "total";
  value: number;
  unit: "ms" | "B" | "MB" | "MB/s" | "1/s" | "%" | "inputs" | "requests";
  rival?: string;
  rivalValue?: number;
  /** How many times better than the rival; above 1 is ahead, whichever way the unit runs. */
  ratio?: number;
  goal?: string;
  holds?: boolean;
}

/** `atMost`, `atLeast` in the row's unit; `times`: at least so many times better than the rival; `timesTheRival`: at most so many times the rival's value. */
export interface Goal {
  atMost?: number;
  atLeast?: number;
  times?: number;
  timesTheRival?: number;
}

/** The value at quantile `q` (0…1) of unsorted samples, by the nearest rank. */
export function quantile(samples: number[], q: number): number {
  if (samples.length === 0) return Number.NaN;
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]!;
}

export function makeRow(row: Row, goal: Goal = {}): Row {
  const biggerIsBetter = row.unit === "1/s" || row.unit === "MB/s";
  const ratio =
    row.rivalValue === undefined ? undefined : biggerIsBetter ? row.value / row.rivalValue : row.rivalValue / row.value;
  const parts = [
    goal.atMost !== undefined ? `≤ ${goal.atMost}` : undefined,
    goal.atLeast !== undefined ? `≥ ${goal.atLeast}` : undefined,
    goal.times !== undefined ? `≥ ${goal.times}×` : undefined,
    goal.timesTheRival !== undefined ? `≤ ${goal.timesTheRival} × the rival's` : undefined,
  ].filter((part) => part !== undefined);
  const holds =
    (goal.atMost === undefined || row.value <= goal.atMost) &&
    (goal.atLeast === undefined || row.value >= goal.atLeast) &&
    (goal.times === undefined || (ratio ?? 0) >= goal.times) &&
    (goal.timesTheRival === undefined || row.value <= goal.timesTheRival * (row.rivalValue ?? 0));
  return {
    ...row,
    value: round(row.value),
    ...(row.rivalValue === undefined ? {} : { rivalValue: round(row.rivalValue), ratio: round(ratio!) }),
    ...(parts.length === 0 ? {} : { goal: parts.join(" and "), holds }),
  };
}

const round = (value: number): number => Math.round(value * 100) / 100;

export function table(rows: Row[]): string {
  const cells = rows.map((row) => [
    row.of === undefined ? row.row : `${row.row} (${row.of})`,
    row.stat,
    `${row.value} ${row.unit}`,
    row.rival ?? "",
    row.rivalValue === undefined ? "" : `${row.rivalValue} ${row.unit}`,
    row.ratio === undefined ? "" : `${row.ratio}×`,
    row.goal ?? "",
    row.holds === undefined ? "" : row.holds ? "✓ holds" : "✗ does not hold",
  ]);
  const head = ["row", "stat", "hob", "rival", "rival's", "better", "goal", ""];
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((cell) => cell[column]!.length)));
  const line = (cell: string[]) =>
    cell
      .map((text, column) => text.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  return [line(head), ...cells.map(line)].join("\n");
}

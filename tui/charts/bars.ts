// ⑧ Charts of one line: a level bar, and a sparkline of the latest values.

import type { Line, Style } from "../screen/line.ts";

const levels = "▁▂▃▄▅▆▇█";

/** "▇▇▇▇▁▁": `share` (0 to 1) of `width` cells. */
export function bar(share: number, width: number, style: Style): Line {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return [
    { text: "▇".repeat(filled), style },
    { text: "▁".repeat(width - filled), style: "dim" },
  ];
}

/** The last `width` values, scaled to the greatest of them; cells without a value are blank. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const max = Math.max(...shown, 0);
  const cells = shown.map((value) => levels[max === 0 ? 0 : Math.round((value / max) * (levels.length - 1))] ?? "▁");
  return cells.join("").padStart(width);
}

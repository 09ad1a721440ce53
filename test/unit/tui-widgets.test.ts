// ⑧ blessed-contrib's widgets, drawn off screen.

import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createWidgets } from "../../tui/charts/contrib.ts";

// In the field: key F ended the workbench. blessed threw a tick after a second drawing, for it had taken a screen that it knew for the widget's.
test("donuts are drawn again with other data and at other sizes, and nothing is thrown afterwards", async () => {
  const widgets = createWidgets();
  const drawn = (percent: number, width: number): string =>
    widgets
      .donuts([{ label: "cpu", percent }], width, 10)
      .map((line) => line.map(({ text }) => text).join(""))
      .join("\n");
  for (const width of [40, 40, 60, 30]) {
    for (const percent of [5, 37, 93]) {
      expect(drawn(percent, width)).toContain(`${percent}%`);
      await turn();
    }
  }
  expect(
    drawn(37, 40)
      .split("\n")
      .every((line) => [...line].length <= 40),
  ).toBe(true);
});

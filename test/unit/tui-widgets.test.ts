// ⑧ blessed-contrib's widgets, drawn off screen.

import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { createWidgets } from "../../tui/charts/contrib.ts";
import { initialState } from "../../tui/model/state.ts";
import { drawFleetView } from "../../tui/screen/views/fleet.ts";
import { drawImagesView } from "../../tui/screen/views/images.ts";

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

test("what is shown as donuts: how full nodes and their GPUs are, and how much of each image others have too, once for all nodes", () => {
  const image = { digest: "a".repeat(64), source: "debian bookworm +2", storedBytes: 400, sharedBytes: 300 };
  const images = [image, { ...image, digest: "b".repeat(64), source: "host", sharedBytes: 0 }];
  const gpus = [{ utilisation: 0.93, memoryUsedBytes: 8, memoryTotalBytes: 80 }];
  const node = { name: "a", state: "ready", cpuUsed: 1, cores: 4, memoryUsedBytes: 1, memoryBytes: 2, images };
  const sample = FleetSample.fromPartial({
    nodes: [
      { ...node, gpus },
      { ...node, name: "b" },
    ],
  });
  const initial = initialState({ pool: "local", build: "", columns: 200, rows: 50, nowMs: 0 });
  const state = { ...initial, fleet: { ...initial.fleet, latest: sample } };
  const drawn = (draw: typeof drawFleetView, width: number): string[] => {
    let shown: string[] = [];
    const donuts = (data: readonly { label: string; percent: number }[]): [] => {
      shown = data.map(({ label, percent }) => `${label} ${percent} %`);
      return [];
    };
    draw({ state, nowMs: 0, width, height: 50, widgets: { donuts } });
    return shown;
  };
  expect(drawn(drawFleetView, 198)).toEqual([
    ...["a cpu 25 %", "a mem 50 %", "a gpu0 93 %", "a gpu0 mem 10 %"],
    ...["b cpu 25 %", "b mem 50 %"],
  ]);
  expect(drawn(drawFleetView, 78)).toHaveLength(3);
  expect(drawn(drawImagesView, 198)).toEqual(["debian bookwor… aaaaaa 75 %", "host bbbbbb 0 %"]);
});

// ⑧ How a map is shown: the bar of `hob map`, and the line of the workbench.

import { describe, expect, it } from "vitest";
import { barLine, plainLine, progressOf } from "../../cli/map-progress.ts";
import { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { initialState } from "../../tui/model/state.ts";
import { update } from "../../tui/model/update.ts";
import { drawRuns } from "../../tui/screen/panes/runs.ts";

const map = MapInfo.fromPartial({
  ...{ id: "00000000000000aa", number: 3, app: "images", function: "embed", state: "running", rate: 8_421 },
  ...{ inputs: 100_000, closed: true, succeeded: 12_343, failed: 2, startedAtMs: 1_000 },
});

describe("a map's progress", () => {
  it("is a bar with how far, how fast, how long yet and how many have failed", () => {
    expect(barLine(progressOf(map), 100)).toBe("██▉                       12,345/100,000  8,421/s  10.4 s left  2 failed");
    expect(barLine(progressOf(map), 40)).toBe("12,345/100,000  8,421/s  10.4 s left  2");
    expect(barLine(progressOf({ ...map, succeeded: 99_998 }), 100)).toBe(`${"█".repeat(24)}  100,000/100,000  8,421/s  2 failed`);
    expect(plainLine(3, progressOf(map))).toBe("hob: map #3: 12,345/100,000  8,421/s  10.4 s left  2 failed");
  });

  it("has no share and no end while inputs still come, unless the command knows how many there are", () => {
    const open = { ...map, closed: false, rate: 0.5, failed: 0 };
    expect(barLine(progressOf(open), 100)).toBe("12,343 done  0.5/s");
    expect(barLine(progressOf(open, 12_343), 100)).toBe(`${"█".repeat(24)}  12,343/12,343  0.5/s`);
  });

  it("is a line above the runs of the workbench while it runs, and some seconds beyond", () => {
    const at = (info: MapInfo, nowMs: number): string[] => {
      const options = { pool: "local", build: "", columns: 100, rows: 30, nowMs: 0 };
      const { state } = update(initialState(options), { kind: "map", map: info });
      return drawRuns({ state, nowMs, width: 90, height: 5, widgets: undefined }).lines.map((line) =>
        line.map(({ text }) => text).join(""),
      );
    };
    expect(at(map, 5_000)[0]).toBe(" map #3 ▇▁▁▁▁▁▁▁▁▁▁▁ embed  12,345/100,000  8,421/s  10 s left  2 failed");
    const over = { ...map, state: "succeeded", succeeded: 99_998, finishedAtMs: 6_000 };
    expect(at(over, 9_000)[0]).toBe(" map #3 ▇▇▇▇▇▇▇▇▇▇▇▇ embed  100,000/100,000  done  2 failed");
    expect(at(over, 60_000)).toEqual([" no runs yet"]);
  });
});

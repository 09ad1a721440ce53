// Charts: the pool's last hour in slots of time, and areas and lines of braille with their axes.

import { describe, expect, test } from "vitest";
import { FleetSample, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { niceMax, withAxes } from "../../tui/charts/axes.ts";
import { lineChart, stackedChart } from "../../tui/charts/braille.ts";
import { emptyFleet, type FleetHistory, recordSample, spans } from "../../tui/model/fleet.ts";
import { nodeLines } from "../../tui/screen/panes/fleet.ts";

const startMs = 1_767_967_200_000; // a whole hour

function sample(timeMs: number, busy: number, warm = 0): FleetSample {
  const container = (calls: string[]) => ({ state: "warm", calls });
  const containers = [...Array(busy).fill(container(["c"])), ...Array(warm).fill(container([]))];
  return FleetSample.fromPartial({ timeMs, queued: busy, latencyP50Ms: busy, latencyP99Ms: busy * 2, nodes: [{ containers }] });
}

const record = (samples: readonly FleetSample[]): FleetHistory => samples.reduce(recordSample, emptyFleet);
const textOf = (lines: readonly (readonly { text: string }[])[]): string[] =>
  lines.map((line) => line.map(({ text }) => text).join(""));

describe("the pool's history", () => {
  test("each span holds its minutes, the latest sample at the end, whatever the samples' rate", () => {
    const history = record(Array.from({ length: 2 * 3_700 }, (_, at) => sample(startMs + at * 500, at >= 7_300 ? 3 : 1)));
    for (const minutes of spans) {
      const { busy } = history.tracks[minutes].values;
      expect(history.tracks[minutes].slotMs * busy.length).toBe(minutes * 60_000);
      expect(busy.at(-1)).toBe(3);
      expect(busy.some(Number.isNaN)).toBe(false);
    }
    expect(history.tracks[60].values.busy[0]).toBe(1);
    expect(history.tracks[1].values.busy.filter((value) => value === 3)).toHaveLength(50);
  });

  test("a sample that comes late leaves no hole, a pool that was away does", () => {
    const { busy } = record([sample(startMs, 1), sample(startMs + 2_400, 2), sample(startMs + 12_000, 3)]).tracks[1].values;
    expect([...busy.slice(-13)]).toEqual([1, 1, 2, ...Array(9).fill(Number.NaN), 3]);
  });

  test("a burst within a slot is what an hour's chart keeps of it, and a clock set back changes nothing", () => {
    const history = record([sample(startMs, 1), sample(startMs + 500, 9), sample(startMs + 1_000, 1)]);
    expect(history.tracks[60].values.busy.at(-1)).toBe(9);
    const after = recordSample(history, sample(startMs - 60_000, 40));
    expect(after.tracks[60].values.busy).toEqual(history.tracks[60].values.busy);
  });

  test("where no call has finished there is no latency, not one of nothing", () => {
    const { p50Ms, p99Ms } = record([sample(startMs, 0)]).tracks[5].values;
    expect([p50Ms.at(-1), p99Ms.at(-1)]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe("what is drawn", () => {
  const series = (values: number[], fill: "solid" | "hatched" | "line") => ({
    values: Float64Array.from(values),
    style: "plain" as const,
    fill,
  });

  test("areas stand on each other and differ without colours", () => {
    const chart = stackedChart([series([1, 1, 2, 2], "solid"), series([1, 1, 1, 1], "hatched")], 4, 2, 4);
    const [top, bottom] = textOf(chart);
    expect(top!.slice(0, 2).trim()).toBe(""); // two of four units high: the lower row alone
    expect(top!.slice(2)).toMatch(/^[⠀-⣿]{2}$/);
    expect(bottom!.slice(2)).toBe("⣿⣿");
    expect(bottom!.slice(0, 2)).not.toBe("⣿⣿");
  });

  test("a line goes through its values, is stretched over the width, and stops where nothing is known", () => {
    const chart = textOf(lineChart([series([0, 0, Number.NaN, 8], "line")], 4, 2, 8));
    expect(chart).toEqual(["   ⠉", "⣀⣀  "]);
  });

  test("axes name the greatest value with its unit, zero, and how long ago", () => {
    const rows = withAxes(lineChart([series([1, 2], "line")], 30, 3, 2), { top: "20 ms", minutes: 5, width: 38, gutter: 8 });
    expect(textOf(rows).map((row) => row.slice(0, 8))).toEqual([" 20 ms ┤", "       │", "     0 ┤", "        "]);
    expect(textOf(rows).at(-1)).toMatch(/^ {8}−5 min +−2.5 min +now$/);
    for (const row of textOf(rows)) expect(row.length).toBe(38);
  });

  test("a scale changes in steps, not with every value", () => {
    expect([0, 3, 4, 4.1, 11, 20, 51, 1_001].map((value) => niceMax(value, 4))).toEqual([5, 5, 5, 5, 20, 20, 100, 2_000]);
  });
});

test("a node in full says what it moves, what it has of its images, and how often a first start found there what it read", () => {
  const images = [
    { storedBytes: 400, localBytes: 300, firstReadBlobs: 800, firstReadHits: 776 },
    { storedBytes: 100, localBytes: 100 },
  ];
  const rates = { receivedBytesPerSecond: 3 * 2 ** 20, sentBytesPerSecond: 12_288 };
  const node = {
    ...rates,
    name: "node-1",
    state: "ready",
    cores: 2,
    memoryBytes: 2 ** 34,
    storeBytes: 2 ** 30,
    fetchedBytes: 2 ** 24,
    images,
  };
  const text = (width: number, full: boolean): string[] =>
    nodeLines([NodeInfo.fromPartial(node)], width, full).map((spans) => spans.map((each) => each.text).join(""));
  const [, details] = text(118, true);
  expect(details).toBe(
    "         net ↓ 3.0 MiB/s ↑ 12 KiB/s   blobs 1.0 GiB, 80 % of images here   cache hits 97 % of 800   fetched 16 MiB",
  );
  expect(text(78, true)[1]).toMatch(/ net .* cache hits 97 % of 800$/);
  expect(text(118, false)).toHaveLength(1);
  expect(text(118, false)[0]).toContain("net ↓ 3.0 MiB/s ↑ 12 KiB/s");
});

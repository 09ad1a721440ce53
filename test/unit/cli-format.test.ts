// ⑧ Tables, durations, sizes and moments as commands print them.

import { describe, expect, it } from "vitest";
import { formatBytes } from "../../cli/format/bytes.ts";
import { formatMs, parseSince } from "../../cli/format/duration.ts";
import { formatTable } from "../../cli/format/table.ts";
import { formatClock, formatMoment } from "../../cli/format/time.ts";

describe("sizes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [10_239, "10.0 KiB"],
    [102_400, "100 KiB"],
    [1024 * 1024 - 1, "1.00 MiB"],
    [629 * 1024 * 1024, "629 MiB"],
    [1.5 * 1024 ** 3, "1.50 GiB"],
    [3 * 1024 ** 6, "3072 PiB"],
    [-1, "–"],
    [Number.NaN, "–"],
  ])("%d bytes are shown as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("durations", () => {
  it.each([
    [0, "0.00 ms"],
    [0.42, "0.42 ms"],
    [0.999, "1.0 ms"],
    [8.14, "8.1 ms"],
    [99.96, "100 ms"],
    [532, "532 ms"],
    [999.6, "1.00 s"],
    [4_210, "4.21 s"],
    [9_996, "10.0 s"],
    [59_600, "1 min"],
    [200_000, "3 min 20 s"],
    [3_600_000, "1 h"],
    [18_720_000, "5 h 12 min"],
    [187_200_000, "2 d 4 h"],
    [Number.POSITIVE_INFINITY, "–"],
  ])("%d ms are shown as %s", (ms, text) => expect(formatMs(ms)).toBe(text));

  it("understands relative and absolute moments", () => {
    expect(parseSince("90s", 1_000_000)).toBe(910_000);
    expect(parseSince("10m", 1_000_000)).toBe(400_000);
    expect(parseSince("2026-01-31T14:00:00Z", 0)).toBe(Date.UTC(2026, 0, 31, 14));
  });

  it("refuses what is no moment, and says what is", () => {
    expect(() => parseSince("soon", 0)).toThrow(
      expect.objectContaining({ kind: "usage", sentence: expect.stringContaining("10m") }),
    );
  });
});

describe("moments", () => {
  const noon = new Date(2026, 0, 31, 12, 3, 4, 56).getTime();
  it("are local, with milliseconds", () => expect(formatClock(noon)).toBe("12:03:04.056"));
  it("carry a date only on other days", () => {
    expect(formatMoment(noon, noon + 1000)).toBe("12:03:04");
    expect(formatMoment(noon, noon + 86_400_000)).toBe("2026-01-31 12:03:04");
    expect(formatMoment(0, noon)).toBe("–");
  });
});

describe("tables", () => {
  it("align columns, numbers to the right, without trailing spaces", () => {
    const lines = formatTable(
      [{ title: "FUNCTION" }, { title: "TIME", align: "right" }, { title: "STATE" }],
      [
        ["embed", "8.1 ms", "ok"],
        ["count_words", "532 ms", "failed"],
      ],
      0,
    );
    expect(lines).toEqual(["FUNCTION       TIME  STATE", "embed        8.1 ms  ok", "count_words  532 ms  failed"]);
  });

  it("cut a row that is wider than the terminal with an ellipsis", () => {
    expect(formatTable([{ title: "A" }, { title: "B" }], [["name", "a long text"]], 10)).toEqual(["A     B", "name  a l…"]);
  });

  it("keep a cell on its line, whatever it holds", () => {
    expect(formatTable([{ title: "A" }], [["two\nlines\u001b[2J\u0007"]], 0)).toEqual(["A", "two lines"]);
  });
});

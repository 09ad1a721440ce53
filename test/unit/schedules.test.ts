// When schedules are due: cron over changes of daylight saving, periods, what was missed, and what is no schedule.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { dueFirings } from "../../control/schedules/firings.ts";
import { checkSchedule, scheduleOf } from "../../project/describe/schedule.ts";
import { FunctionSpec, Schedule } from "../../proto/gen/hob/v1/common.ts";
import { firingAfter, scheduleProblem } from "../../proto/schedule.ts";
import { scheduleText } from "../../proto/schedule-text.ts";

const cron = (text: string, timeZone = "UTC", missed = "skip"): Schedule =>
  Schedule.fromPartial({ cron: text, timeZone, missed });
const period = (periodMs: number, missed = "skip"): Schedule => Schedule.fromPartial({ periodMs, missed });

function firings(schedule: Schedule, from: string, count: number): string[] {
  let at = Date.parse(from);
  return Array.from({ length: count }, () => {
    at = firingAfter(schedule, 0, at)!;
    return new Date(at).toISOString().slice(0, 16);
  });
}

describe("cron in Berlin", () => {
  it("makes up at 3 for half past two on the day that has none, once", () => {
    const daily = cron("30 2 * * *", "Europe/Berlin");
    expect(firings(daily, "2026-03-28T00:00Z", 3)).toEqual(["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]);
  });

  it("counts half past two once on the day that has it twice", () => {
    const daily = cron("30 2 * * *", "Europe/Berlin");
    expect(firings(daily, "2026-10-24T12:00Z", 2)).toEqual(["2026-10-25T00:30", "2026-10-26T01:30"]);
  });

  it("goes on every half hour through both", () => {
    for (const day of ["2026-03-29T00:00Z", "2026-10-25T00:00Z"]) {
      const times = firings(cron("*/30 * * * *", "Europe/Berlin"), day, 8).map((time) => Date.parse(`${time}Z`));
      for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBe(30 * 60_000);
    }
  });
});

test.each([
  [cron("61 * * * *"), '"61 * * * *" is not cron: Invalid value for minute: 61: write five fields'],
  [cron("hello"), '"hello" is not cron: it has 1 field: write five fields'],
  [cron("0 0 31 2 *"), 'cron "0 0 31 2 *" never comes'],
  [cron("0 3 * * *", "Mars/Crater"), 'there is no time zone "Mars/Crater": write a name as in "Europe/Berlin"'],
  [cron("0 3 * * *", "", "often"), 'missed "often" is no policy'],
  [period(10), "a period is 1 second to 366 days long"],
  [{ ...period(5_000), cron: "* * * * *" }, "a cron text or a period, not both"],
])("%o is refused in one sentence", (schedule, sentence) => {
  expect(scheduleProblem(schedule)).toContain(sentence);
  const spec = FunctionSpec.fromPartial({ name: "nightly", schedule });
  expect(() => checkSchedule(spec)).toThrow(`schedule of nightly: `);
});

test("a function that the clock cannot call is refused where it is declared", () => {
  const schedule = scheduleOf({ cron: "0 3 * * *", time_zone: "UTC", period_ms: 0, missed: "skip" });
  expect(scheduleProblem(schedule)).toBeUndefined();
  const spec = { name: "nightly", schedule, parameters: [{ name: "day", kind: "positional", hasDefault: false }] };
  expect(() => checkSchedule(FunctionSpec.fromPartial(spec))).toThrow('"day" has no default');
  expect([scheduleText(schedule), scheduleText(period(300_000)), scheduleText(period(3_600_000))]).toEqual([
    ...["0 3 * * * UTC", "every 5 minutes", "every hour"],
  ]);
});

describe("after an absence of an hour", () => {
  const [minuteMs, hourMs] = [60_000, 3_600_000];
  const due = (missed: string, nowMs: number) =>
    dueFirings({ schedule: period(minuteMs, missed), anchorMs: 0, lastMs: 0 }, nowMs);

  it("skips what was missed, and makes what comes in time", () => {
    expect(due("skip", hourMs + 30_000)).toEqual({ fire: [], lastMs: hourMs + 19_999 });
    expect(due("skip", hourMs + 5_000).fire).toEqual([{ dueMs: hourMs, missed: false }]);
  });

  it("makes one for all that were missed, unless one comes in time", () => {
    expect(due("once", hourMs + 30_000).fire).toEqual([{ dueMs: minuteMs, missed: true }]);
    expect(due("once", hourMs + 5_000).fire).toEqual([{ dueMs: hourMs, missed: false }]);
  });

  it("makes all, oldest first, a hundred at a time", () => {
    const first = due("all", 3 * hourMs + 30_000);
    expect(first.fire.map(({ dueMs }) => dueMs)).toEqual(Array.from({ length: 100 }, (_, i) => (i + 1) * minuteMs));
    const rest = dueFirings({ schedule: period(minuteMs, "all"), anchorMs: 0, lastMs: first.lastMs }, 3 * hourMs + 30_000);
    expect(rest.fire.map(({ dueMs }) => dueMs)).toEqual(Array.from({ length: 80 }, (_, i) => (i + 101) * minuteMs));
  });
});

test("whenever it is asked, and however often, each firing is made once, and with all none is left out", () => {
  const schedules = [period(1_000), period(7_300), cron("* * * * * *"), cron("*/7 * * * * *")];
  const property = fc.property(
    fc.constantFrom(...schedules),
    fc.constantFrom("skip", "once", "all"),
    fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 12 }),
    (schedule, missed, pauses) => {
      let nowMs = 1_700_000_000_000;
      const progress = { schedule: { ...schedule, missed }, anchorMs: nowMs, lastMs: nowMs };
      const begunMs = nowMs;
      const made: number[] = [];
      for (const pauseMs of pauses) {
        nowMs += pauseMs;
        const { fire, lastMs } = dueFirings(progress, nowMs);
        expect(lastMs).toBeGreaterThanOrEqual(progress.lastMs);
        expect(fire.every(({ dueMs }) => dueMs <= nowMs)).toBe(true);
        progress.lastMs = Math.max(lastMs, ...fire.map(({ dueMs }) => dueMs));
        made.push(...fire.map(({ dueMs }) => dueMs));
      }
      expect(new Set(made).size).toBe(made.length);
      if (missed !== "all") return;
      const all: number[] = [];
      for (let at = firingAfter(schedule, begunMs, begunMs)!; at <= nowMs; at = firingAfter(schedule, begunMs, at)!) all.push(at);
      expect(made).toEqual(all.slice(0, made.length));
      expect(all.length - made.length).toBeLessThanOrEqual(nowMs - begunMs > 100_000 ? all.length : 0);
    },
  );
  fc.assert(property, { numRuns: 200 });
});

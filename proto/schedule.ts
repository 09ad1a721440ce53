// ②④⑧ When a schedule is due: cron text in its time zone, or a period. Pure; daylight saving is croner's.

import { Cron } from "croner";
import type { Schedule } from "./gen/hob/v1/common.ts";

const policies: readonly string[] = ["", "skip", "once", "all"];
const shortestPeriodMs = 1_000;
const longestPeriodMs = 366 * 24 * 3_600_000;
const mostKept = 1_000;

const kept = new Map<string, Cron>();

function cronOf({ cron, timeZone }: Schedule): Cron {
  const key = `${cron}\n${timeZone}`;
  const known = kept.get(key);
  if (known) return known;
  const made = new Cron(cron, { timezone: timeZone || "UTC", paused: true });
  if (kept.size >= mostKept) kept.clear();
  kept.set(key, made);
  return made;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Why that is no schedule, in one sentence with a remedy; undefined when it is one. */
export function scheduleProblem(schedule: Schedule): string | undefined {
  const { cron, timeZone, periodMs, missed } = schedule;
  if (!policies.includes(missed)) return `missed "${missed}" is no policy: there are "skip", "once" and "all"`;
  if (cron === "") {
    if (periodMs >= shortestPeriodMs && periodMs <= longestPeriodMs) return undefined;
    return "a period is 1 second to 366 days long: write for example Period(minutes=5)";
  }
  if (periodMs > 0) return "a schedule has a cron text or a period, not both";
  if (timeZone !== "" && !isTimeZone(timeZone)) {
    return `there is no time zone "${timeZone}": write a name as in "Europe/Berlin"`;
  }
  const fields = cron.trim().split(/\s+/).length;
  const remedy = 'write five fields, "minute hour day month weekday", as in "0 3 * * *"';
  if (fields !== 5 && fields !== 6)
    return `"${cron}" is not cron: it has ${fields} ${fields === 1 ? "field" : "fields"}: ${remedy}`;
  try {
    if (cronOf(schedule).nextRun() === null) return `cron "${cron}" never comes: no year has that day`;
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, "").replace(/\.$/, "") : String(error);
    return `"${cron}" is not cron: ${why}: ${remedy}`;
  }
}

/** The first firing after that moment, in ms since 1970; undefined when there is none. Periods count from `anchorMs`. */
export function firingAfter(schedule: Schedule, anchorMs: number, afterMs: number): number | undefined {
  const { cron, periodMs } = schedule;
  if (cron === "") return anchorMs + Math.max(1, Math.floor((afterMs - anchorMs) / periodMs) + 1) * periodMs;
  return cronOf(schedule).nextRun(new Date(afterMs))?.getTime();
}

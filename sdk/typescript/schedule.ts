// ② When a deployed function is called by itself. What the texts mean is checked by `hob`, which has the calendar.

export interface ScheduleDefinition {
  cron: string;
  time_zone: string;
  period_ms: number;
  missed: string;
}

/** What becomes of firings while nobody could make them: none, one for all of them, or each. */
export type Missed = "skip" | "once" | "all";

const policies: readonly unknown[] = ["skip", "once", "all"];

function checkMissed(missed: unknown): void {
  if (!policies.includes(missed)) throw new TypeError(`missed "${missed}" is no policy; there are "skip", "once" and "all"`);
}

/**
 * Five fields, "minute hour day month weekday" (six: seconds first), in a time zone: `new Cron("0 3 * * *", { tz: "Europe/Berlin" })`. A time that a
 * change of daylight saving skips is made up for right after it, one that comes twice counts once.
 */
export class Cron {
  readonly definition: ScheduleDefinition;

  constructor(text: string, { tz = "UTC", missed = "skip" }: { tz?: string; missed?: Missed } = {}) {
    if (typeof text !== "string" || typeof tz !== "string")
      throw new TypeError('Cron takes texts; write for example new Cron("0 3 * * *", { tz: "Europe/Berlin" })');
    checkMissed(missed);
    this.definition = { cron: text, time_zone: tz, period_ms: 0, missed };
  }
}

export interface PeriodOptions {
  days?: number;
  hours?: number;
  minutes?: number;
  seconds?: number;
  missed?: Missed;
}

/** Every so often, from the first deployment that has it on: `new Period({ minutes: 5 })`. */
export class Period {
  readonly definition: ScheduleDefinition;

  constructor({ days = 0, hours = 0, minutes = 0, seconds = 0, missed = "skip" }: PeriodOptions) {
    const ms = Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000);
    if (!(ms >= 1000 && ms < Number.POSITIVE_INFINITY))
      throw new RangeError("Period is at least a second long; write for example new Period({ minutes: 5 })");
    checkMissed(missed);
    this.definition = { cron: "", time_zone: "", period_ms: ms, missed };
  }
}

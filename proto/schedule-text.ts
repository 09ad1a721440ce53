// ②⑧ A schedule in words. Apart from schedule.ts, which needs croner: the screen only shows it.

import type { Schedule } from "./gen/hob/v1/common.ts";

const units = [
  ["day", 24 * 3_600_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;

/** "0 3 * * * Europe/Berlin", "every 5 minutes". */
export function scheduleText({ cron, timeZone, periodMs }: Schedule): string {
  if (cron !== "") return `${cron} ${timeZone || "UTC"}`;
  const [name, ms] = units.find(([, unitMs]) => periodMs % unitMs === 0) ?? (["ms", 1] as const);
  const count = periodMs / ms;
  return count === 1 ? `every ${name}` : `every ${count} ${name}${name === "ms" ? "" : "s"}`;
}

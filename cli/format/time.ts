// ⑧ Moments for people, in local time: the clock for today, the date as well for other days.

const two = (value: number): string => String(value).padStart(2, "0");

/** 14:03:22.512 */
export function formatClock(unixMs: number): string {
  const time = new Date(unixMs);
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

/** 14:03:22 today, 2026-01-31 14:03:22 on other days, – for 0. */
export function formatMoment(unixMs: number, nowMs: number): string {
  if (!unixMs) return "–";
  const clock = formatClock(unixMs).slice(0, 8);
  const time = new Date(unixMs);
  if (time.toDateString() === new Date(nowMs).toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

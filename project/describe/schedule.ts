// ② A declared schedule, checked where it stands: whoever writes it sees what is wrong at the next save.

import { HobError } from "../../base/errors.ts";
import { type FunctionSpec, Schedule } from "../../proto/gen/hob/v1/common.ts";
import { scheduleProblem } from "../../proto/schedule.ts";

/** What `Cron.definition` and `Period.definition` of the SDKs hold. */
export interface EvaluatedSchedule {
  cron: string;
  time_zone: string;
  period_ms: number;
  missed: string;
}

export const scheduleOf = ({ cron, time_zone: timeZone, period_ms: periodMs, missed }: EvaluatedSchedule): Schedule =>
  Schedule.fromPartial({ cron, timeZone, periodMs, missed });

/** Throws a HobError of kind `usage` for a schedule that is none, or a function that the clock cannot call. */
export function checkSchedule({ name, schedule, parameters }: FunctionSpec): void {
  if (!schedule) return;
  const problem = scheduleProblem(schedule);
  if (problem) throw new HobError("usage", `schedule of ${name}: ${problem}`);
  const wanted = parameters.find(({ kind, hasDefault }) => !hasDefault && kind !== "variadic" && kind !== "keywords");
  if (!wanted) return;
  throw new HobError("usage", `schedule of ${name}: it is called without arguments, and "${wanted.name}" has no default`, {
    remedy: `give "${wanted.name}" one`,
  });
}

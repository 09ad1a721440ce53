// ④ The Schedules service.

import type { SchedulesServer } from "../../proto/gen/hob/v1/schedules.ts";
import { toServiceError } from "../../proto/status.ts";
import type { Turn } from "../turn.ts";
import type { Schedules } from "./schedules.ts";

export function createSchedulesService(schedules: Schedules, turn: Pick<Turn, "toClient">): SchedulesServer {
  /** Answers once it is recorded. */
  function answer<Answer>(
    work: () => Answer,
    callback: (error: ReturnType<typeof toServiceError> | null, value?: Answer) => void,
  ): void {
    try {
      const value = work();
      turn.toClient(() => callback(null, value));
    } catch (error) {
      callback(toServiceError(error));
    }
  }

  return {
    listSchedules: ({ request: { app, function: name } }, callback) => callback(null, { schedules: schedules.list(app, name) }),
    runSchedule: ({ request: { app, function: name } }, callback) => answer(() => ({ call: schedules.run(app, name) }), callback),
    pauseSchedule: ({ request: { app, function: name, paused } }, callback) =>
      answer(() => ({ nextMs: schedules.pause(app, name, paused) }), callback),
  };
}

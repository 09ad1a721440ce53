// ⑧ `hob schedules`: what the clock calls, when next, and what came of it.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type {
  Firing,
  ListSchedulesResponse,
  PauseScheduleResponse,
  RunScheduleResponse,
  ScheduleInfo,
  SchedulesClient,
} from "../proto/gen/hob/v1/schedules.ts";
import { scheduleText } from "../proto/schedule-text.ts";
import { answered, soon } from "./answered.ts";
import { runningControl } from "./control-address.ts";
import { formatMoment } from "./format/time.ts";
import { parseTarget, type Target } from "./names.ts";
import { printJson, printLine, printTable } from "./output.ts";

interface SchedulesFlags {
  control?: string;
  json?: boolean;
}

type Client = Pick<SchedulesClient, "listSchedules" | "runSchedule" | "pauseSchedule">;

export function addSchedules(program: Command): void {
  const schedules = program
    .command("schedules")
    .description("functions of live deployments that the clock calls: ls, run, pause, resume, history")
    .addHelpText(
      "after",
      "\nExamples:\n  hob schedules ls\n  hob schedules run reports/nightly\n  hob schedules history reports/nightly --json\n",
    );
  const add = (name: string, argument: string, description: string): Command => {
    const command = schedules.command(name).description(description);
    command.argument(argument, argument === "[app]" ? "only this app" : "APP/FUNCTION");
    return command.option("--control <address>", "control to ask: unix:PATH").option("--json", "one JSON object a line");
  };
  add("ls", "[app]", "schedules, with their next firing").action(list);
  add("run", "<target>", "call it now, besides its firings").action(run);
  add("pause", "<target>", "fire no more until it is resumed").action((target, flags) => pause(target, true, flags));
  add("resume", "<target>", "fire again; what fell into the pause is not made up for").action((target, flags) =>
    pause(target, false, flags),
  );
  add("history", "<target>", "its last firings and what came of them").action(history);
}

async function asking<Result>(flags: SchedulesFlags, work: (client: Client) => Promise<Result>): Promise<Result> {
  const [{ SchedulesClient }, { channelOptionsOf, clientCredentials }] = await Promise.all([
    import("../proto/gen/hob/v1/schedules.ts"),
    import("../proto/transport.ts"),
  ]);
  const address = await runningControl(flags.control);
  const client = new SchedulesClient(address, clientCredentials(address), channelOptionsOf(address));
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

function functionOf(text: string): Target {
  const target = parseTarget(text);
  if (target.function === "") throw new HobError("usage", `"${text}" names no function`, { remedy: "write APP/FUNCTION" });
  return target;
}

const scheduleObject = ({ app, function: name, schedule, deployment, nextMs, paused }: ScheduleInfo): object => ({
  ...{ kind: "schedule", app, function: name, deployment, schedule: scheduleText(schedule!) },
  ...{ missed: schedule!.missed || "skip", nextMs, paused },
});

const firingObject = ({ dueMs, firedMs, kind, call, outcome }: Firing): object => ({
  ...{ kind: "firing", dueMs, firedMs, why: kind, call, state: outcome?.state ?? "forgotten", app: outcome?.app ?? "" },
});

async function list(app: string | undefined, flags: SchedulesFlags): Promise<void> {
  const { schedules } = await asking(flags, (client) =>
    answered<ListSchedulesResponse>((done) => client.listSchedules({ app: app ?? "", function: "" }, ...soon(), done)),
  );
  if (flags.json) return schedules.forEach((info) => void printJson(scheduleObject(info)));
  if (schedules.length === 0) return printLine('No schedules: a function has one with schedule=hob.Cron("0 3 * * *").');
  const nowMs = Date.now();
  printTable(
    [{ title: "FUNCTION" }, { title: "SCHEDULE" }, { title: "NEXT" }, { title: "LAST" }, { title: "OUTCOME" }],
    schedules.map((info) => {
      const { app: owner, function: name, schedule, deployment, nextMs, paused, firings } = info;
      const next = deployment === 0 ? "not deployed" : paused ? "paused" : formatMoment(nextMs, nowMs);
      const [last] = firings;
      const outcome = last ? (last.outcome?.state ?? "forgotten") : "–";
      return [`${owner}/${name}`, scheduleText(schedule!), next, formatMoment(last?.firedMs ?? 0, nowMs), outcome];
    }),
  );
}

async function run(text: string, flags: SchedulesFlags): Promise<void> {
  const { call } = await asking(flags, (client) =>
    answered<RunScheduleResponse>((done) => client.runSchedule(functionOf(text), ...soon(), done)),
  );
  if (flags.json) return printJson({ kind: "firing", target: text, call });
  printLine(`${text} was called: hob calls ${call}`);
}

async function pause(text: string, paused: boolean, flags: SchedulesFlags): Promise<void> {
  const request = { ...functionOf(text), paused };
  const { nextMs } = await asking(flags, (client) =>
    answered<PauseScheduleResponse>((done) => client.pauseSchedule(request, ...soon(), done)),
  );
  if (flags.json) return printJson({ kind: "schedule", target: text, paused, nextMs });
  printLine(paused ? `${text} is paused.` : `${text} fires next at ${formatMoment(nextMs, Date.now())}.`);
}

async function history(text: string, flags: SchedulesFlags): Promise<void> {
  const { schedules } = await asking(flags, (client) =>
    answered<ListSchedulesResponse>((done) => client.listSchedules(functionOf(text), ...soon(), done)),
  );
  const [info] = schedules;
  if (!info) throw new HobError("notFound", `${text} has no schedule`, { remedy: "hob schedules ls lists those that there are" });
  if (flags.json) return info.firings.forEach((firing) => void printJson(firingObject(firing)));
  if (info.firings.length === 0) return printLine(`${text} has not fired yet.`);
  const nowMs = Date.now();
  printTable(
    [{ title: "DUE" }, { title: "CALLED" }, { title: "WHY" }, { title: "CALL" }, { title: "OUTCOME" }],
    info.firings.map(({ dueMs, firedMs, kind, call, outcome }) => [
      formatMoment(dueMs, nowMs),
      formatMoment(firedMs, nowMs),
      { due: "due", missed: "missed, made up for", hand: "by hand" }[kind] ?? kind,
      outcome ? `#${outcome.number}` : call,
      outcome ? `${outcome.state}${outcome.failure ? `: ${outcome.failure.message}` : ""}` : "forgotten",
    ]),
  );
}

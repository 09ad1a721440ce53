// ⑧ Deployments and schedules: what callers get of each app and how it differs from what runs here, and what the clock calls when.

import type { AppInfo, DeploymentChange } from "../../../proto/gen/hob/v1/deployments.ts";
import type { ScheduleInfo } from "../../../proto/gen/hob/v1/schedules.ts";
import { scheduleText } from "../../../proto/schedule-text.ts";
import type { OperationsKnown } from "../../model/operations.ts";
import { clean, cut, pad } from "../../text.ts";
import { count, counted, short, timeOfDay } from "../../units.ts";
import { type Line, line, type Span, span } from "../line.ts";
import { callMark, callTime } from "../marks.ts";
import { blockOf } from "../output.ts";
import { nextFiring } from "../schedule.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";

const dayMs = 86_400_000;
const gap = "  ";
const mostColumns = 40;

/** The clock for what is less than a day away, else how many days. */
function moment(unixMs: number, nowMs: number): string {
  if (unixMs === 0) return "–";
  return Math.abs(nowMs - unixMs) < dayMs ? timeOfDay(unixMs) : `${count(Math.round((nowMs - unixMs) / dayMs))} days ago`;
}

/** Rows in columns, each as wide as what is in it; the last has the rest. */
function table(head: readonly string[], rows: readonly (readonly Span[])[]): Line[] {
  const widths = head.map((title, column) =>
    Math.min(mostColumns, Math.max(title.length, ...rows.map((row) => row[column]?.text.length ?? 0))),
  );
  const last = head.length - 1;
  const cell = (text: string, column: number): string =>
    column === last ? text : pad(cut(text, widths[column]!), widths[column]!) + gap;
  return [
    [span("   "), ...head.map((title, column) => span(cell(title, column), "dim"))],
    ...rows.map((row): Line => [span("   "), ...row.map((part, column) => ({ ...part, text: cell(part.text, column) }))]),
  ];
}

function appRow({ app, live, functions, changed }: AppInfo, nowMs: number): Span[] {
  const note = live?.note ?? "";
  const differs =
    changed > 0 ? span(`${counted(changed, "function")} differ${changed === 1 ? "s" : ""}`, "warn") : span("the same", "good");
  if (!live)
    return [
      span(app, "strong"),
      span("not deployed", "dim"),
      span("–", "dim"),
      span("–", "dim"),
      span(count(functions)),
      span(""),
    ];
  return [
    span(app, "strong"),
    span(`deployment ${live.number}${live.of > 0 ? `, as ${live.of}` : ""}`),
    span(moment(live.atMs, nowMs)),
    span(live.by),
    span(count(live.functions.length)),
    { ...differs, text: differs.text + (note === "" ? "" : `  ${clean(note)}`) },
  ];
}

function changeText({ function: whole, kind, before, after }: DeploymentChange, nameColumns: number): string {
  const digest = (text: string): string => short(text.replace(/^sha256:/, ""));
  const name = pad(clean(whole), nameColumns);
  if (kind === "added") return `+ ${name}  ${digest(after)}`;
  if (kind === "removed") return `– ${name}  ${digest(before)}`;
  return `≠ ${name}  ${kind === "image" ? "image " : ""}${digest(before)} → ${digest(after)}`;
}

/** What each live deployment changed, below all of them. */
function changeLines({ app, live }: AppInfo): Line[] {
  if (!live || live.changes.length === 0) return [];
  const nameColumns = Math.min(mostColumns, Math.max(...live.changes.map(({ function: name }) => clean(name).length)));
  return [
    [],
    [span(`   ${app}`, "strong"), span(`  what deployment ${live.number} changed`, "dim")],
    ...live.changes.map((change) => line(`     ${changeText(change, nameColumns)}`)),
  ];
}

function scheduleRow(info: ScheduleInfo, nowMs: number): Span[] {
  const { app, function: name, schedule, firings } = info;
  const [last] = firings;
  const outcome = last?.outcome;
  const failed = outcome?.failure?.message.split("\n", 1)[0];
  return [
    span(`${app}/${name}`, "strong"),
    span(schedule ? scheduleText(schedule) : ""),
    nextFiring(info, nowMs),
    span(moment(last?.firedMs ?? 0, nowMs)),
    outcome
      ? span(
          `${callMark(outcome).text} #${outcome.number}  ${callTime(outcome, nowMs)}${failed ? `  ${failed}` : ""}`,
          callMark(outcome).style,
        )
      : span(last ? "forgotten" : "–", "dim"),
  ];
}

function deploymentLines({ apps }: OperationsKnown, nowMs: number): Line[] {
  if (apps.length === 0) return [line("   no apps in this pool yet", "dim")];
  const head = ["APP", "LIVE", "SINCE", "BY", "FUNCTIONS", "WHAT RUNS HERE"];
  const hint = apps.some(({ live }) => live)
    ? []
    : [[], line("   nothing is deployed: d makes what runs here what callers get", "dim")];
  return [
    ...table(
      head,
      apps.map((app) => appRow(app, nowMs)),
    ),
    ...hint,
    ...apps.flatMap(changeLines),
  ];
}

function scheduleLines({ schedules }: OperationsKnown, nowMs: number): Line[] {
  if (schedules.length === 0) return [line('   none: a function has one with schedule=hob.Cron("0 3 * * *")', "dim")];
  return table(
    ["FUNCTION", "SCHEDULE", "NEXT", "LAST", "OUTCOME"],
    schedules.map((info) => scheduleRow(info, nowMs)),
  );
}

export function drawOperationsView({ state, nowMs, height }: DrawContext): Drawn {
  const { operations } = state;
  const title = line("Deployments");
  if (!operations) {
    const text = state.replay ? "this session was recorded without them" : "asking control …";
    return { title, lines: [line(` ${text}`, "dim")] };
  }
  const problem = operations.problem === "" ? [] : [line(` as it was: ${operations.problem}`, "warn"), []];
  const blocks = [
    blockOf(problem),
    blockOf([line(" Apps", "accentStrong"), ...deploymentLines(operations, nowMs), []]),
    blockOf([line(" Schedules", "accentStrong"), ...scheduleLines(operations, nowMs)]),
  ];
  return { title, ...windowOf(blocks, state.scroll.operationsView, height) };
}

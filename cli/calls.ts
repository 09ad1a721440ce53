// ⑧ `hob calls`: the calls that control has recorded, latest first; or one of them with all that is known of it.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { runningControl } from "./control-address.ts";
import { printJson, printLine, printTable } from "./output.ts";
import type { PoolClient } from "./pool-client.ts";
import { suggestion } from "./suggest.ts";
import { wholeNumber } from "./whole-number.ts";

interface CallsFlags {
  control?: string;
  json?: boolean;
  limit: number;
  state?: string;
  since?: string;
  result?: boolean;
}

const states = ["queued", "running", "succeeded", "failed", "cancelled"];
const childrenShown = 20;

export function addCalls(program: Command): void {
  program
    .command("calls")
    .description("recorded calls, with their outcomes; or one with its input, result, attempts and the calls that it made")
    .argument("[target]", "only those of APP or APP/FUNCTION; or one call: its number as in #42, or its id")
    .option("--state <state>", `only those: ${states.join(", ")}`)
    .option("--since <time>", "only those since then: 10m, 2h, or a date and time")
    .option("--limit <n>", "at most so many", wholeNumber, 50)
    .option("--result", "of one call: its result alone, as JSON, however large")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExamples:\n  hob calls images/embed --state failed --since 1h\n  hob calls '#42'\n")
    .action(show);
}

async function show(text: string | undefined, flags: CallsFlags): Promise<void> {
  const [{ openPoolClient }, { callNumberOrId, findCall }] = await Promise.all([
    import("./pool-client.ts"),
    import("./call-named.ts"),
  ]);
  if (flags.state !== undefined && !states.includes(flags.state)) {
    throw new HobError("usage", `there is no state "${flags.state}"`, { remedy: suggestion(flags.state, states) });
  }
  const one = text === undefined ? undefined : callNumberOrId(text);
  if (flags.result && !one)
    throw new HobError("usage", "--result is of one call", { remedy: "write for example: hob calls '#42' --result" });
  const { parseSince } = await import("./format/duration.ts");
  const sinceMs = flags.since === undefined ? 0 : parseSince(flags.since, Date.now());
  using pool = openPoolClient(await runningControl(flags.control));
  if (one) return await showOne(pool, await findCall(pool, one), flags);
  await list(pool, text, { ...flags, sinceMs });
}

async function list(pool: PoolClient, text: string | undefined, flags: CallsFlags & { sinceMs: number }): Promise<void> {
  const [{ callColumns, callObject, callRow }, { parseTarget, requireKnown }] = await Promise.all([
    import("./call-row.ts"),
    import("./names.ts"),
  ]);
  const target = parseTarget(text);
  const { limit, state = "", sinceMs } = flags;
  const calls = await pool.calls({ ...target, limit, state, sinceMs });
  if (calls.length === 0) {
    const [versions, others] = await Promise.all([pool.functions(""), pool.calls({ app: target.app, limit: 1_000 })]);
    requireKnown(target, [
      ...versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })),
      ...others,
    ]);
  }
  if (flags.json) return calls.forEach((call) => void printJson(callObject(call)));
  if (calls.length === 0) return printLine(state || sinceMs ? "No such calls." : "No calls yet.");
  const nowMs = Date.now();
  printTable(
    callColumns,
    calls.map((call) => callRow(call, nowMs)),
  );
}

async function showOne(pool: PoolClient, call: CallInfo, flags: CallsFlags): Promise<void> {
  if (flags.result) return await printResult(pool, call);
  const [children, parents] = await Promise.all([
    pool.calls({ parent: call.id, limit: childrenShown }),
    call.parent ? pool.calls({ id: call.parent }) : [],
  ]);
  const { callReport, callReportObject } = await import("./call-report.ts");
  const family = { children, parent: parents[0] };
  if (flags.json) printJson(callReportObject(call, family));
  else for (const line of callReport(call, family, Date.now())) printLine(line);
}

async function printResult(pool: PoolClient, call: CallInfo): Promise<void> {
  if (!call.result) {
    const why = call.failure ? "it failed" : call.state === "succeeded" ? "control has not sent it" : `it is ${call.state}`;
    throw new HobError("precondition", `call #${call.number} has no result: ${why}`);
  }
  process.stdout.write(`${(await pool.value(call.result)).toString("utf8")}\n`);
}

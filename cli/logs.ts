// ⑧ `hob logs`: lines that functions wrote, past and as they come.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { isGap } from "../proto/lost-output.ts";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatClock } from "./format/time.ts";
import { interruptSignal } from "./interrupt.ts";
import { colour, printJson, printLine } from "./output.ts";
import type { PoolClient } from "./pool-client.ts";
import { wholeNumber } from "./whole-number.ts";

interface LogsFlags {
  follow?: boolean;
  since?: string;
  call?: string;
  limit: number;
  control?: string;
  json?: boolean;
}

export function addLogs(program: Command): void {
  program
    .command("logs")
    .description("what functions wrote")
    .argument("[target]", "only lines of APP or APP/FUNCTION")
    .option("-f, --follow", "go on with new lines as they come")
    .option("--since <time>", "only lines since then: 10m, 2h, or a date and time")
    .option("--call <call>", "only lines of this call: its id, or its number as in #42")
    .option("--limit <n>", "at most so many past lines, the latest", wholeNumber, 1000)
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob logs images/embed --since 10m --follow\n")
    .action(show);
}

async function show(text: string | undefined, flags: LogsFlags): Promise<void> {
  const [{ openPoolClient }, { parseTarget, requireKnown }, { parseSince }] = await Promise.all([
    import("./pool-client.ts"),
    import("./names.ts"),
    import("./format/duration.ts"),
  ]);
  const target = parseTarget(text);
  const sinceMs = flags.since === undefined ? 0 : parseSince(flags.since, Date.now());
  using interrupt = interruptSignal();
  using pool = openPoolClient(await runningControl(flags.control));
  const [versions, calls] = await Promise.all([pool.functions(""), pool.calls({ app: target.app, limit: 1000 })]);
  requireKnown(target, [...versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })), ...calls]);
  const call = flags.call === undefined ? "" : await callId(pool, flags.call);
  const request = { ...target, call, sinceMs, limit: flags.limit, follow: flags.follow ?? false };
  let shown = 0;
  for await (const lines of pool.logs(request, interrupt.signal)) {
    shown += lines.length;
    for (const line of lines)
      if (flags.json) printJson(logObject(line));
      else printLine(logText(line));
  }
  if (!request.follow && shown >= flags.limit) process.stderr.write(`hob: the latest ${shown} lines; --limit shows more\n`);
}

async function callId(pool: PoolClient, text: string): Promise<string> {
  const number = /^#?(\d{1,15})$/.exec(text)?.[1];
  // Ids are 16 hex digits: a number of up to 15 digits is none.
  const calls = await pool.calls(number === undefined ? { id: text, limit: 1 } : { limit: 100_000 });
  const found = number === undefined ? calls[0] : calls.find((call) => call.number === Number(number));
  if (found) return found.id;
  throw new HobError("usage", `there is no call ${text}`, { remedy: "`hob calls` lists those that are recorded" });
}

function logObject({
  call,
  app,
  function: name,
  container,
  stream,
  timeMs,
  text,
  dropped,
  seq,
}: LogLine): Record<string, unknown> {
  return { kind: "log", timeMs, app, function: name, call, container, stream, text, dropped, seq };
}

function logText(line: LogLine): string {
  const lost = line.dropped > 0 ? colour("yellow", `… ${formatBytes(line.dropped)} dropped${isGap(line) ? "" : ", then "}`) : "";
  const source = line.app ? `${line.app}/${line.function}` : line.container;
  return `${colour("dim", `${formatClock(line.timeMs)} ${source}`)}${line.stream === "stderr" ? " ! " : "   "}${lost}${line.text}`;
}

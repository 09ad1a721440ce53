// ⑧ `hob logs`: lines that functions wrote, past and as they come.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { isGap } from "../proto/lost-output.ts";
import { callNumberOrId, findCall } from "./call-named.ts";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatClock } from "./format/time.ts";
import { interruptSignal } from "./interrupt.ts";
import type { Target } from "./names.ts";
import { colour, printJson, printLine } from "./output.ts";
import type { PoolClient } from "./pool-client.ts";
import { wholeNumber } from "./whole-number.ts";

interface LogsFlags {
  follow?: boolean;
  since?: string;
  function?: string;
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
    .option("--function <name>", "only lines of this function: NAME, or APP/NAME")
    .option("--call <call>", "only lines of this call: its id, or its number as in #42; or of a map, by its id")
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
  const target = targetOf(parseTarget(text), flags.function);
  const sinceMs = flags.since === undefined ? 0 : parseSince(flags.since, Date.now());
  using interrupt = interruptSignal();
  using pool = openPoolClient(await runningControl(flags.control));
  const [versions, calls] = await Promise.all([pool.functions(""), pool.calls({ app: target.app, limit: 1000 })]);
  requireKnown(target, [...versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })), ...calls]);
  const call = flags.call === undefined ? "" : await idOf(pool, named(flags.call));
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

/** `--function NAME` beside APP, or APP/NAME, or NAME in whatever app. */
function targetOf(target: Target, text: string | undefined): Target {
  if (text === undefined) return target;
  const [app, name] = text.includes("/") ? text.split("/", 2) : [target.app, text];
  const other = (target.app !== "" && app !== target.app) || (target.function !== "" && name !== target.function);
  if (!name || other)
    throw new HobError("usage", `--function ${text} does not go with the target`, { remedy: "name the function once" });
  return { app: app ?? "", function: name };
}

/** Of a call, or of a map, which has no number that is one of a call. */
async function idOf(pool: PoolClient, name: ReturnType<typeof named>): Promise<string> {
  const [map] = name.id === "" ? [] : await pool.maps({ id: name.id });
  return map?.id ?? (await findCall(pool, name)).id;
}

function named(text: string): NonNullable<ReturnType<typeof callNumberOrId>> {
  const found = callNumberOrId(text);
  if (found) return found;
  throw new HobError("usage", `"${text}" is no call`, { remedy: "write its number as in #42, or its id" });
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
  input,
}: LogLine): Record<string, unknown> {
  return {
    ...{ kind: "log", timeMs, app, function: name, call, ...(input === undefined ? {} : { input }), container, stream, text },
    ...{ dropped, seq },
  };
}

function logText(line: LogLine): string {
  const lost = line.dropped > 0 ? colour("yellow", `… ${formatBytes(line.dropped)} dropped${isGap(line) ? "" : ", then "}`) : "";
  const index = line.input === undefined ? "" : `[${line.input}]`;
  const source = line.app ? `${line.app}/${line.function}${index}` : line.container;
  return `${colour("dim", `${formatClock(line.timeMs)} ${source}`)}${line.stream === "stderr" ? " ! " : "   "}${lost}${line.text}`;
}

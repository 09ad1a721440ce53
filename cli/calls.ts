// ⑧ `hob calls`: the calls that control has recorded, latest first.

import type { Command } from "commander";
import { runningControl } from "./control-address.ts";
import { printJson, printLine, printTable } from "./output.ts";
import { wholeNumber } from "./whole-number.ts";

interface CallsFlags {
  control?: string;
  json?: boolean;
  limit: number;
}

export function addCalls(program: Command): void {
  program
    .command("calls")
    .description("recorded calls, with their outcomes")
    .argument("[target]", "only those of APP or APP/FUNCTION")
    .option("--limit <n>", "at most so many", wholeNumber, 50)
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob calls images/embed --limit 10\n")
    .action(list);
}

async function list(text: string | undefined, flags: CallsFlags): Promise<void> {
  const [{ openPoolClient }, { callColumns, callObject, callRow }, { parseTarget, requireKnown }] = await Promise.all([
    import("./pool-client.ts"),
    import("./call-row.ts"),
    import("./names.ts"),
  ]);
  const target = parseTarget(text);
  using pool = openPoolClient(await runningControl(flags.control));
  const calls = await pool.calls({ ...target, limit: flags.limit });
  if (calls.length === 0) {
    const versions = await pool.functions("");
    requireKnown(
      target,
      versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })),
    );
  }
  if (flags.json) return calls.forEach((call) => void printJson(callObject(call)));
  if (calls.length === 0) return printLine("No calls yet.");
  const nowMs = Date.now();
  printTable(
    callColumns,
    calls.map((call) => callRow(call, nowMs)),
  );
}

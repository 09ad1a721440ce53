// ⑧ `hob ps`: the calls that run or ran lately, and the functions that can be called.

import type { Command } from "commander";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatMs } from "./format/duration.ts";
import type { Column } from "./format/table.ts";
import { printJson, printLine, printTable } from "./output.ts";

const recentCalls = 15;

const functionColumns: Column[] = [
  { title: "FUNCTION" },
  { title: "LANGUAGE" },
  { title: "VERSION" },
  { title: "MEMORY", align: "right" },
  { title: "TIMEOUT", align: "right" },
  { title: "RETRIES", align: "right" },
  { title: "DECLARED" },
];

export function addPs(program: Command): void {
  program
    .command("ps")
    .description("calls that run or ran lately, and the functions of the pool")
    .argument("[app]", "only this app")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob ps --json | jq 'select(.state == \"running\")'\n")
    .action(list);
}

async function list(app: string | undefined, flags: { control?: string; json?: boolean }): Promise<void> {
  const [{ openPoolClient }, { callColumns, callObject, callRow }, { parseTarget, requireKnown }] = await Promise.all([
    import("./pool-client.ts"),
    import("./call-row.ts"),
    import("./names.ts"),
  ]);
  const target = parseTarget(app);
  using pool = openPoolClient(await runningControl(flags.control));
  const [versions, calls] = await Promise.all([pool.functions(""), pool.calls({ app: target.app, limit: recentCalls })]);
  requireKnown(target, [...versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })), ...calls]);
  const shown = versions.filter(({ spec }) => target.app === "" || spec?.app === target.app);
  if (flags.json) {
    for (const call of calls) printJson(callObject(call));
    for (const { function: name, digest, spec } of shown) {
      const { app, language = "", module = "", line = 0, memoryBytes = 0, timeoutMs = 0, retries = 0 } = spec ?? {};
      printJson({
        kind: "function",
        app,
        function: name,
        language,
        version: digest,
        module,
        line,
        memoryBytes,
        timeoutMs,
        retries,
      });
    }
    return;
  }
  const nowMs = Date.now();
  if (calls.length === 0) printLine("No calls yet.");
  else
    printTable(
      callColumns,
      calls.map((call) => callRow(call, nowMs)),
    );
  printLine("");
  if (shown.length === 0) return printLine("No functions yet: `hob dev` publishes those of a project.");
  printTable(
    functionColumns,
    shown.map(({ function: name, digest, spec }) => [
      `${spec?.app ?? ""}/${name}`,
      spec?.language ?? "",
      digest.slice(0, 6),
      spec?.memoryBytes ? formatBytes(spec.memoryBytes) : "default",
      spec?.timeoutMs ? formatMs(spec.timeoutMs) : "none",
      String(spec?.retries ?? 0),
      `${spec?.module ?? ""}:${spec?.line ?? 0}`,
    ]),
  );
}

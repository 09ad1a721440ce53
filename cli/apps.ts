// ⑧ `hob apps`: the apps of a pool, what is live of each, and what was.

import type { Command } from "commander";
import { runningControl } from "./control-address.ts";
import { changeLine, deploymentObject } from "./deployment-row.ts";
import { formatMoment } from "./format/time.ts";
import { printJson, printLine, printTable } from "./output.ts";

interface AppsFlags {
  control?: string;
  json?: boolean;
}

export function addApps(program: Command): void {
  const apps = program
    .command("apps")
    .description("apps of the pool and their deployments: ls, history, stop")
    .addHelpText("after", "\nExamples:\n  hob apps ls\n  hob apps history images --json\n  hob apps stop images\n");
  const add = (name: string, argument: string, description: string): Command => {
    const command = apps.command(name).description(description);
    if (argument) command.argument(argument, "the app");
    return command.option("--control <address>", "control to ask: unix:PATH").option("--json", "one JSON object a line");
  };
  add("ls", "", "what is live of each app, and how many functions differ from it").action(list);
  add("history", "<app>", "its deployments, newest first: who, when and what changed").action(history);
  add("stop", "<app>", "take the live deployment away; calls that run go on").action(stop);
}

async function openPool(flags: AppsFlags) {
  const { openDeploymentsPool } = await import("./deployments-client.ts");
  return openDeploymentsPool(await runningControl(flags.control));
}

async function list(flags: AppsFlags): Promise<void> {
  using pool = await openPool(flags);
  const apps = await pool.apps();
  if (flags.json) {
    for (const { app, functions, live, changed } of apps)
      printJson({ kind: "app", app, functions, changed, live: live ? deploymentObject(live) : null });
    return;
  }
  if (apps.length === 0) return printLine("No apps yet: `hob dev` publishes those of a project.");
  const nowMs = Date.now();
  printTable(
    [
      { title: "APP" },
      { title: "LIVE" },
      { title: "SINCE" },
      { title: "BY" },
      { title: "FUNCTIONS", align: "right" },
      { title: "CHANGED" },
    ],
    apps.map(({ app, live, functions, changed }) => [
      app,
      live ? `deployment ${live.number}` : "not deployed",
      live ? formatMoment(live.atMs, nowMs) : "–",
      live?.by ?? "–",
      String(functions),
      live ? (changed === 0 ? "nothing since" : `${changed} since`) : "–",
    ]),
  );
}

async function history(app: string, flags: AppsFlags): Promise<void> {
  using pool = await openPool(flags);
  const deployments = await pool.history(app);
  if (flags.json) return deployments.forEach((deployment) => void printJson(deploymentObject(deployment)));
  const nowMs = Date.now();
  for (const { number, live, atMs, by, note, of, changes } of deployments) {
    const words = [`deployment ${number}`, formatMoment(atMs, nowMs), by, of > 0 ? `back to ${of}` : "", note];
    printLine(`${live ? "*" : " "} ${words.filter(Boolean).join("  ")}`);
    for (const change of changes) printLine(`      ${changeLine(change)}`);
  }
}

async function stop(app: string, flags: AppsFlags): Promise<void> {
  using pool = await openPool(flags);
  const number = await pool.retire(app);
  if (flags.json) return printJson({ kind: "app", app, stopped: number });
  printLine(`${app}: deployment ${number} is not live any more. \`hob deploy\` brings the app back.`);
}

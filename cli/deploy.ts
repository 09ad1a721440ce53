// ⑧ `hob deploy` and `hob rollback`: promote what runs, or go back to what ran.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { Deployment } from "../proto/gen/hob/v1/deployments.ts";
import { connectTo, runningControl } from "./control-address.ts";
import { changeLine, deploymentObject } from "./deployment-row.ts";
import { interruptSignal, unlessInterrupted } from "./interrupt.ts";
import { lingerMs } from "./linger.ts";
import { printJson, printLine } from "./output.ts";

interface DeployFlags {
  app?: string;
  note?: string;
  cold?: boolean;
  control?: string;
  json?: boolean;
}

const controlHelp = "control to use: unix:PATH; without it this installation's own pool is started";

export function addDeploy(program: Command): void {
  program
    .command("deploy")
    .description("promote a project's apps: what runs here while you edit becomes what callers get")
    .argument("[path]", "the project's folder", ".")
    .option("--app <app>", "only this app of the project")
    .option("--note <text>", "kept in the app's history")
    .option("--cold", "switch at once: the first calls wait for their code")
    .option("--control <address>", controlHelp)
    .option("--json", "one JSON object an app")
    .addHelpText("after", '\nExamples:\n  hob deploy\n  hob deploy services/images --note "faster resize"\n')
    .action(deploy);
}

export function addRollback(program: Command): void {
  program
    .command("rollback")
    .description("go back to what an app had before")
    .argument("<app>", "the app")
    .option("--to <number>", "to this deployment; without it to the one before")
    .option("--note <text>", "kept in the app's history")
    .option("--cold", "switch at once: the first calls wait for their code")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExamples:\n  hob rollback images\n  hob rollback images --to 3\n")
    .action(rollBack);
}

async function deploy(path: string, flags: DeployFlags): Promise<void> {
  const { openCaller } = await import("./run.ts");
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  await using caller = await unlessInterrupted(signal, openCaller(path, flags));
  const { functions, diagnostics } = await unlessInterrupted(signal, caller.project);
  const [fault] = diagnostics;
  if (fault) {
    throw new HobError("function", `nothing was deployed: ${fault.file}:${fault.line}:${fault.column}: ${fault.message}`);
  }
  const all = [...new Set(functions.map(({ spec }) => spec.app))].sort();
  if (all.length === 0) throw new HobError("usage", `${path} has no functions to deploy`);
  if (flags.app && !all.includes(flags.app)) {
    throw new HobError("usage", `this project has no app ${flags.app}`, { remedy: `it has ${all.join(", ")}` });
  }
  const { openDeploymentsPool } = await import("./deployments-client.ts");
  using pool = openDeploymentsPool(await connectTo(flags.control, lingerMs(undefined))());
  for (const app of flags.app ? [flags.app] : all) {
    await unlessInterrupted(signal, caller.settled(app));
    const own = functions.filter(({ spec }) => spec.app === app);
    const expected = own.map(({ spec, version }) => ({ function: spec.name, digest: version }));
    const request = { app, functions: expected, note: flags.note ?? "", cold: flags.cold ?? false };
    report(await pool.deploy(request, signal, telling(app, flags)), flags);
  }
}

async function rollBack(app: string, flags: DeployFlags & { to?: string }): Promise<void> {
  const to = flags.to === undefined ? 0 : Number(flags.to);
  if (flags.to !== undefined && !(Number.isInteger(to) && to > 0)) {
    throw new HobError("usage", `"${flags.to}" is no number of a deployment`, { remedy: `hob apps history ${app} lists them` });
  }
  const { openDeploymentsPool } = await import("./deployments-client.ts");
  using pool = openDeploymentsPool(await runningControl(flags.control));
  using interrupt = interruptSignal();
  const request = { app, rollBack: true, rollBackTo: to, note: flags.note ?? "", cold: flags.cold ?? false };
  report(await pool.deploy(request, interrupt.signal, telling(app, flags)), flags);
}

/** Only where it takes long enough to be wondered about. */
function telling(app: string, { json }: DeployFlags): (news: { number: number; waiting: string[]; total: number }) => void {
  const begunMs = performance.now();
  let last = "";
  const say = (): void => void (last && !json && process.stderr.write(`${last}\n`));
  const timer = setTimeout(say, 700).unref();
  return ({ number, waiting, total }) => {
    const names = waiting.length > 5 ? `${waiting.length} of ${total} functions` : waiting.join(", ");
    last = waiting.length > 0 ? `hob: deployment ${number} of ${app} warms up: waiting for ${names}` : "";
    if (last === "") clearTimeout(timer);
    else if (performance.now() - begunMs > 700) say();
  };
}

function report({ deployment, unchanged }: { deployment: Deployment; unchanged: boolean }, { json }: DeployFlags): void {
  if (json) printJson({ ...deploymentObject(deployment), unchanged });
  else for (const line of reportLines(deployment, unchanged)) printLine(line);
}

function reportLines({ app, number, changes, of, functions }: Deployment, unchanged: boolean): string[] {
  if (unchanged) return [`${app}: deployment ${number} is live and has these very versions; nothing was done.`];
  const what = of > 0 ? `, which has what deployment ${of} had` : "";
  const count = functions.length === 1 ? "1 function" : `${functions.length} functions`;
  return [`${app}: deployment ${number} is live${what}: ${count}.`, ...changes.map((change) => `  ${changeLine(change)}`)];
}

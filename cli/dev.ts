// ⑧ `hob dev`: the workbench on a project; a screen on a terminal, lines elsewhere.

import { join } from "node:path";
import type { Command } from "commander";
import { systemClock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths } from "../base/paths.ts";
import type { Workbench } from "../project/events.ts";
import { buildId } from "./build.ts";
import { connectTo, requireReachable } from "./control-address.ts";
import type { Pin } from "./dev-events.ts";
import { interruptSignal } from "./interrupt.ts";
import { parseArguments, parseKeywords } from "./json-argument.ts";
import { lingerMs } from "./linger.ts";
import { projectFolder } from "./project-root.ts";

interface DevFlags {
  control?: string;
  plain?: boolean;
  json?: boolean;
  pin?: string;
  args?: string;
  kwargs?: string;
  linger?: string;
}

export function addDev(program: Command): void {
  program
    .command("dev")
    .description("the workbench: watch a project, reload what a save has changed, show results")
    .argument("[path]", "the project's folder", ".")
    .option("--pin <name>", "call this function after every save that changes it: NAME or APP/NAME")
    .option("--args <json>", "with --pin: positional arguments, a JSON array")
    .option("--kwargs <json>", "with --pin: keyword arguments, a JSON object")
    .option("--plain", "lines instead of a screen")
    .option("--json", "one JSON object a line")
    .option("--control <address>", "control to use: unix:PATH; without it this installation's own pool is started")
    .option("--linger <seconds>", "how long that pool stays after its last client (default 30)")
    .addHelpText("after", "\nExample:\n  hob dev . --pin embed --args '[\"cat.jpg\"]'\n")
    .action(work);
}

async function work(path: string, flags: DevFlags): Promise<void> {
  const surface = surfaceOf(flags);
  const pin = pinOf(flags);
  const connect = connectTo(flags.control, lingerMs(flags.linger));
  const root = projectFolder(path);
  await requireReachable(flags.control);
  // Control starts while the project is described and the modules are loaded.
  const connected = connect();
  connected.catch(() => {}); // devEvents tells
  const [{ openWorkbench }, { openLog }, { devEvents }] = await Promise.all([
    import("../project/workbench.ts"),
    import("../base/log.ts"),
    import("./dev-events.ts"),
  ]);
  const log = openLog("dev", join(poolPaths(installRoot).state, "logs", "dev.log"));
  await using workbench = await openWorkbench({ root, connect, build: buildId(), client: "dev", log });
  const events = devEvents(workbench, pin, connected);
  await show(surface, { ...workbench, events }, { pool: flags.control ?? "embedded", connect });
}

interface Pool {
  pool: string;
  connect(): Promise<string>;
}

async function show(surface: Surface, workbench: Workbench, { pool, connect }: Pool): Promise<void> {
  if (surface === "screen") {
    const { startScreen } = await import("../tui/start.tsx");
    const shell = async (app: string, name: string) => {
      const { runShell } = await import("./shell/session.ts");
      return runShell(await connect(), { app, function: name, version: "", container: "", command: [], plain: false, image: "" });
    };
    process.exitCode = await startScreen(workbench, { pool, build: buildId(), shell });
    return;
  }
  using interrupt = interruptSignal();
  interrupt.signal.addEventListener("abort", () => void workbench[Symbol.asyncDispose](), { once: true });
  const lines = { out: process.stdout, nowMs: systemClock.now };
  if (surface === "json") {
    const { runJson } = await import("../tui/json.ts");
    await runJson(workbench, lines);
  } else {
    const { runPlain } = await import("../tui/plain.ts");
    await runPlain(workbench, lines);
  }
}

type Surface = "screen" | "plain" | "json";

function surfaceOf(flags: DevFlags): Surface {
  if (flags.plain && flags.json) throw new HobError("usage", "--plain and --json exclude each other");
  if (flags.json) return "json";
  return flags.plain || !process.stdin.isTTY || !process.stdout.isTTY ? "plain" : "screen";
}

function pinOf(flags: DevFlags): Pin | undefined {
  const positional = parseArguments(flags.args, "--args");
  const keywords = parseKeywords(flags.kwargs, "--kwargs");
  if (flags.pin !== undefined) return { name: flags.pin, positional, keywords };
  if (flags.args === undefined && flags.kwargs === undefined) return undefined;
  throw new HobError("usage", "--args and --kwargs are for a pinned function", { remedy: "name it with --pin" });
}

// ⑧ `hob dev`: the workbench on a project; a screen on a terminal, lines elsewhere.

import { join } from "node:path";
import type { Command } from "commander";
import { systemClock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths } from "../base/paths.ts";
import type { Workbench } from "../project/events.ts";
import { canShowScreen } from "../tui/terminal/capable.ts";
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
  record?: string;
}

export function addDev(program: Command): void {
  program
    .command("dev")
    .description("the workbench: watch a project, reload what a save has changed, show results")
    .argument("[path]", "the project's folder", ".")
    .option("--pin <name>", "call this function after every save that changes it: NAME or APP/NAME")
    .option("--args <json>", "with --pin: positional arguments, a JSON array")
    .option("--kwargs <json>", "with --pin: keyword arguments, a JSON object")
    .option("--record <file>", "record the session: `hob replay FILE` shows it again (it holds arguments, results and output)")
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
  await using stack = new AsyncDisposableStack();
  const open = async (): Promise<Workbench> => {
    const [{ openWorkbench }, { openLog }, { devEvents }] = await Promise.all([
      import("../project/workbench.ts"),
      import("../base/log.ts"),
      import("./dev-events.ts"),
    ]);
    const log = openLog("dev", join(poolPaths(installRoot).state, "logs", "dev.log"));
    const workbench = stack.use(await openWorkbench({ root, connect, build: buildId(), client: "dev", log }));
    return { ...workbench, events: devEvents(workbench, pin, connected) };
  };
  if (surface === "screen") process.exitCode = await showScreen(open, connect, flags);
  else await print(surface, await open());
}

async function showScreen(open: () => Promise<Workbench>, connect: () => Promise<string>, flags: DevFlags): Promise<number> {
  const { startScreen } = await import("../tui/start.tsx");
  const shell = async (app: string, name: string) => {
    const { runShell } = await import("./shell/session.ts");
    return runShell(await connect(), { app, function: name, version: "", container: "", command: [], plain: false, image: "" });
  };
  const { readConfig } = await import("../tui/terminal/config-file.ts");
  const { control = "embedded", record } = flags;
  return startScreen(open, {
    pool: control,
    build: buildId(),
    config: readConfig(),
    shell,
    ...(record === undefined ? {} : { record }),
  });
}

async function print(surface: "plain" | "json", workbench: Workbench): Promise<void> {
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
  if (flags.json) return plainOnly(flags, "json");
  const screen = !flags.plain && canShowScreen(process);
  return screen ? "screen" : plainOnly(flags, "plain");
}

/** Lines and objects can be kept as they are. */
function plainOnly<S extends Surface>({ record }: DevFlags, surface: S): S {
  if (record === undefined) return surface;
  throw new HobError("usage", "--record is for the screen", {
    remedy: `keep the ${surface === "json" ? "objects" : "lines"} with > FILE`,
  });
}

function pinOf(flags: DevFlags): Pin | undefined {
  const positional = parseArguments(flags.args, "--args");
  const keywords = parseKeywords(flags.kwargs, "--kwargs");
  if (flags.pin !== undefined) return { name: flags.pin, positional, keywords };
  if (flags.args === undefined && flags.kwargs === undefined) return undefined;
  throw new HobError("usage", "--args and --kwargs are for a pinned function", { remedy: "name it with --pin" });
}

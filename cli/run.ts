// ⑧ `hob run`: one call of a function in a project's file; or the file's local entry, here on this machine.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { FunctionView } from "../project/events.ts";

import { buildId } from "./build.ts";
import type { Caller } from "./caller.ts";
import { connectTo } from "./control-address.ts";
import { declaresEntry } from "./entry-flags.ts";
import { interruptSignal, unlessInterrupted } from "./interrupt.ts";
import { oneArray, parseKeywords } from "./json-argument.ts";
import { lingerMs } from "./linger.ts";
import { parseFileTarget, unknownName } from "./names.ts";
import { projectOf } from "./project-root.ts";

interface RunFlags {
  kwargs?: string;
  control?: string;
  linger?: string;
  json?: boolean;
}

export function addRun(program: Command): void {
  program
    .command("run")
    .description("one call: its output on stderr, its result as JSON on stdout")
    .argument("<target>", "FILE::FUNCTION, or FILE for its @app.local() entry")
    .argument("[arguments...]", "a JSON array; for a local entry flags, as in --limit 10")
    .option("--kwargs <json>", "keyword arguments, a JSON object")
    .option("--control <address>", "control to use: unix:PATH; without it this installation's own pool is started")
    .option("--linger <seconds>", "how long that pool stays after its last client (default 30)")
    .option("--json", "the outcome with its version and times as one JSON object")
    .allowUnknownOption()
    .addHelpText("after", "\nExamples:\n  hob run app.py::embed '[\"cat.jpg\"]'\n  hob run app.py --limit 10\n")
    .action(run);
}

async function run(text: string, rest: string[], flags: RunFlags): Promise<void> {
  const target = parseFileTarget(text);
  const { root, path } = projectOf(target.file);
  using interrupt = interruptSignal();
  if (target.function === "" || declaresEntry(readFileSync(target.file, "utf8"), target.function)) {
    return runLocal({ root, path, entry: target.function }, rest, flags, interrupt.signal);
  }
  const positional = oneArray(rest);
  const keywords = parseKeywords(flags.kwargs, "--kwargs");
  await using caller = await unlessInterrupted(interrupt.signal, openCaller(root, flags));
  const { spec } = await unlessInterrupted(interrupt.signal, functionIn(caller, path, target.function));
  const { id, finished } = caller.call(spec.app, spec.name, positional, keywords);
  const cancel = (): void => caller.cancel(id);
  interrupt.signal.addEventListener("abort", cancel, { once: true });
  const call = await finished;
  const { printOutcome } = await import("./outcome.ts");
  printOutcome(call, flags.json ?? false);
}

async function runLocal(
  entry: { root: string; path: string; entry: string },
  rest: string[],
  flags: RunFlags,
  signal: AbortSignal,
): Promise<void> {
  const [{ runLocalEntry }, { entryArguments }] = await Promise.all([import("./local-entry.ts"), import("./entry-flags.ts")]);
  const { positional, keywords } = entryArguments(rest);
  const given = { ...parseKeywords(flags.kwargs, "--kwargs"), ...keywords };
  await runLocalEntry({ ...entry, positional, keywords: given }, () => openCaller(entry.root, flags), signal);
}

/** A workbench on the project, whose functions can be called. */
export async function openCaller(
  root: string,
  flags: Pick<RunFlags, "control" | "linger"> & { leftOut?: readonly string[] },
  write = (text: string): void => void process.stderr.write(text),
): Promise<Caller> {
  const connect = connectTo(flags.control, lingerMs(flags.linger));
  await connect();
  const [{ openWorkbench }, { startCaller }, { silentLog }] = await Promise.all([
    import("../project/workbench.ts"),
    import("./caller.ts"),
    import("../base/log.ts"),
  ]);
  const workbench = await openWorkbench({
    root,
    leftOut: flags.leftOut ?? [],
    connect,
    build: buildId(),
    client: "run",
    log: silentLog,
  });
  return startCaller(workbench, write);
}

/** The function of this name that this file declares. */
export async function functionIn(caller: Caller, path: string, name: string): Promise<FunctionView> {
  const { functions, diagnostics } = await caller.project;
  const own = functions.filter(({ spec }) => spec.module === path);
  const found = own.find(({ spec }) => spec.name === name || spec.qualname === name);
  if (found) return found;
  const fault = diagnostics.find(({ file }) => file === path);
  if (fault)
    throw new HobError(
      "function",
      `${fault.file}:${fault.line}:${fault.column}: ${fault.message}\n    ${fault.sourceLine.trim()}`,
    );
  throw unknownName(
    `function in ${path} called`,
    name,
    own.map(({ spec }) => spec.name),
  );
}

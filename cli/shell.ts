// ⑧ `hob shell`: a terminal inside a container of a function; or one command in it, with this command's input and output.

import { statSync } from "node:fs";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { FunctionView } from "../project/events.ts";
import type { Caller } from "./caller.ts";
import { runningControl } from "./control-address.ts";
import { interruptSignal, unlessInterrupted } from "./interrupt.ts";
import { parseFileTarget, parseTarget } from "./names.ts";
import { projectOf } from "./project-root.ts";
import type { ShellEnding, ShellRequest } from "./shell/session.ts";

interface ShellFlags {
  image?: string;
  container?: string;
  control?: string;
  linger?: string;
}

export function addShell(program: Command): void {
  program
    .command("shell")
    .description("a terminal inside a container of a function, with its code, network and secrets")
    .argument("[target]", "FILE::FUNCTION, FILE for its app's image alone, or APP/FUNCTION")
    .argument("[command...]", "after --: one command instead of a shell")
    .option("--container <id>", "in this running container, which stays; without it the shell has one of its own")
    .option("--image <image>", "in a container of an image alone: FILE::IMAGE, which is built first, or a digest")
    .option("--control <address>", "control to use: unix:PATH; without it this installation's own pool is started")
    .option("--linger <seconds>", "how long that pool stays after its last client (default 30)")
    .addHelpText(
      "after",
      "\nAt the start of a line, ~. leaves the shell whatever it does.\n\nExamples:\n  hob shell app.py::embed\n  hob shell app.py::embed -- python3 -c 'import numpy'\n  echo ls | hob shell app.py::embed\n  hob shell --container 3f2a90c1\n  hob shell --image app.py::image -- pip list\n",
    )
    .action(shell);
}

async function shell(first: string | undefined, rest: string[], flags: ShellFlags): Promise<void> {
  const { target, command } = split([...(first === undefined ? [] : [first]), ...rest]);
  if (flags.image !== undefined) {
    if (target !== undefined || flags.container !== undefined) {
      throw new HobError("usage", "--image is a shell of an image alone", { remedy: "leave the function, or --container, out" });
    }
    return leave(await inImage(flags.image, command, flags));
  }
  if (target === undefined && flags.container === undefined) {
    throw new HobError("usage", "a shell needs a function or a container", {
      remedy: "write `hob shell app.py::hello`, or --container ID (hob pool shows them)",
    });
  }
  const request = { container: flags.container ?? "", command, app: "", function: "", version: "", plain: false, image: "" };
  leave(isFile(target) ? await inProject(target, request, flags) : await inPool(target, request, flags));
}

/** The image is built first where a file's is named; its log goes to stderr. */
async function inImage(text: string, command: string[], flags: ShellFlags): Promise<ShellEnding> {
  const [{ imageDigest }, { runShell }] = await Promise.all([import("./images/build.ts"), import("./shell/session.ts")]);
  const image = await imageDigest(text, flags);
  const address = await runningControl(flags.control);
  return runShell(address, { container: "", command, app: "", function: "", version: "", plain: true, image });
}

function leave(ending: ShellEnding): void {
  if (ending.sentence !== undefined) process.stderr.write(`hob: ${ending.sentence}\n`);
  process.exitCode = ending.code;
}

/** What stands before `--` and after it: commander takes both for one list. */
function split(operands: string[]): { target: string | undefined; command: string[] } {
  const given = process.argv.slice(2);
  const dashes = given.indexOf("--");
  const command = dashes < 0 ? [] : given.slice(dashes + 1);
  const before = operands.slice(0, operands.length - command.length);
  if (before.length <= 1) return { target: before[0], command };
  throw new HobError("usage", `"${before[1]}" is one name too many`, { remedy: "write the command after --" });
}

function isFile(target: string | undefined): target is string {
  if (target === undefined) return false;
  return target.includes("::") || (statSync(target, { throwIfNoEntry: false })?.isFile() ?? false);
}

/** The project is described and published first, so that the container has its present code. */
async function inProject(text: string, request: ShellRequest, flags: ShellFlags): Promise<ShellEnding> {
  const target = parseFileTarget(text);
  const { root, path } = projectOf(target.file);
  const { openCaller } = await import("./run.ts");
  const interrupt = interruptSignal();
  const publishing = new AsyncDisposableStack();
  try {
    const caller = publishing.use(await unlessInterrupted(interrupt.signal, openCaller(root, flags)));
    const { spec, version } = await unlessInterrupted(interrupt.signal, wanted(caller, path, target.function));
    const names = { app: spec.app, function: spec.name, version, plain: target.function === "" };
    interrupt[Symbol.dispose](); // from here on signals are the session's
    const { runShell } = await import("./shell/session.ts");
    const address = await runningControl(flags.control);
    // Once the container is there control has the code: saves are the workbench's affair again.
    return await runShell(address, { ...request, ...names }, () => void publishing.disposeAsync());
  } finally {
    interrupt[Symbol.dispose]();
    await publishing.disposeAsync();
  }
}

async function wanted(caller: Caller, path: string, name: string): Promise<FunctionView> {
  const { functionIn } = await import("./run.ts");
  if (name !== "") return functionIn(caller, path, name);
  const { functions } = await caller.project;
  const own = functions.find(({ spec }) => spec.module === path);
  if (own) return own;
  throw new HobError("usage", `${path} declares no function, so it has no image`, { remedy: "name a file with an app" });
}

async function inPool(target: string | undefined, request: ShellRequest, flags: ShellFlags): Promise<ShellEnding> {
  const { app, function: name } = parseTarget(target);
  const { runShell } = await import("./shell/session.ts");
  const address = await runningControl(flags.control);
  return runShell(address, { ...request, app, function: name, plain: name === "" });
}

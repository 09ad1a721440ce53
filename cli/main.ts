// ⑧ The `hob` command: one file a command; this one joins them, and turns every failure into one sentence and an exit code.

import { Command, CommanderError } from "commander";
import { exitCode, sentenceOf } from "../base/errors.ts";
import { addAgent } from "./agent.ts";
import { buildId, packageVersion } from "./build.ts";
import { addCall } from "./call.ts";
import { addCalls } from "./calls.ts";
import { addCompletion } from "./completion.ts";
import { addControl } from "./control.ts";
import { takeDefaultPool } from "./default-pool.ts";
import { addDemo } from "./demo.ts";
import { addDev } from "./dev.ts";
import { addDoctor } from "./doctor.ts";
import { addImages } from "./images.ts";
import { addInfo } from "./info.ts";
import { addLogin } from "./login.ts";
import { addLogs } from "./logs.ts";
import { addMap } from "./map.ts";
import { endQuietlyOnClosedPipe } from "./output.ts";
import { addPool } from "./pool.ts";
import { addPs } from "./ps.ts";
import { addReplay } from "./replay.ts";
import { addRun } from "./run.ts";
import { addSecrets } from "./secrets.ts";
import { addShell } from "./shell.ts";

const usageCode = 2;

function createProgram(): Command {
  const program = new Command("hob")
    .description("hob keeps your functions warm while you write them")
    .version(`hob ${packageVersion()} (${buildId()})`, "-V, --version")
    .showSuggestionAfterError()
    .enablePositionalOptions() // what stands behind a command is that command's
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "hob: ")),
    })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 your function failed, 2 usage, 3 the pool or control could not do it.\nhob COMMAND --help shows examples.",
    );
  for (const add of [
    addDev,
    addReplay,
    addDemo,
    addRun,
    addMap,
    addShell,
    addPs,
    addCall,
    addCalls,
    addLogs,
    addPool,
    addImages,
    addSecrets,
    addLogin,
    addDoctor,
    addInfo,
    addCompletion,
    addControl,
    addAgent,
  ])
    add(program);
  return program.hook("preAction", (_, command) => takeDefaultPool(command));
}

/** Runs the command line; resolves with the exit code, after saying on stderr what went wrong. */
async function main(argv: string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageCode; // it has printed its own sentence
    process.stderr.write(`hob: ${sentenceOf(error)}\n`);
    if (process.env["HOB_DEBUG"]) console.error(error);
    return exitCode(error);
  }
}

/** A fault of ours that no one awaited: still one sentence, still an exit code. */
function endOnFault(error: unknown): void {
  process.stderr.write(`hob: ${sentenceOf(error)}\n`);
  if (process.env["HOB_DEBUG"]) console.error(error);
  process.exit(exitCode(error));
}

process.on("uncaughtException", endOnFault);
process.on("unhandledRejection", endOnFault);
endQuietlyOnClosedPipe();
const code = await main(process.argv.slice(2));
// Pipes on Linux are written synchronously; the callback covers files and terminals.
process.stdout.write("", () => process.exit(code));

// ⑧ The `hob` command: one file a command; this one joins them, and turns every failure into one sentence and an exit code.

import { Command, CommanderError } from "commander";
import { exitCode, sentenceOf } from "../base/errors.ts";
import { buildId, packageVersion } from "./build.ts";
import { takeDefaultPool } from "./default-pool.ts";
import { endQuietlyOnClosedPipe } from "./output.ts";

const usageCode = 2;

/** In the order of the help. Of a command that is named only its own module is loaded: all of them are 60 ms. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  dev: async () => (await import("./dev.ts")).addDev,
  replay: async () => (await import("./replay.ts")).addReplay,
  "replay-input": async () => (await import("./replay-input.ts")).addReplayInput,
  demo: async () => (await import("./demo.ts")).addDemo,
  run: async () => (await import("./run.ts")).addRun,
  map: async () => (await import("./map.ts")).addMap,
  shell: async () => (await import("./shell.ts")).addShell,
  deploy: async () => (await import("./deploy.ts")).addDeploy,
  rollback: async () => (await import("./deploy.ts")).addRollback,
  apps: async () => (await import("./apps.ts")).addApps,
  schedules: async () => (await import("./schedules.ts")).addSchedules,
  stubs: async () => (await import("./stubs.ts")).addStubs,
  ps: async () => (await import("./ps.ts")).addPs,
  call: async () => (await import("./call.ts")).addCall,
  calls: async () => (await import("./calls.ts")).addCalls,
  logs: async () => (await import("./logs.ts")).addLogs,
  pool: async () => (await import("./pool.ts")).addPool,
  images: async () => (await import("./images.ts")).addImages,
  secrets: async () => (await import("./secrets.ts")).addSecrets,
  login: async () => (await import("./login.ts")).addLogin,
  doctor: async () => (await import("./doctor.ts")).addDoctor,
  info: async () => (await import("./info.ts")).addInfo,
  completion: async () => (await import("./completion.ts")).addCompletion,
  control: async () => (await import("./control.ts")).addControl,
  agent: async () => (await import("./agent.ts")).addAgent,
};

/** Those that a command line is about: help, completion and a name that is none are about all. */
function named([first = ""]: string[]): readonly (typeof commands)[string][] {
  const one = Object.hasOwn(commands, first) && first !== "completion" ? commands[first] : undefined;
  return one ? [one] : Object.values(commands);
}

async function createProgram(argv: string[]): Promise<Command> {
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
  for (const add of await Promise.all(named(argv).map((load) => load()))) add(program);
  return program.hook("preAction", (_, command) => takeDefaultPool(command));
}

/** Runs the command line; resolves with the exit code, after saying on stderr what went wrong. */
async function main(argv: string[]): Promise<number> {
  try {
    await (await createProgram(argv)).parseAsync(argv, { from: "user" });
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

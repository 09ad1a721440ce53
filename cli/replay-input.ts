// ⑧ `hob replay-input`: an input that was kept, or that of a recorded call, run again with the code that the pool has now.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { inputOf, type KeptInput } from "../project/kept-input.ts";
import { keepInput, keptInputs, readKeptInput } from "../project/kept-inputs.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { callNow } from "./call.ts";
import { callNumberOrId, findCall } from "./call-named.ts";
import { runningControl } from "./control-address.ts";
import { printJson, printLine, printTable } from "./output.ts";
import type { PoolClient } from "./pool-client.ts";

interface ReplayInputFlags {
  keep?: boolean;
  control?: string;
  json?: boolean;
}

export function addReplayInput(program: Command): void {
  program
    .command("replay-input")
    .description(
      "run a function again with an input that was kept, or with that of a recorded call; without a name: those that are kept",
    )
    .argument("[input]", "the name of a kept input, the path of its file, or a call: its number as in #42, or its id")
    .option("--keep", "of a call: keep its input, and do not run it")
    .option("--control <address>", "control to use: unix:PATH")
    .option("--json", "the outcome with its version and times as one JSON object; of the list one a line")
    .addHelpText("after", "\nExamples:\n  hob replay-input '#42' --keep\n  hob replay-input images.embed-42\n")
    .action(work);
}

async function work(name: string | undefined, flags: ReplayInputFlags): Promise<void> {
  if (name === undefined) {
    list(flags.json === true);
    return;
  }
  const named = callNumberOrId(name);
  if (flags.keep && !named)
    throw new HobError("usage", `${name} is no call`, { remedy: "--keep takes one: its number as in #42, or its id" });
  const input = named ? await inputOfCall(named, flags.control) : readKeptInput(name);
  if (flags.keep) {
    printLine(`kept: hob replay-input ${keepInput(input)}`);
    return;
  }
  const { app, function: called, number, outcome, version, positional, keywords } = input;
  process.stderr.write(
    `hob: ${app}/${called} with the input of #${number} (code ${version.slice(0, 6)}), which gave: ${outcome}\n`,
  );
  await callNow({ app, function: called }, { positional, keywords }, flags);
}

async function inputOfCall(
  named: NonNullable<ReturnType<typeof callNumberOrId>>,
  control: string | undefined,
): Promise<KeptInput> {
  const { openPoolClient } = await import("./pool-client.ts");
  using pool = openPoolClient(await runningControl(control));
  const call = await findCall(pool, named);
  return inputOf(call, await argumentsOf(pool, call));
}

/** Those that are too long for a message come from control's store, one after the other. */
async function argumentsOf(pool: PoolClient, { arguments: given }: CallInfo): Promise<{ positional: Buffer; keywords: Buffer }> {
  const { positional = Buffer.alloc(0), keywords = Buffer.alloc(0), large } = given ?? {};
  if (!large) return { positional, keywords };
  const both = await pool.value({ json: Buffer.alloc(0), large });
  return { positional: both.subarray(0, large.positional), keywords: both.subarray(large.positional) };
}

function list(json: boolean): void {
  const kept = keptInputs();
  if (json) for (const { name, input } of kept) printJson({ name, ...input });
  else if (kept.length === 0)
    printLine("No input is kept. K keeps that of a run on the screen, `hob replay-input '#42' --keep` that of a call.");
  else
    printTable(
      [{ title: "name" }, { title: "function" }, { title: "call" }, { title: "gave" }],
      kept.map(({ name, input }) => [name, `${input.app}/${input.function}`, `#${input.number}`, input.outcome]),
    );
}

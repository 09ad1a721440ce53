// ⑧ `hob map`: one function over the lines of a file; what it has begun it can go on with after any death of its own.

import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import type { Caller } from "./caller.ts";
import { connectTo } from "./control-address.ts";
import { interruptSignal, unlessInterrupted } from "./interrupt.ts";
import { lingerMs } from "./linger.ts";

interface MapFlags {
  inputs: string;
  out: string;
  unordered?: boolean;
  star?: boolean;
  resume?: string;
  control?: string;
  linger?: string;
  json?: boolean;
}

export function addMap(program: Command): void {
  program
    .command("map")
    .description("one function over many inputs: JSON lines in, JSON lines out")
    .argument("[target]", "FILE::FUNCTION; not needed with --resume")
    .requiredOption("--inputs <file>", "one input a line, as JSON; - for stdin")
    .option("--out <file>", 'one result a line: {"index", "value"} or {"index", "error"}; - for stdout', "-")
    .option("--star", "each line is a list of arguments, or an object of them by name")
    .option("--unordered", "results as they come, not in the order of the inputs")
    .option("--resume <id>", "go on with a map: its results that --out lacks, its inputs that control lacks")
    .option("--control <address>", "control to use: unix:PATH; without it this installation's own pool is started")
    .option("--linger <seconds>", "how long that pool stays after its last client (default 30)")
    .option("--json", "progress as JSON objects, one a line, on stdout")
    .addHelpText("after", "\nExample:\n  hob map app.py::embed --inputs paths.jsonl --out vectors.jsonl\n")
    .action(map);
}

async function map(target: string | undefined, flags: MapFlags): Promise<void> {
  if (target === undefined && flags.resume === undefined)
    throw new HobError("usage", "which function is to run?", { remedy: "write FILE::FUNCTION, or --resume ID" });
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  const [{ createMapReport }, { runMap }] = await Promise.all([import("./map-report.ts"), import("./map-run.ts")]);
  const files = `--inputs ${flags.inputs} --out ${flags.out}`;
  let total: number | undefined;
  const report = createMapReport(
    flags.json ?? false,
    (id) => `\`hob map --resume ${id} ${files}\``,
    () => total,
  );
  const work = {
    ...{ report, inputs: flags.inputs, out: flags.out, star: flags.star ?? false, ordered: !flags.unordered, signal },
    interruptedBy: () => interrupt.by,
    counted: (inputs: number) => {
      total = inputs;
    },
  };
  if (flags.resume !== undefined) return resume(flags.resume, flags, work, runMap);
  await using caller = await unlessInterrupted(signal, begin(target as string, flags, report.write));
  const { found } = caller;
  await runMap({ ...work, resume: "", app: found.app, function: found.name }, (id) =>
    caller.caller.dialMap(found.app, found.name, id),
  );
}

/** A workbench on the function's project, so that control has its code as it is now. */
async function begin(
  target: string,
  flags: MapFlags,
  write: (text: string) => void,
): Promise<{ caller: Caller; found: { app: string; name: string } } & AsyncDisposable> {
  const [{ functionIn, openCaller }, { parseFileTarget }, { projectOf }] = await Promise.all([
    import("./run.ts"),
    import("./names.ts"),
    import("./project-root.ts"),
  ]);
  const { file, function: name } = parseFileTarget(target);
  if (name === "") throw new HobError("usage", `"${target}" names no function`, { remedy: "write FILE::FUNCTION" });
  const { root, path } = projectOf(file);
  // What the command writes is no part of what it maps, wherever it lies.
  const caller = await openCaller(root, { ...flags, leftOut: [relative(root, resolve(flags.out))] }, write);
  try {
    const { spec } = await functionIn(caller, path, name);
    return { caller, found: spec, [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose]() };
  } catch (error) {
    await caller[Symbol.asyncDispose]();
    throw error;
  }
}

type Work = Omit<Parameters<typeof import("./map-run.ts").runMap>[0], "resume" | "app" | "function">;

async function resume(id: string, flags: MapFlags, work: Work, run: typeof import("./map-run.ts").runMap): Promise<void> {
  if (!/^[0-9a-f]{16}$/.test(id)) throw new HobError("usage", `"${id}" is no map's id`, { remedy: "write its 16 hex digits" });
  const [{ CallsClient }, { channelOptionsOf, clientCredentials }] = await Promise.all([
    import("../proto/gen/hob/v1/calls.ts"),
    import("../proto/transport.ts"),
  ]);
  const connect = connectTo(flags.control, lingerMs(flags.linger));
  let client: InstanceType<typeof CallsClient> | undefined;
  try {
    await run({ ...work, resume: id, app: "", function: "" }, async () => {
      client?.close();
      const address = await connect();
      client = new CallsClient(address, clientCredentials(address), channelOptionsOf(address));
      return client.map();
    });
  } finally {
    client?.close();
  }
}

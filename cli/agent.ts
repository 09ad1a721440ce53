// ⑤ `hob agent`: this machine as a node of a pool, in the foreground or as the child of an embedded control.

import { mkdir, statfs } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { HobError, systemError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { cacheFolder, poolPaths, stateFolder } from "../base/paths.ts";
import { unixAddress } from "../proto/transport.ts";
import { buildId } from "./build.ts";
import { socketPath } from "./control-address.ts";
import { parseBytes } from "./format/bytes.ts";
import { interruptSignal } from "./interrupt.ts";
import { requireMachine } from "./prerequisites.ts";

interface AgentFlags {
  control?: string;
  name: string;
  embedded?: boolean;
  ownMounts?: boolean;
  storeLimit?: number;
}

function sizeOf(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError("It is no size, such as 20GiB.");
  return bytes;
}

export function addAgent(program: Command): void {
  program
    .command("agent")
    .description("this machine as a node: images, containers, runners")
    .option("--control <address>", "control to join: unix:PATH")
    .option("--name <name>", "name of the node", hostname())
    .option("--store-limit <size>", "what the contents of images may take of the disk (default: half of it)", sizeOf)
    .option("--embedded", "the node of this installation's own pool: ends when its parent does")
    .addOption(new Option("--own-mounts", "it has a mount namespace of its own already").hideHelp())
    .addHelpText("after", "\nExample:\n  hob agent --control unix:/run/hob/team.sock --name workstation\n")
    .action(work);
}

async function work(flags: AgentFlags): Promise<void> {
  requireMachine();
  if (flags.embedded) return serve(flags, unixAddress(poolPaths(installRoot).socket));
  if (flags.control === undefined) {
    throw new HobError("usage", "an agent needs a control to join", { remedy: "name it with --control unix:PATH" });
  }
  const control = unixAddress(socketPath(flags.control));
  if (flags.ownMounts) return serve(flags, control);
  const { inOwnMounts } = await import("./agent-command.ts");
  const limit = flags.storeLimit === undefined ? [] : ["--store-limit", String(flags.storeLimit)];
  process.exitCode = await inOwnMounts(["agent", "--own-mounts", "--control", control, "--name", flags.name, ...limit]);
}

async function serve(flags: AgentFlags, control: string): Promise<void> {
  const { runAgent } = await import("../agent/main.ts");
  const { backfillRate } = await import("../agent/fetch/backfill.ts");
  const backfillBytesPerSecond = backfillRate(process.env);
  const embedded = flags.embedded ?? false;
  // An agent by hand has folders of its own, beside those of the embedded pool, whose store is that pool's only copy.
  const own = embedded ? stateFolder() : join(stateFolder(), "agents", flags.name);
  const { run, key, store: shared, state } = poolPaths(installRoot, own);
  const store = embedded ? shared : join(cacheFolder(), "agents", flags.name);
  using interrupt = interruptSignal();
  const options = { control, name: flags.name, run, key, store, state: join(state, "logs"), embedded };
  const bounded = embedded ? {} : { storeLimitBytes: flags.storeLimit ?? (await halfOfDisk(store)) };
  await runAgent({ ...options, ...bounded, build: buildId(), node: process.execPath, backfillBytesPerSecond }, interrupt.signal);
}

async function halfOfDisk(folder: string): Promise<number> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { blocks, bsize } = await statfs(folder);
    return (blocks * bsize) / 2;
  } catch (error) {
    throw systemError(`opening the blob store ${folder}`, error);
  }
}

// ⑤ `hob agent`: this machine as a node of a pool, in the foreground or as the child of an embedded control.

import { mkdir, statfs } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { yieldBackground } from "../base/background.ts";
import { HobError, systemError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { cacheFolder, poolPaths, stateFolder } from "../base/paths.ts";
import { isNetwork, unixAddress } from "../proto/address.ts";
import { buildId } from "./build.ts";
import { socketPath } from "./control-address.ts";
import { parseBytes } from "./format/bytes.ts";
import { interruptSignal } from "./interrupt.ts";
import { printLine } from "./output.ts";
import { requireMachine } from "./prerequisites.ts";

interface AgentFlags {
  control?: string;
  join?: string;
  joinOnly?: boolean;
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
    .option(
      "--join <url>",
      "join the pool that this URL leads to, with its token, unless it has joined already; - reads it from stdin",
    )
    .option("--join-only", "with --join: do no more than that")
    .option(
      "--control <address>",
      "control of its pool: unix:PATH, or hob://HOST:PORT where it has joined (default: HOB_CONTROL)",
    )
    .option("--name <name>", "name of the node", hostname())
    .option("--store-limit <size>", "what the contents of images may take of the disk (default: half of it)", sizeOf)
    .option("--embedded", "the node of this installation's own pool: ends when its parent does")
    .addOption(new Option("--own-mounts", "it has a mount namespace of its own already").hideHelp())
    .addHelpText(
      "after",
      "\nExamples:\n  hob agent --control unix:/run/hob/team.sock --name workstation\n  hob agent --join - < url.txt\n",
    )
    .action(work);
}

async function work(flags: AgentFlags): Promise<void> {
  if (flags.joinOnly) return joinOnly(flags);
  requireMachine();
  if (flags.embedded) return serve(flags, unixAddress(poolPaths(installRoot).socket));
  const named = flags.join === undefined ? (flags.control ?? process.env["HOB_CONTROL"]) : await joined(flags);
  if (!named) {
    throw new HobError("usage", "an agent needs a control to join", {
      remedy: "name it with --control unix:PATH, or with --join and the URL that `hob pool token create` prints",
    });
  }
  const control = isNetwork(named) ? await introduced(named, flags.name) : unixAddress(socketPath(named));
  if (flags.ownMounts) return serve(flags, control);
  const { inOwnMounts } = await import("./agent-command.ts");
  const limit = flags.storeLimit === undefined ? [] : ["--store-limit", String(flags.storeLimit)];
  process.exitCode = await inOwnMounts(["agent", "--own-mounts", "--control", control, "--name", flags.name, ...limit]);
}

const credentialsFile = (name: string): string => join(stateFolder(), "agents", name, "credentials.json");

async function introduced(named: string, name: string): Promise<string> {
  const { introduceAgent } = await import("./identities.ts");
  return introduceAgent(named, credentialsFile(name));
}

async function joinOnly(flags: AgentFlags): Promise<void> {
  if (flags.join === undefined) throw new HobError("usage", "--join-only does nothing without --join URL");
  printLine(`Node ${flags.name} has joined ${await joined(flags)}.`);
}

/** Resolves with control's address, once this node has credentials for it. */
async function joined({ join: url = "", name }: AgentFlags): Promise<string> {
  const [{ joinPool }, { urlGiven }] = await Promise.all([import("./identities.ts"), import("./url-given.ts")]);
  return joinPool(await urlGiven(url), name, credentialsFile(name));
}

async function serve(flags: AgentFlags, control: string): Promise<void> {
  yieldBackground();
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

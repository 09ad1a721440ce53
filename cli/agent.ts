// ⑤ `hob agent`: this machine as a node of a pool, in the foreground or as the child of an embedded control.

import { hostname } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths, stateFolder } from "../base/paths.ts";
import { unixAddress } from "../proto/transport.ts";
import { buildId } from "./build.ts";
import { socketPath } from "./control-address.ts";
import { interruptSignal } from "./interrupt.ts";
import { requireMachine } from "./prerequisites.ts";

interface AgentFlags {
  control?: string;
  name: string;
  embedded?: boolean;
  ownMounts?: boolean;
}

export function addAgent(program: Command): void {
  program
    .command("agent")
    .description("this machine as a node: images, containers, runners")
    .option("--control <address>", "control to join: unix:PATH")
    .option("--name <name>", "name of the node", hostname())
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
  process.exitCode = await inOwnMounts(["agent", "--own-mounts", "--control", control, "--name", flags.name]);
}

async function serve(flags: AgentFlags, control: string): Promise<void> {
  const { runAgent } = await import("../agent/main.ts");
  const embedded = flags.embedded ?? false;
  // An agent by hand has folders of its own, beside those of the embedded pool.
  const { run, key, store, state } = poolPaths(installRoot, embedded ? stateFolder() : join(stateFolder(), "agents", flags.name));
  using interrupt = interruptSignal();
  const options = { control, name: flags.name, run, key, store, state: join(state, "logs"), embedded };
  await runAgent({ ...options, build: buildId(), node: process.execPath }, interrupt.signal);
}

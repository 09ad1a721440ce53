// ⑧ `hob demo`: the session that comes with hob, on the screen.

import { join } from "node:path";
import type { Command } from "commander";
import { installRoot } from "../base/install.ts";
import { addReplayFlags, type ReplayFlags, replay } from "./replay.ts";

export function addDemo(program: Command): void {
  const command = program
    .command("demo")
    .description("the workbench on a recorded session: look around without a pool and without a project");
  addReplayFlags(command)
    .addHelpText("after", "\nExample:\n  hob demo --speed 2\n")
    .action((flags: ReplayFlags) => replay(join(installRoot, "examples/demo.jsonl"), flags));
}

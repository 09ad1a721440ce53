// ⑧ The pool of the person's settings, for commands that take --control where neither that nor HOB_CONTROL names one.

import { existsSync } from "node:fs";
import type { Command } from "commander";
import { configFile } from "../base/paths.ts";

// The daemons are what they were started as.
const daemons = ["control", "agent"];

export async function takeDefaultPool(command: Command): Promise<void> {
  const takesControl = command.options.some((option) => option.attributeName() === "control");
  if (!takesControl || command.getOptionValue("control") !== undefined || daemons.includes(command.name())) return;
  if (process.env["HOB_CONTROL"] || !existsSync(configFile())) return;
  const { readConfig } = await import("../tui/terminal/config-file.ts");
  const { pool } = readConfig();
  if (pool !== "") command.setOptionValue("control", pool);
}

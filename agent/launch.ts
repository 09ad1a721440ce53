// ⑤ How an agent is started: as a process in a mount namespace of its own, so that its mounts end with it, whatever kills it.

import { entryFile } from "../base/install.ts";
import type { AgentOptions } from "./main.ts";

/** The argument vector for whoever spawns it. With `embedded`, give it a pipe as stdin: its end is the agent's end. */
export function agentCommand(options: AgentOptions): string[] {
  const inNamespace = ["unshare", "--mount", "--propagation", "private"];
  return [
    ...inNamespace,
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    entryFile("agent/entry"),
    JSON.stringify(options),
  ];
}

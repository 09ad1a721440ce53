// ⑤ For tests: an agent process alone; its options are the one argument, as JSON. `hob agent` does the same with flags.

import { type AgentOptions, runAgent } from "../../agent/main.ts";
import { exitCode, HobError, sentenceOf } from "../../base/errors.ts";

const ending = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => ending.abort(new HobError("cancelled", `the agent got ${name}`)));
}
process.on("SIGHUP", () => {}); // the terminal's end is not the pool's

try {
  await runAgent(JSON.parse(process.argv[2] ?? "{}") as AgentOptions, ending.signal);
} catch (error) {
  process.stderr.write(`hob agent: ${sentenceOf(error)}\n`);
  process.exitCode = exitCode(error); // no exit(): a handle that the agent has left open shows as a process that stays
}

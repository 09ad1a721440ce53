// ③ `hob login`: keeps the URL of a control elsewhere, so that commands need only its address.

import type { Command } from "commander";
import { printJson, printLine } from "./output.ts";
import { urlGiven } from "./url-given.ts";

export function addLogin(program: Command): void {
  program
    .command("login")
    .description("keep the way into a pool elsewhere")
    .argument("<url>", "URL with a token of scope client or read-only; - reads it from stdin")
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  hob login - < url.txt\n  HOB_CONTROL=hob://control.example:7474 hob dev\n")
    .action(run);
}

async function run(given: string, flags: { json?: boolean }): Promise<void> {
  const [{ login }, url] = await Promise.all([import("./identities.ts"), urlGiven(given)]);
  const { address, scope } = await login(url);
  if (flags.json) return printJson({ kind: "login", address, scope });
  printLine(`Logged in to ${address}, scope ${scope}. Name it with --control ${address}, or set HOB_CONTROL=${address}.`);
}

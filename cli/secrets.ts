// ⑧ `hob secrets`: values for functions' environments. They are typed or piped, never arguments, and never shown again.

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { Command } from "commander";
import { HobError, systemError } from "../base/errors.ts";
import { connectTo } from "./control-address.ts";
import { formatMoment } from "./format/time.ts";
import { interruptSignal, unlessInterrupted } from "./interrupt.ts";
import { lingerMs } from "./linger.ts";
import { printJson, printLine, printTable } from "./output.ts";

interface SecretsFlags {
  app?: string;
  control?: string;
  json?: boolean;
}

const withoutNewline = (text: string): string => text.replace(/\r?\n$/, "");

export function addSecrets(program: Command): void {
  const secrets = program
    .command("secrets")
    .description("values that functions find in their environment: set, list, rm")
    .addHelpText(
      "after",
      "\nExamples:\n  hob secrets set API_KEY < key.txt\n  hob secrets set TLS_KEY --file tls.key\n  hob secrets list --json\n  hob secrets rm API_KEY\n",
    );
  const add = (name: string, argument: string, description: string): Command => {
    const command = secrets.command(name).description(description);
    if (argument) command.argument(argument, "its name in the environment");
    return command
      .option("--app <app>", "only for this app; without it for every app")
      .option("--control <address>", "control to ask: unix:PATH; without it this installation's own pool is started")
      .option("--json", "one JSON object a line");
  };
  add("set", "<name>", "keep a value, read from stdin, a file or a prompt")
    .option("--file <path>", "the file that has the value")
    .action(set);
  add("list", "", "names, apps and times; never values").action(list);
  add("rm", "<name>", "forget a value").action(remove);
}

async function openPool(flags: SecretsFlags) {
  const { openPoolClient } = await import("./pool-client.ts");
  return openPoolClient(await connectTo(flags.control, lingerMs(undefined))());
}

async function set(name: string, flags: SecretsFlags & { file?: string }): Promise<void> {
  using interrupt = interruptSignal();
  const value = await unlessInterrupted(interrupt.signal, readValue(name, flags.file));
  using pool = await openPool(flags);
  const containers = await pool.setSecret(flags.app ?? "", name, value);
  if (flags.json) return printJson({ kind: "secret", name, app: flags.app ?? "", set: true, containers });
  printLine(`Secret ${name} is set${flags.app ? ` for ${flags.app}` : ""}.${replaced(containers)}`);
}

async function remove(name: string, flags: SecretsFlags): Promise<void> {
  using pool = await openPool(flags);
  const containers = await pool.removeSecret(flags.app ?? "", name);
  if (flags.json) return printJson({ kind: "secret", name, app: flags.app ?? "", set: false, containers });
  printLine(`Secret ${name} is forgotten.${replaced(containers)}`);
}

const replaced = (containers: number): string =>
  containers === 0
    ? ""
    : ` ${containers === 1 ? "One container" : `${containers} containers`} that had the former value will be replaced.`;

async function list(flags: SecretsFlags): Promise<void> {
  using pool = await openPool(flags);
  const secrets = await pool.secrets(flags.app ?? "");
  if (flags.json) return secrets.forEach((secret) => void printJson({ kind: "secret", ...secret }));
  if (secrets.length === 0) return printLine("No secrets yet: `hob secrets set NAME` keeps one.");
  const nowMs = Date.now();
  printTable(
    [{ title: "SECRET" }, { title: "APP" }, { title: "CHANGED" }],
    secrets.map(({ name, app, changedAtMs }) => [name, app || "every app", formatMoment(changedAtMs, nowMs)]),
  );
}

async function readValue(name: string, file: string | undefined): Promise<string> {
  if (file === undefined) return process.stdin.isTTY ? promptHidden(`${name}: `) : readPiped();
  try {
    return withoutNewline(await readFile(file, "utf8"));
  } catch (error) {
    throw systemError(`reading ${file}`, error);
  }
}

/** All of stdin, without the one newline that `echo` and editors add. */
async function readPiped(): Promise<string> {
  return withoutNewline(await text(process.stdin));
}

/** One line from the terminal, not echoed. */
function promptHidden(prompt: string): Promise<string> {
  const { stdin } = process;
  process.stderr.write(prompt);
  stdin.setRawMode(true).setEncoding("utf8").resume();
  return new Promise<string>((resolve, reject) => {
    let value = "";
    stdin.on("data", (typed: string) => {
      for (const character of typed) {
        if (character === "\r" || character === "\n" || character === "\u0004") return resolve(value);
        if (character === "\u0003") return reject(new HobError("cancelled", "no value was given; nothing has changed"));
        value = character === "\u007f" || character === "\b" ? value.slice(0, -1) : value + character;
      }
    });
  }).finally(() => {
    stdin.setRawMode(false).pause();
    process.stderr.write("\n");
  });
}

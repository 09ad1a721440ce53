// ④ `hob pool token …`, `cordon`, `uncordon`, `drain`, `remove`: who may enter a pool of machines, and what becomes of one of them.

import { type Command, InvalidArgumentError, Option } from "commander";
import { HobError } from "../base/errors.ts";
import { runningControl } from "./control-address.ts";
import { formatMs, parseDuration } from "./format/duration.ts";
import { interruptSignal } from "./interrupt.ts";
import { printJson, printLine, printTable } from "./output.ts";

interface Flags {
  control?: string;
  json?: boolean;
}

function durationOf(text: string): number {
  const ms = text === "never" ? 0 : parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("write for example 30m, 12h, 90d or never");
  return ms;
}

const joinLifetimeMs = 3_600_000;
const drainPatienceMs = 10 * 60_000;
const removePatienceMs = 10_000;
const lookEveryMs = 300;

const options = (command: Command): Command =>
  command
    .option("--control <address>", "control to ask: its socket, or for nodes hob://HOST:PORT")
    .option("--json", "one JSON object a line");

export function addPoolMembers(pool: Command): void {
  const token = pool.command("token").description("tokens: who may enter a pool that listens on the network");
  options(token.command("create"))
    .description("make a token, and print the URL that it is part of, once")
    .addOption(
      new Option("--scope <scope>", "what it is good for").choices(["join", "client", "read-only", "call"]).default("join"),
    )
    .option("--expires <time>", "when it ends: 30m, 12h, 90d, never (default: join 1h, others never)", durationOf)
    .option("--note <text>", "whose it is", "")
    .addHelpText("after", "\nExample:\n  hob pool token create --scope client --note anna --expires 90d\n")
    .action((_: unknown, command: Command) => createToken(command.optsWithGlobals()));
  options(token.command("ls"))
    .description("the tokens that are good")
    .addHelpText("after", "\nExample:\n  hob pool token ls --json\n")
    .action((_: unknown, command: Command) => listTokens(command.optsWithGlobals()));
  options(token.command("revoke"))
    .argument("<id>", "as `ls` shows it")
    .description("end a token, and what is open with it")
    .addHelpText("after", "\nExample:\n  hob pool token revoke 1f0c22ab\n")
    .action((id: string, _: unknown, command: Command) => revokeToken(id, command.optsWithGlobals()));
  for (const [name, to, what] of [
    ["cordon", "cordoned", "place nothing new on a node"],
    ["uncordon", "schedulable", "place calls on a node again"],
  ] as const) {
    options(pool.command(name))
      .argument("<node>")
      .description(what)
      .addHelpText("after", `\nExample:\n  hob pool ${name} workstation\n`)
      .action((node: string, _: unknown, command: Command) => change(node, to, command.optsWithGlobals()));
  }
  options(pool.command("drain"))
    .argument("<node>")
    .description("place nothing new on a node, and wait until nothing runs there: calls finish, or move when patience ends")
    .option("--patience <time>", "for calls that run there (default 10m)", durationOf)
    .addHelpText("after", "\nExample:\n  hob pool drain workstation --patience 1h\n")
    .action((node: string, _: unknown, command: Command) => drain(node, command.optsWithGlobals()));
  options(pool.command("remove"))
    .argument("<node>")
    .description("let go of a node: its agent ends, and has to join anew")
    .option("--patience <time>", "for calls that run there (default 10s)", durationOf)
    .addHelpText("after", "\nExample:\n  hob pool drain workstation && hob pool remove workstation\n")
    .action((node: string, _: unknown, command: Command) => remove(node, command.optsWithGlobals()));
}

async function open(flags: Flags) {
  const [{ openMembers }, address] = await Promise.all([import("./members-client.ts"), runningControl(flags.control)]);
  return { members: openMembers(address), address };
}

async function createToken(flags: Flags & { scope: string; expires?: number; note: string }): Promise<void> {
  const { members } = await open(flags);
  using _members = members;
  const lifetimeMs = flags.expires ?? (flags.scope === "join" ? joinLifetimeMs : 0);
  const { info, url } = await members.createToken(flags.scope, flags.note, lifetimeMs);
  if (flags.json) return printJson({ kind: "token", ...info, url });
  process.stderr.write(
    `Token ${info?.id}, ${lifetimeMs > 0 ? `good for ${formatMs(lifetimeMs)}` : "without an end"}. It is shown this once: ${
      flags.scope === "join" ? "`hob agent --join URL`" : "`hob login URL`"
    }, with this URL:\n`,
  );
  printLine(url);
}

async function listTokens(flags: Flags): Promise<void> {
  const { members } = await open(flags);
  using _members = members;
  const tokens = await members.tokens();
  if (flags.json) return tokens.forEach((info) => void printJson({ kind: "token", ...info }));
  if (tokens.length === 0) return printLine("No tokens: `hob pool token create` makes one.");
  const nowMs = Date.now();
  printTable(
    [{ title: "TOKEN" }, { title: "SCOPE" }, { title: "ENDS IN" }, { title: "USED" }, { title: "FOR" }],
    tokens.map(({ id, scope, node, note, expiresAtMs, usedAtMs }) => [
      ...[id, scope, expiresAtMs > 0 ? formatMs(expiresAtMs - nowMs) : "never"],
      ...[usedAtMs > 0 ? `${formatMs(nowMs - usedAtMs)} ago` : "not yet", node ? `node ${node}` : note],
    ]),
  );
}

async function revokeToken(id: string, flags: Flags): Promise<void> {
  const { members } = await open(flags);
  using _members = members;
  await members.revokeToken(id);
  if (flags.json) return printJson({ kind: "token", id, revoked: true });
  printLine(`Token ${id} is good for nothing any more.`);
}

async function change(node: string, to: "cordoned" | "schedulable", flags: Flags): Promise<void> {
  const { members } = await open(flags);
  using _members = members;
  const calls = await members.changeNode(node, to, 0);
  if (flags.json) return printJson({ kind: "node", name: node, cordoned: to === "cordoned", calls });
  printLine(to === "cordoned" ? `Node ${node} takes nothing new; ${calls} calls run there.` : `Node ${node} takes calls again.`);
}

async function drain(node: string, flags: Flags & { patience?: number }): Promise<void> {
  const { members, address } = await open(flags);
  using _members = members;
  using interrupt = interruptSignal();
  const { openPoolClient } = await import("./pool-client.ts");
  using pool = openPoolClient(address);
  const begin = performance.now();
  const first = await members.changeNode(node, "drained", flags.patience ?? drainPatienceMs);
  if (!flags.json) process.stderr.write(`Node ${node} takes nothing new; ${first} calls run there.\n`);
  for (;;) {
    const found = (await pool.fleet()).nodes.find(({ name }) => name === node);
    if (!found || found.containers.every(({ state }) => state !== "specialised" && state !== "stopping")) break;
    if (interrupt.signal.aborted) {
      throw new HobError("cancelled", `node ${node} is still being drained`, {
        remedy: `\`hob pool uncordon ${node}\` takes it back`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs)); // a fleet sample is half a second old at most
  }
  const ms = performance.now() - begin;
  if (flags.json) return printJson({ kind: "node", name: node, cordoned: true, calls: 0, ms });
  printLine(`Node ${node} is empty after ${formatMs(ms)}.`);
}

async function remove(node: string, flags: Flags & { patience?: number }): Promise<void> {
  const { members } = await open(flags);
  using _members = members;
  const calls = await members.changeNode(node, "removed", flags.patience ?? removePatienceMs);
  if (flags.json) return printJson({ kind: "node", name: node, removed: true, calls });
  printLine(`Node ${node} is no member of the pool any more.`);
}

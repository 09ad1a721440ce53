// ⑤ `hob pool add user@host`: a machine becomes a node of the pool, over ssh; each step is said.

import { setTimeout as after } from "node:timers/promises";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { isNetwork, networkAddress, parseNetworkUrl } from "../proto/address.ts";
import { buildId } from "./build.ts";
import { runningControl } from "./control-address.ts";
import { interruptSignal } from "./interrupt.ts";
import { printJson } from "./output.ts";

interface AddFlags {
  control?: string;
  name?: string;
  into: string;
  json?: boolean;
}

/** The fleet is asked for, as by any command that ends: only sessions are told of nodes that come. */
const lookEveryMs = 300;
const arrivesWithinMs = 60_000;
const joinLifetimeMs = 10 * 60_000;

export function addPoolAdd(pool: Command): void {
  pool
    .command("add")
    .argument("<user@host>", "as ssh knows it")
    .description("bring a machine into the pool over ssh: copy hob there, join, start its agent")
    .option("--name <name>", "the node's name (default: the machine's own)")
    .option("--into <folder>", "where hob lies there", "/opt/hob")
    .option("--control <address>", "control's own socket, on its machine")
    .option("--json", "one JSON object a step")
    .addHelpText("after", "\nExample:\n  hob pool add root@workstation --control unix:/run/hob-pool/control.sock\n")
    .action((target: string, _: unknown, command: Command) => add(target, command.optsWithGlobals()));
}

async function add(target: string, flags: AddFlags): Promise<void> {
  if (!/^[A-Za-z0-9_][\w.@:%+-]*$/.test(target)) throw new HobError("usage", `"${target}" is not a machine as ssh names it`);
  if (!/^\/[\w./-]+$/.test(flags.into)) throw new HobError("usage", `"${flags.into}" is not an absolute path of plain letters`);
  const [{ openMembers }, { openPoolClient }, { openRemote }, steps, address] = await Promise.all([
    import("./members-client.ts"),
    import("./pool-client.ts"),
    import("./pool-add/remote.ts"),
    import("./pool-add/steps.ts"),
    runningControl(flags.control),
  ]);
  using interrupt = interruptSignal();
  using members = openMembers(address);
  using pool = openPoolClient(address);
  using remote = openRemote(target);
  const say = (step: string, said: string): void => {
    if (flags.json) printJson({ kind: "step", step, said });
    else process.stderr.write(`${step.padEnd(8)}${said}\n`);
    interrupt.signal.throwIfAborted();
  };
  let way = "";
  const url = async (): Promise<string> => {
    way ||= (await members.createToken("join", `pool add ${target}`, joinLifetimeMs)).url;
    return way;
  };
  const control = networkAddress(parseNetworkUrl(await url())); // refuses first where control is not on the network
  if (!isNetwork(control)) throw new HobError("internal", "control's URL is none");
  const adding = { remote, target, into: flags.into, build: buildId(), url, address: control };
  const facts = await steps.look(adding);
  const name = flags.name ?? facts.name;
  say("reach", `${target} is ${facts.name}, ${facts.machine}`);
  say("copy", await steps.bring(adding, facts));
  say("check", await steps.examine(adding, facts));
  await steps.enrol(adding, facts, name);
  say("join", `it is node ${name}, with credentials of its own`);
  say("start", await steps.start(adding, facts, name));
  const deadline = performance.now() + arrivesWithinMs;
  while (!(await pool.fleet()).nodes.some((node) => node.name === name && node.state !== "lost")) {
    if (performance.now() > deadline) {
      throw new HobError("unavailable", `node ${name} has not come within ${arrivesWithinMs / 1000} s`, {
        remedy: facts.systemd ? "read `journalctl -u hob-node.service` there" : "read /var/log/hob-agent.log there",
      });
    }
    await after(lookEveryMs, undefined, { signal: interrupt.signal }).catch(() => {}); // aborted: said below
    interrupt.signal.throwIfAborted();
  }
  say("ready", `node ${name} takes calls`);
}

// ④ `hob control`: the control plane in the foreground, or as the head of an embedded pool.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths, runFolder, stateFolder } from "../base/paths.ts";
import { buildId } from "./build.ts";
import { socketPath } from "./control-address.ts";
import { addLimitOptions, type LimitFlags, limitsOf } from "./control-limits.ts";
import { interruptSignal } from "./interrupt.ts";
import { lingerMs } from "./linger.ts";
import { whenListening } from "./listening.ts";
import { startReporter } from "./start-report.ts";

interface ControlFlags extends LimitFlags {
  listen?: string;
  socket?: string;
  state?: string;
  embedded?: boolean;
  linger?: string;
  json?: boolean;
}

export function addControl(program: Command): void {
  addLimitOptions(program.command("control"))
    .description("the control plane: content, registry, scheduler, calls")
    .option("--listen <address>", "address to listen on: unix:PATH")
    .option("--socket <path>", "the same, as a path")
    .option("--state <folder>", "folder of its database, blobs and logs")
    .option("--embedded", "head of this installation's own pool: starts the agent, ends when no client is left")
    .option("--linger <seconds>", "embedded: how long to stay after the last client (default 30)")
    .option("--json", "say on stdout when it listens: one JSON object")
    .addHelpText("after", "\nExample:\n  hob control --listen unix:/run/hob/team.sock --state /var/lib/hob\n")
    .action(start);
}

async function start(flags: ControlFlags): Promise<void> {
  const report = startReporter();
  try {
    await (flags.embedded ? serveEmbedded(flags, report.ready) : serveByHand(flags));
  } catch (error) {
    report.failed(error);
    throw error;
  }
}

async function serveEmbedded(flags: ControlFlags, ready: () => void): Promise<void> {
  if (flags.listen ?? flags.socket ?? flags.state) {
    throw new HobError("usage", "--embedded has a socket and a state of its own", {
      remedy: "leave out --listen, --socket and --state",
    });
  }
  const [{ runControl }, { openLog }, { embeddedAgent }] = await Promise.all([
    import("../control/main.ts"),
    import("../base/log.ts"),
    import("./agent-command.ts"),
  ]);
  const { socket, state, store } = poolPaths(installRoot);
  using interrupt = interruptSignal();
  using _listening = whenListening(socket, ready);
  await runControl(
    {
      socket,
      state,
      store,
      build: buildId(),
      lingerMs: lingerMs(flags.linger),
      agent: { argv: embeddedAgent() },
      ...limitsOf(flags),
      log: openLog("control", join(state, "logs", "control.log")),
    },
    interrupt.signal,
  );
}

async function serveByHand(flags: ControlFlags): Promise<void> {
  const [{ runControl }, { openLog }] = await Promise.all([import("../control/main.ts"), import("../base/log.ts")]);
  const state = resolve(flags.state ?? join(stateFolder(), "control"));
  const named = flags.listen ?? flags.socket;
  const socket = named === undefined ? join(runFolder(), "control.sock") : socketPath(named.includes("/") ? named : `./${named}`);
  using interrupt = interruptSignal();
  using _listening = whenListening(socket, () => {
    const text = flags.json
      ? JSON.stringify({ kind: "listening", address: `unix:${socket}`, state })
      : `control listens at unix:${socket}`;
    process.stdout.write(`${text}\n`);
  });
  await runControl(
    {
      socket,
      state,
      store: join(state, "blobs"),
      build: buildId(),
      lingerMs: Number.POSITIVE_INFINITY,
      ...limitsOf(flags),
      log: openLog("control", "-"),
    },
    interrupt.signal,
  );
}

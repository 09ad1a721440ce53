// ④ `hob control`: the control plane in the foreground, or as the head of an embedded pool.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import { yieldBackground } from "../base/background.ts";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths, stateFolder } from "../base/paths.ts";
import { buildId } from "./build.ts";
import { addLimitOptions, type LimitFlags, limitsOf } from "./control-limits.ts";
import { type ListenFlags, listenPlaces } from "./control-listen.ts";
import { addTransfer } from "./control-transfer.ts";
import { interruptSignal } from "./interrupt.ts";
import { lingerMs } from "./linger.ts";
import { whenListening } from "./listening.ts";
import { startReporter } from "./start-report.ts";

interface ControlFlags extends LimitFlags, ListenFlags {
  state?: string;
  embedded?: boolean;
  linger?: string;
  engine?: string;
  json?: boolean;
}

export function addControl(program: Command): void {
  const control = program.command("control");
  addTransfer(control);
  addLimitOptions(control)
    .description("the control plane: content, registry, scheduler, calls")
    .option("--listen <address...>", "where to listen: unix:PATH, and HOST:PORT for machines elsewhere, with TLS and tokens")
    .option("--socket <path>", "the same, as a path")
    .option(
      "--advertise <host:port>",
      "how machines elsewhere reach it, where that is not what it listens on; with commas, then the pool's other controls",
    )
    .option(
      "--http <address>",
      "where endpoints and REST are served besides the socket for it: HOST:PORT; with TLS where others reach it",
    )
    .option("--tls-cert <file>", "a certificate with those that vouch for it, PEM, instead of one of the pool's own authority")
    .option("--tls-key <file>", "its key")
    .option("--state <folder>", "folder of its database, blobs and logs")
    .option("--engine <url>", "share the pool with other controls through NATS JetStream: nats://HOST:PORT,HOST:PORT,…[/POOL]")
    .option("--embedded", "head of this installation's own pool: starts the agent, ends when no client is left")
    .option("--linger <seconds>", "embedded: how long to stay after the last client (default 30)")
    .option("--json", "say on stdout when it listens: one JSON object")
    .addHelpText(
      "after",
      "\nExamples:\n  hob control --listen unix:/run/hob/team.sock --state /var/lib/hob\n  hob control --engine nats://a,b,c --listen 0.0.0.0:7474\n  hob control --listen 0.0.0.0:7474 --advertise control.example\n",
    )
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
  if (flags.listen ?? flags.socket ?? flags.state ?? flags.engine) {
    throw new HobError("usage", "--embedded has a socket and a state of its own", {
      remedy: "leave out --listen, --socket, --state and --engine",
    });
  }
  const [{ runControl }, { openLog }, { embeddedAgent }] = await Promise.all([
    import("../control/main.ts"),
    import("../base/log.ts"),
    import("./agent-command.ts"),
  ]);
  yieldBackground();
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
      http: "own",
      practises: true,
      ...limitsOf(flags),
      log: openLog("control", join(state, "logs", "control.log")),
    },
    interrupt.signal,
  );
}

async function serveByHand(flags: ControlFlags): Promise<void> {
  const [{ runControl }, { openLog }] = await Promise.all([import("../control/main.ts"), import("../base/log.ts")]);
  const state = resolve(flags.state ?? join(stateFolder(), flags.engine === undefined ? "control" : "control-nats"));
  const nats =
    flags.engine === undefined ? {} : { nats: (await import("../control/engine/nats/link.ts")).parseNatsUrl(flags.engine) };
  const { socket, network, http } = listenPlaces(flags);
  const others: { network?: string; http?: string } = {};
  const ready = (address: string): void => {
    others.network = address;
  };
  const web = (url: string): void => {
    others.http = url;
  };
  using interrupt = interruptSignal();
  using _listening = whenListening(socket, () => {
    const text = flags.json
      ? JSON.stringify({ kind: "listening", address: `unix:${socket}`, state, ...others })
      : `control listens at ${[`unix:${socket}`, ...Object.values(others)].join(" and ")}`;
    process.stdout.write(`${text}\n`);
  });
  await runControl(
    {
      socket,
      state,
      store: join(state, "blobs"),
      build: buildId(),
      lingerMs: Number.POSITIVE_INFINITY,
      practises: true,
      ...(network ? { network: { ...network, ready } } : {}),
      ...(http ? { http: { ...http, ready: web } } : {}),
      ...nats,
      ...limitsOf(flags),
      log: openLog("control", "-"),
    },
    interrupt.signal,
  );
}

// Servers of NATS with JetStream on this machine, for development and tests: each ends with the process that started it, or when it is told to.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";

const patienceMs = 20_000;
const lookMs = 50;

export interface NatsServers extends AsyncDisposable {
  /** For --engine. */
  readonly url: string;
  /** HOST:PORT of each. */
  readonly addresses: string[];
  readonly count: number;
  /** Kills one with -9, or stops and continues it. */
  signal(index: number, name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts one that was killed again, with what it had. */
  start(index: number): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "data"); // INFO is its first word
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** `ports`: where clients connect, free ones of the system's choice by default. */
export async function startNatsServers(folder: string, count: number, ports?: number[]): Promise<NatsServers> {
  const clients = ports ?? (await Promise.all(Array.from({ length: count }, freePort)));
  const routes = await Promise.all(Array.from({ length: count }, freePort));
  const children: (ChildProcess | undefined)[] = [];

  async function start(index: number): Promise<void> {
    const name = `hob-nats-${index + 1}`;
    const state = join(folder, name);
    mkdirSync(state, { recursive: true, mode: 0o700 });
    const log = openSync(join(folder, `${name}.log`), "a", 0o600);
    const argv = ["-a", "127.0.0.1", "-p", String(clients[index]), "-js", "-sd", state, "-n", name];
    if (count > 1) {
      const others = routes.map((port) => `nats://127.0.0.1:${port}`).join(",");
      argv.push("--cluster_name", "hob", "--cluster", `nats://127.0.0.1:${routes[index]}`, "--routes", others);
    }
    const child = spawn("nats-server", argv, { stdio: ["ignore", log, log] });
    children[index] = child;
    let failure: Error | undefined;
    child.once("error", (error) => {
      failure = error;
    });
    for (const began = performance.now(); !(await answers(clients[index]!)); await after(lookMs)) {
      if (failure) throw new Error(`nats-server did not start: ${failure.message}: install nats-server`);
      if (child.exitCode !== null)
        throw new Error(`nats-server ended with ${child.exitCode}: ${join(folder, `${name}.log`)} says why`);
      if (performance.now() - began > patienceMs) throw new Error(`nats-server ${name} does not answer`);
    }
  }

  async function signal(index: number, name: NodeJS.Signals): Promise<void> {
    const child = children[index];
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(name);
    if (name === "SIGKILL") await once(child, "exit");
  }

  const servers: NatsServers = {
    url: `nats://${clients.map((port) => `127.0.0.1:${port}`).join(",")}`,
    addresses: clients.map((port) => `127.0.0.1:${port}`),
    ...{ count, signal, start },
    async [Symbol.asyncDispose]() {
      await Promise.all(children.map((_, index) => signal(index, "SIGKILL")));
    },
  };
  try {
    await Promise.all(clients.map((_, index) => start(index)));
  } catch (error) {
    await servers[Symbol.asyncDispose]();
    throw error;
  }
  return servers;
}

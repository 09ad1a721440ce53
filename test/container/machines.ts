// ④⑤ For tests: machines as network namespaces, each with its own address, joined by cables that can be cut, slowed and plugged in; all of it ends with the test.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installRoot } from "../../base/install.ts";

export interface Machine {
  readonly name: string;
  readonly address: string;
  /** Starts `hob ARGS` on it; what is piped in is its stdin, whole. */
  start(args: string[], input?: string): ChildProcess;
  /** Starts any other program on it. */
  run(program: string, args: string[]): ChildProcess;
  /** Nothing gets through in either direction, and nobody is told. */
  cut(): void;
  plug(): void;
  /** What it sends takes its time; undefined: no more. */
  slow(rate: string | undefined): void;
}

export interface Machines extends Disposable {
  /** 10.77.0.1, to which all others are connected. */
  readonly hub: Machine;
  readonly nodes: Machine[];
}

const main = join(installRoot, "cli/main.ts");
const node = join(installRoot, "node_modules/node/bin/node");

/** A process that keeps a network namespace for as long as it has its stdin, which ends with this process. */
async function namespace(): Promise<ChildProcess> {
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "pipe", "inherit"] });
  holder.stdin.write("x");
  await once(holder.stdout, "data");
  return holder;
}

export async function makeMachines(folder: string, names: string[]): Promise<Machines> {
  const holders = await Promise.all(["hub", ...names].map(namespace));
  const started: ChildProcess[] = [];
  const runs: string[] = [];
  const inside = (holder: ChildProcess): string => `--net=/proc/${holder.pid}/ns/net`;
  const run = (holder: ChildProcess, file: string, ...args: string[]): void =>
    void execFileSync("nsenter", [inside(holder), file, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  const [hubHolder, ...nodeHolders] = holders;
  for (const args of ["link set lo up", "link add br0 type bridge", "addr add 10.77.0.1/24 dev br0", "link set br0 up"])
    run(hubHolder!, "ip", ...args.split(" "));
  nodeHolders.forEach((holder, index) => {
    run(hubHolder!, "ip", "link", "add", `m${index}`, "type", "veth", "peer", "name", "eth0", "netns", String(holder.pid));
    run(hubHolder!, "ip", "link", "set", `m${index}`, "master", "br0", "up");
    for (const args of ["link set lo up", `addr add 10.77.0.${index + 2}/24 dev eth0`, "link set eth0 up"])
      run(holder, "ip", ...args.split(" "));
  });

  function machine(name: string, holder: ChildProcess, index: number): Machine {
    const home = join(folder, name);
    const runFolder = mkdtempSync("/run/hob-test-");
    runs.push(runFolder);
    const environment = {
      ...{ XDG_STATE_HOME: join(home, "state"), XDG_CACHE_HOME: join(home, "cache"), XDG_CONFIG_HOME: join(home, "config") },
      ...{ HOB_RUN_DIR: runFolder, HOB_UPLINK: "none", HOB_LOG_LEVEL: "info", NO_COLOR: "1" },
    };
    function spawnHere(argv: string[]): ChildProcess {
      const child = spawn("nsenter", [inside(holder), ...argv], {
        env: { ...process.env, ...environment },
        stdio: ["pipe", "pipe", "pipe"],
      });
      child.stderr.resume();
      started.push(child);
      return child;
    }
    return {
      name,
      address: `10.77.0.${index + 2}`,
      start(args, input) {
        const child = spawnHere([node, main, ...args]);
        child.stdin!.end(input ?? "");
        return child;
      },
      run(program, args) {
        const child = spawnHere([program, ...args]);
        child.stdout!.resume();
        return child;
      },
      cut: () => run(hubHolder!, "ip", "link", "set", `m${index}`, "down"),
      plug: () => run(hubHolder!, "ip", "link", "set", `m${index}`, "up"),
      slow(rate) {
        if (rate)
          run(holder, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "16k", "latency", "200ms");
        else run(holder, "tc", "qdisc", "del", "dev", "eth0", "root");
      },
    };
  }

  return {
    hub: machine("hub", hubHolder!, -1),
    nodes: names.map((name, index) => machine(name, nodeHolders[index]!, index)),
    [Symbol.dispose]() {
      for (const child of [...started, ...holders]) if (child.exitCode === null) child.kill("SIGKILL");
      for (const path of runs) rmSync(path, { recursive: true, force: true });
    },
  };
}

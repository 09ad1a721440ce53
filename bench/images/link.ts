// A slow link on this machine: a network namespace behind a veth whose both ends are bounded by tc tbf, and relays that add the delay.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** TEST-NET-3, RFC 5737: nobody's. */
const nearAddress = "203.0.113.1";
export const farAddress = "203.0.113.2";
const burst = "128kb"; // a packet of 64 KiB, as the kernel makes them, must fit

export interface Link extends AsyncDisposable {
  /** Argv in front of a command that runs beyond the link. */
  readonly beyond: string[];
  /** A relay: on this side, or beyond the link. Resolves when it listens. */
  relay(side: "near" | "far", from: string, to: string, delayMs: number): Promise<void>;
  /** Bytes that have come to this side. */
  received(): number;
}

/** What a bench that was killed has left has the same addresses: packets would go to it. */
function sweepLinks(): void {
  for (const name of readdirSync("/sys/class/net")) {
    const pid = /^hobb(\d+)$/.exec(name)?.[1];
    if (pid === undefined) continue;
    if (existsSync(`/proc/${pid}`)) throw new Error(`another bench of images runs (process ${pid}): its link has the addresses`);
    execFileSync("ip", ["link", "delete", name]);
    execFileSync("ip", ["netns", "delete", `hob-bench-${pid}`]);
  }
}

export async function openLink(megabits: number): Promise<Link> {
  sweepLinks();
  const name = `hob-bench-${process.pid}`;
  const near = `hobb${process.pid}`.slice(0, 15);
  const children: ChildProcess[] = [];
  const run = (line: string): void => void execFileSync("/bin/sh", ["-ec", line], { stdio: ["ignore", "ignore", "inherit"] });
  const shape = `tbf rate ${megabits}mbit burst ${burst} latency 100ms`;
  const beyond = ["nsenter", `--net=/run/netns/${name}`];
  run(`
    ip netns add ${name}
    ip link add ${near} type veth peer name far netns ${name}
    ip address add ${nearAddress}/30 dev ${near}; ip link set ${near} up
    ${beyond.join(" ")} ip address add ${farAddress}/30 dev far; ${beyond.join(" ")} ip link set far up
    ${beyond.join(" ")} ip link set lo up
    tc qdisc add dev ${near} root ${shape}
    ${beyond.join(" ")} tc qdisc add dev far root ${shape}`);
  return {
    beyond,
    async relay(side, from, to, delayMs) {
      const argv = [process.execPath, join(import.meta.dirname, "relay.ts"), from, to, String(delayMs)];
      const [file = "", ...args] = side === "far" ? [...beyond, ...argv] : argv;
      const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
      children.push(child);
      await once(child.stdout!, "data");
    },
    received: () => Number(readFileSync(`/sys/class/net/${near}/statistics/rx_bytes`, "utf8")),
    async [Symbol.asyncDispose]() {
      for (const child of children) {
        child.stdin?.end();
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      }
      run(`ip link delete ${near}; ip netns delete ${name}`);
    },
  };
}

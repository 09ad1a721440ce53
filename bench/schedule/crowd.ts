// ④⑤ Control beside a thousand agents: a real control process, agents without machines in two others, calls through all of it, and what control uses meanwhile.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FleetClient, type FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { kill, makePlace, makePublish, openSession, spawnControl } from "../../test/control/harness.ts";

const settleMs = 5_000;
const measureMs = 20_000;
const processes = 2;
const callEveryMs = 20;
const ticksPerSecond = 100; // USER_HZ, proc(5)

interface Crowd {
  /** Control's processor time over the time that passed. */
  cores: number;
  /** The most that was resident, MB. */
  rssMb: number;
  /** From a call's sending to its outcome, ms. */
  callsMs: number[];
  /** How old what control knows of each node is, at the end. */
  agesMs: number[];
  /** What control heard of the agents a second: less than two of each, and the machine had no time for them. */
  sampled: number;
}

export async function crowd(agents: number, containers: number, say: (text: string) => void): Promise<Crowd> {
  using place = makePlace();
  await using stack = new AsyncDisposableStack();
  const control = stack.adopt(await spawnControl(place), kill);
  const session = stack.use(openSession(place.socket));
  session.send({ $case: "publish", value: makePublish("def work(): ...", [{ name: "work" }]) });
  await session.next("published");
  const each = agents / processes;
  const address = unixAddress(place.socket);
  const sent = Array.from({ length: processes }, () => 0);
  for (let n = 0; n < processes; n++) {
    const child = stack.adopt(startAgents([place.socket, n * each, each, containers]), kill);
    child.stdout!.on("data", (text: Buffer) => {
      sent[n] = Number(text.toString().trim().split("\n").at(-1));
    });
  }
  const samples = (): number => sent.reduce((sum, count) => sum + count, 0);
  const fleet = stack.adopt(new FleetClient(address, clientCredentials(address), channelOptions), (one) => one.close());
  const sample = await linked(fleet, agents);
  say(`schedule: ${sample.nodes.length} agents are linked`);
  await after(settleMs);
  const [before, sampledBefore] = [processorMs(control.pid!), samples()];
  const began = performance.now();
  const callsMs: number[] = [];
  let rssMb = 0;
  while (performance.now() - began < measureMs) {
    const at = performance.now();
    await session.outcome(session.call("work"));
    callsMs.push(performance.now() - at);
    rssMb = Math.max(rssMb, residentMb(control.pid!));
    await after(callEveryMs);
  }
  const tookMs = performance.now() - began;
  const { nodes } = await linked(fleet, agents);
  const agesMs = nodes.map(({ sinceMs }) => Date.now() - sinceMs); // agents say when they were sampled
  const cores = (processorMs(control.pid!) - before) / tookMs;
  return { cores, rssMb, callsMs, agesMs, sampled: ((samples() - sampledBefore) * 1_000) / tookMs };
}

function startAgents(args: (string | number)[]): ChildProcess {
  const entry = fileURLToPath(new URL("agents.ts", import.meta.url));
  return spawn(process.execPath, [entry, ...args.map(String)], { stdio: ["pipe", "pipe", "inherit"] });
}

/** Resolves once so many nodes are there. */
async function linked(fleet: FleetClient, agents: number): Promise<FleetSample> {
  const stream = fleet.watchFleet({});
  for await (const [sample] of streamed(stream)) {
    if (sample.nodes.length < agents) continue;
    stream.cancel();
    return sample;
  }
  throw new Error("control has ended");
}

async function* streamed(stream: ReturnType<FleetClient["watchFleet"]>): AsyncIterable<[FleetSample]> {
  stream.on("error", () => {}); // cancelled
  for (;;) yield (await once(stream, "data")) as [FleetSample];
}

function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond;
}

const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024;

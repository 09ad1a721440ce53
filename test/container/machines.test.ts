// ④⑤ A pool of three machines, each with its own address, over TLS, with real agents and containers: cut, slowed, stopped, killed, started again, drained.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FleetSample, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { type CreateTokenResponse, MembersClient } from "../../proto/gen/hob/v1/members.ts";
import { clientCredentials, unixAddress } from "../../proto/transport.ts";
import { makePlace, makePublish, openSession, publishAndLoad, resultOf, type TestSession } from "../control/harness.ts";
import { asked } from "../control/network-place.ts";
import { programs } from "../drive/requirements.ts";
import { cannotRun } from "./agent-process.ts";
import { type Machine, type Machines, makeMachines } from "./machines.ts";

const source = `
import os, time
import hob

app = hob.App("shop")

def sleep(seconds):
    print("begins", flush=True)
    time.sleep(seconds)
    return seconds

def large(bytes):
    return os.urandom(bytes // 2).hex()
`;

describe.skipIf(cannotRun || !programs("ip", "tc", "nsenter"))("a pool of machines", () => {
  const place = makePlace();
  let machines: Machines;
  let control: ChildProcess;
  let session: TestSession;
  let members: MembersClient;
  const agents = new Map<string, ChildProcess>();
  const address = "hob://10.77.0.1:7474";
  const [first, second] = ["anna", "bert"];
  const machine = (name: string): Machine => machines.nodes.find((one) => one.name === name)!;

  async function startControl(): Promise<void> {
    control = machines.hub.start(["control", "--listen", place.socket, "--listen", "10.77.0.1:7474", "--state", place.state]);
    await once(control.stdout!, "data");
  }

  function openEyes(): void {
    session = openSession(place.socket, { build: "source", lastsMs: 300_000 });
    session.send({ $case: "watch", value: { apps: ["shop"], fleet: true } });
  }

  /** Of the samples from now on the first in which it holds of that node. */
  async function node(name: string, holds: (info: NodeInfo) => boolean): Promise<NodeInfo> {
    const after = session.arrivals.all.length;
    const of = (sample: FleetSample) => sample.nodes.find((info) => info.name === name && holds(info));
    const event = await session.arrivals.of(
      (item) => item.$case === "fleet" && session.arrivals.all.indexOf(item) >= after && of(item.value) !== undefined,
    );
    return of((event as { value: FleetSample }).value)!;
  }

  const ready = (name: string) =>
    node(name, ({ state, containers }) => state === "ready" && containers.some((one) => one.state === "warm"));
  const change = (name: string, to: string, patienceMs = 0) =>
    asked<{ calls: number }>((done) => members.changeNode({ node: name, to, patienceMs }, done));

  /** A call that has begun on that node; afterwards the other takes calls too, unless told not to. */
  async function begun(name: string, seconds: number, alone = false): Promise<string> {
    const other = name === first ? second : first;
    await change(other!, "cordoned");
    const id = session.call("sleep", [seconds]);
    await session.next("logs", ({ lines }) => lines.some((line) => line.call === id && line.text === "begins"));
    if (!alone) await change(other!, "schedulable");
    return id;
  }

  async function join(name: string): Promise<void> {
    const wish = { scope: "join", note: "", expiresInMs: 60_000 };
    const { url } = await asked<CreateTokenResponse>((done) => members.createToken(wish, done));
    agents.set(name, machine(name).start(["agent", "--join", "-", "--name", name], url));
  }

  const gone = (name: string) => session.next("notice", ({ text: said }) => said.startsWith(`node ${name} is gone`));
  const forget = () => session.arrivals.all.splice(0);
  /** The process whose command line holds these words. A fork of it has the same ones until it runs a program of its own. */
  function pidOf(...words: string[]): number {
    const read = (pid: string, file: string): string => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, "utf8");
      } catch {
        return ""; // it has just ended
      }
    };
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    const found = pids.filter((pid) => {
      const line = read(pid, "cmdline").split("\0");
      return words.every((word) => line.includes(word));
    });
    const parentOf = (pid: string): string => /\) \S (\d+)/.exec(read(pid, "stat"))?.[1] ?? "";
    const [first, ...others] = found.filter((pid) => !found.includes(parentOf(pid)));
    expect(others).toEqual([]);
    return Number(first);
  }
  const agentOf = (name: string): number => pidOf("agent", "--own-mounts", name); // below the process that waits for it

  beforeAll(async () => {
    machines = await makeMachines(place.folder, [first!, second!]);
    await startControl();
    members = new MembersClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), {});
    openEyes();
    await Promise.all([join(first!), join(second!)]);
    await Promise.all([ready(first!), ready(second!)]);
    await publishAndLoad(session, makePublish(source, [{ name: "sleep" }, { name: "large" }]));
  }, 120_000);
  afterAll(async () => {
    session?.[Symbol.dispose]();
    members?.close();
    const running = [...agents.values()].filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ended = running.map((child) => once(child, "exit", { signal: AbortSignal.timeout(20_000) }));
    for (const child of running) child.kill("SIGTERM");
    await Promise.allSettled(ended); // whoever is late ends with its machine
    machines?.[Symbol.dispose]();
    place[Symbol.dispose]();
  }, 60_000);

  test("each machine runs calls; what is cordoned takes none", async () => {
    for (const name of [first!, second!]) {
      const call = await session.outcome(await begun(name, 0));
      expect([call.node, call.attempt, resultOf(call)]).toEqual([name, 1, 0]);
    }
  });

  test("a machine whose cable is cut is noticed within 5 s and its calls run elsewhere; when it returns, what it still ran is cancelled", async () => {
    forget();
    const id = await begun(first!, 60);
    const begin = performance.now();
    machine(first!).cut();
    const { text: said } = await gone(first!);
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect(said).toMatch(/nothing has been heard of it for 4\.\d s/);
    await session.next("call", ({ call }) => call?.id === id && call.node === second && call.state === "running");
    machine(first!).plug();
    await node(first!, ({ state, containers }) => state === "ready" && containers.every(({ calls }) => calls.length === 0));
    session.send({ $case: "cancel", value: { call: id } });
    expect(await session.outcome(id)).toMatchObject({ node: second, attempt: 2, state: "cancelled" });
  }, 30_000);

  test("a result that could not be told while the cable was cut is told afterwards, and nothing runs twice", async () => {
    forget();
    const id = await begun(first!, 1, true);
    machine(first!).cut();
    await gone(first!);
    machine(first!).plug();
    const call = await session.outcome(id);
    expect([call.node, call.attempt, resultOf(call)]).toEqual([first, 1, 1]);
    await change(second!, "schedulable");
  }, 30_000);

  test("a slow line is not a silent one", async () => {
    forget();
    await ready(first!);
    await change(second!, "cordoned");
    machine(first!).slow("1200kbit");
    const call = await session.outcome(session.call("large", [900_000]));
    machine(first!).slow(undefined);
    await change(second!, "schedulable");
    expect([call.node, call.attempt, (resultOf(call) as string).length]).toEqual([first, 1, 900_000]);
    expect(call.finishedAtMs - call.startedAtMs).toBeGreaterThan(4_500);
    expect(session.arrivals.all.filter((event) => event.$case === "notice")).toEqual([]);
  }, 30_000);

  test("an agent that hangs is noticed, and so is one that is killed; started again it needs no token", async () => {
    forget();
    const hung = await begun(first!, 1);
    process.kill(agentOf(first!), "SIGSTOP");
    expect((await gone(first!)).text).toContain("nothing has been heard of it");
    expect(await session.outcome(hung)).toMatchObject({ node: second, attempt: 2, state: "succeeded" });
    process.kill(agentOf(first!), "SIGCONT");
    await ready(first!);
    forget();
    const killed = await begun(first!, 1);
    process.kill(agentOf(first!), "SIGKILL");
    expect((await gone(first!)).text).toContain("not connected any more");
    expect(await session.outcome(killed)).toMatchObject({ node: second, attempt: 2, state: "succeeded" });
    agents.set(first!, machine(first!).start(["agent", "--control", address, "--name", first!]));
    await ready(first!);
  }, 40_000);

  test("control is killed and started again: its machines go on with their calls, and come back by themselves", async () => {
    const id = await begun(first!, 2);
    session[Symbol.dispose]();
    process.kill(pidOf("control", "--listen", place.socket), "SIGKILL");
    await once(control, "exit");
    await startControl();
    openEyes();
    await Promise.all([ready(first!), ready(second!)]);
    const watching = await session.next("watching");
    const known = watching.apps[0]!.recent.find((call) => call.id === id);
    const call = known?.state === "succeeded" ? known : await session.outcome(id);
    expect([call.node, call.attempt, resultOf(call)]).toEqual([first, 1, 2]);
  }, 30_000);

  test("a machine that is drained finishes its calls and is empty; calls go on elsewhere", async () => {
    const id = await begun(first!, 1);
    const drain = machines.hub.start(["pool", "drain", first!, "--control", place.socket, "--patience", "20s"]);
    const said = text(drain.stdout!);
    await node(first!, ({ cordoned }) => cordoned);
    expect((await session.outcome(session.call("sleep", [0]))).node).toBe(second);
    expect(await session.outcome(id)).toMatchObject({ node: first, attempt: 1, state: "succeeded" });
    expect(await said).toMatch(/^Node anna is empty after /);
    expect((await node(first!, () => true)).containers.filter(({ state }) => state === "specialised")).toEqual([]);
  }, 30_000);
});

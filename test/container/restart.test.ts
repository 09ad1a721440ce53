// ⑤ Agents that are killed at any moment, and two at once: nothing leaks, and nobody sweeps the living.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cgroupFolders, cgroupProcesses } from "../../agent/container/cgroup.ts";
import { uidBase } from "../../agent/container/slots.ts";
import type { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { type AgentUnderTest, callOf, cannotRun, pythonLoad, startAgent } from "./agent-process.ts";

if (cannotRun) console.warn(`restart tests are skipped: ${cannotRun}`);

const rounds = 12; // of each of two agents
const resourceClass = { cpu: 0, memoryBytes: 128 * 2 ** 20, language: "python", gpu: "", network: "none" };
const source = `
import os, time

def hang():
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    print("hanging", flush=True)
    time.sleep(1000)
`;

import { hostImageRef } from "../../proto/image.ts";

/** Everything on this machine that a pool's key or run folder leads to, but for the agent's own present processes. */
async function tracesOf({ key, run }: AgentUnderTest["options"]): Promise<string[]> {
  const folders = await cgroupFolders(`hob-${key}`);
  const cgroups = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /^[0-9a-f]{8}$/.test(name))
      .map((name) => join(folder, name)),
  );
  const members = (await Promise.all(cgroups.map(cgroupProcesses))).flat().map((pid) => `process ${pid}`);
  const ranges = new Set([0, 1, 2, 3].map((index) => String(uidBase(key, index))));
  const orphans = readdirSync("/proc").filter((pid) => {
    const [state, parent] = textOf(`/proc/${pid}/stat`)
      .replace(/^.*\) /, "")
      .split(" ");
    return parent === "1" && state !== "Z" && ranges.has(textOf(`/proc/${pid}/uid_map`).trim().split(/\s+/)[1] ?? "");
  });
  const files = ["c", "runc"].flatMap((name) =>
    existsSync(join(run, name)) ? readdirSync(join(run, name)).map((id) => join(run, name, id)) : [],
  );
  return [...cgroups, ...members, ...orphans.map((pid) => `orphan ${pid}, with namespaces of its own`), ...files];
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // it ended while we looked
  }
}

describe.skipIf(cannotRun)("agents that are killed, and two at once", () => {
  const store = mkdtempSync(join(tmpdir(), "hob-restart-store-"));
  let agents: [AgentUnderTest, AgentUnderTest];
  let lifeMs = 0;

  const warm = (containers: ContainerInfo[]) => containers.filter(({ state }) => state === "warm");

  /** From the hello to a call that hangs, in a container of two. */
  async function live(agent: AgentUnderTest): Promise<void> {
    const { process: mine } = agent;
    const goOn = (): void => {
      if (agent.process !== mine) throw new Error("this agent was killed");
    };
    await agent.heard("hello");
    goOn();
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    const image = (await agent.heard("image")).image?.digest ?? "";
    goOn();
    agent.send({ $case: "pools", value: { pools: [{ image, resourceClass, warm: 2, reserve: 0, wanted: 0 }] } });
    const [container] = warm(await agent.containersFit((present) => warm(present).length > 0));
    goOn();
    const load = pythonLoad(container?.id ?? "", source, ["hang"]);
    agent.send(callOf("00000000000000ff", load, "hang", [], { withLoad: true }));
    await agent.heard("logs", ({ lines }) => lines.some(({ text }) => text === "hanging"));
  }

  beforeAll(async () => {
    const first = await startAgent(store);
    await live(first); // it captures the image for both
    const second = await startAgent(store, { run: join(dirname(first.options.run), "0badc0de"), key: "0badc0de" });
    agents = [first, second];
    const begin = performance.now();
    await live(second);
    lifeMs = performance.now() - begin;
  }, 60_000);
  afterAll(async () => {
    for (const agent of agents.toReversed()) await agent[Symbol.asyncDispose]();
    rmSync(store, { recursive: true, force: true });
  });

  it("refuses to share a run folder, saying who holds it, and takes nothing from the one that serves", async () => {
    const [{ options, process: holder, containers }] = agents;
    const before = containers().map(({ id }) => id);
    const entry = join(import.meta.dirname, "agent-entry.ts");
    const args = ["--mount", "--propagation", "private", process.execPath, entry, JSON.stringify(options)];
    const second = spawn("unshare", args, { stdio: ["pipe", "ignore", "pipe"] });
    let words = "";
    second.stderr.setEncoding("utf8").on("data", (text: string) => {
      words += text;
    });
    const [code] = (await once(second, "close")) as [number];
    expect(words).toBe(`hob agent: another agent (pid ${holder.pid}) uses ${options.run}: end it first\n`);
    expect(code).toBe(3);
    expect(containers().map(({ id }) => id)).toEqual(before);
  });

  it(`leaves nothing after kill -9 at any of ${2 * rounds} moments of a container's life, once the successor has said hello`, async () => {
    const killAndLook = async (agent: AgentUnderTest): Promise<void> => {
      const { options } = agent;
      for (let round = 0; round < rounds; round++) {
        agent.process.kill("SIGKILL");
        await agent.restart();
        await agent.heard("hello");
        // What waits for its agent to speak sees the end of its pipe at about that time: on a busy machine a moment later.
        await expect
          .poll(() => tracesOf(options), { message: `round ${round} of ${lifeMs.toFixed(0)} ms`, timeout: 2_000 })
          .toEqual([]);
        live(agent).catch(() => {}); // killed under it
        await after((lifeMs * (round + Math.random())) / rounds); // any moment is a good one here
      }
      agent.process.stdin?.end();
      await agent.exited;
      expect(await tracesOf(options)).toEqual([]);
      expect(existsSync(options.run)).toBe(false);
      expect(await cgroupFolders(`hob-${options.key}`)).toEqual([]);
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(options.run);
    };
    await Promise.all(agents.map(killAndLook)); // each sweeps the other's folder while that one is dead, and never else
  }, 60_000);
});

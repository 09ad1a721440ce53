// ⑤ The FUSE daemon is upgraded by the agent's signal, from outside, while calls read an image of which a part has not arrived.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";
import { poolPaths } from "../../base/paths.ts";
import { createContentHasher } from "../../fusefs/image/chunks.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import type { Load } from "../../proto/gen/hob/v1/agents.ts";
import { hostImageRef } from "../../proto/image.ts";
import { views } from "../mount/mounted.ts";
import { type AgentUnderTest, callOf, cannotRun, pythonLoad, startAgent } from "./agent-process.ts";

if (cannotRun) console.warn(`upgrade tests are skipped: ${cannotRun}`);

const SMALL_FILES = 600;
const LARGE_BYTES = 24 << 20;
const LINE_BYTES = 16; // of the large file: its own offset

/** Reads one file that is not here, some that are, a page of the large one, again and again; says how often, and how long it waited at most. */
const source = `
import hashlib, json, os, random, time

def churn():
    fresh = sorted(name for name in os.listdir("/data") if name != "large")
    seen, rounds, worst, said = [], 0, 0.0, time.perf_counter()
    large = os.open("/data/large", os.O_RDONLY)
    while True:
        if fresh:
            seen.append(fresh.pop())
        for name in [seen[-1], *random.sample(seen, min(3, len(seen)))]:
            begin = time.perf_counter()
            with open("/data/" + name, "rb") as file:
                data = file.read()
            assert not os.path.exists("/data/none-" + str(rounds))
            worst = max(worst, time.perf_counter() - begin)
            assert hashlib.sha256(data).hexdigest() == name.split("-")[1], name
        at = random.randrange(${LARGE_BYTES / LINE_BYTES}) * ${LINE_BYTES}
        begin = time.perf_counter()
        line = os.pread(large, ${LINE_BYTES}, at)
        worst = max(worst, time.perf_counter() - begin)
        assert line == b"%015d\\n" % at, (line, at)
        rounds += 1
        if time.perf_counter() - said > 0.05:
            said = time.perf_counter()
            print(json.dumps({"rounds": rounds, "fresh": len(fresh), "worstMs": worst * 1000}), flush=True)
            worst = 0.0

def double(x):
    with open("/usr/bin/env", "rb") as file:
        return x * 2 if file.read(4) == b"\\x7fELF" else None
`;

interface Round {
  rounds: number;
  fresh: number;
  worstMs: number;
}

const folder = mkdtempSync(join(tmpdir(), "hob-upgrade-"));
const install = join(folder, "install");
const daemonFile = join(install, "dist/fusefs/daemon.js");

/** An installation of its own, to be broken: this one's bundle. */
function installHob(): void {
  mkdirSync(install);
  cpSync(join(installRoot, "dist"), join(install, "dist"), { recursive: true });
  for (const name of ["package.json", "node_modules", "sdk", "scripts", "bin"])
    symlinkSync(join(installRoot, name), join(install, name));
}

/** `hob agent`, as somebody starts it by hand. */
function startHobAgent(view: string, run: string): Promise<AgentUnderTest> {
  const state = join(folder, "state");
  const cache = join(folder, "cache");
  const env = {
    ...process.env,
    HOB_BACKFILL_MIB: "0",
    XDG_STATE_HOME: state,
    XDG_CACHE_HOME: cache,
    HOB_RUN_DIR: run,
    HOB_IMAGE_VIEW: view,
  };
  const store = join(cache, "hob/agents/node-a");
  const paths = poolPaths(install, join(state, "hob/agents/node-a"));
  return startAgent(store, { key: paths.key, run: join(run, paths.key), state: join(paths.state, "logs") }, ({ control, name }) =>
    spawn(process.execPath, ["--no-maglev", join(install, "dist/cli/main.js"), "agent", "--control", control, "--name", name], {
      stdio: ["pipe", "inherit", "inherit"],
      env,
    }),
  );
}

/** The host's image and a folder of files that control alone has. */
function makeImage(agent: AgentUnderTest, host: string, seed: string): string {
  const manifest = decodeManifest(openContentFolder(agent.options.store, { durable: false }).read(host));
  const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  const small = Array.from({ length: SMALL_FILES }, (_, index) => {
    const data = Buffer.from(`${seed} ${index} `.repeat(1 + ((index * 977) % 3000)));
    const digest = agent.put(data);
    return {
      kind: "file" as const,
      path: `data/${String(index).padStart(4, "0")}-${digest}`,
      digest,
      size: data.length,
      ...metadata,
    };
  });
  const large = Buffer.alloc(LARGE_BYTES);
  for (let at = 0; at < LARGE_BYTES; at += LINE_BYTES) large.write(`${String(at).padStart(LINE_BYTES - 1, "0")}\n`, at, "latin1");
  const hasher = createContentHasher();
  hasher.update(large);
  agent.put(large);
  const whole = { kind: "file" as const, path: "data/large", ...hasher.content(), ...metadata };
  return agent.put(encodeManifest([...entriesOfManifest(manifest), ...small, whole]));
}

describe.skipIf(cannotRun)("kill -USR2 of `hob agent`", () => {
  if (!cannotRun) installHob();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(views)("upgrades its FUSE daemon under calls that read (%s); one that does not start changes nothing", async (view) => {
    const run = mkdtempSync("/run/hob-test-");
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(run, { recursive: true, force: true }));
    const agent = stack.use(await startHobAgent(view, run));
    stack.defer(() => void agent.process.kill("SIGTERM"));
    await agent.heard("hello");
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    const image = makeImage(agent, (await agent.heard("image")).image?.digest ?? "", view);
    const resourceClass = { cpu: 0, memoryBytes: 256 * 2 ** 20, language: "python", gpu: "", network: "none" };
    agent.send({ $case: "pools", value: { pools: [{ image, resourceClass, warm: 2, reserve: 0, wanted: 0 }] } });
    const isWarm = ({ state }: { state: string }): boolean => state === "warm";
    const warm = (await agent.containersFit((present) => present.filter(isWarm).length === 2)).filter(isWarm);
    const [reading, answering] = warm.map(({ id }) => pythonLoad(id, source, ["churn", "double"]));
    if (!reading || !answering) throw new Error("there are no two containers");
    agent.send(callOf("00000000000000ff", reading, "churn", [], { withLoad: true }));

    const rounds: Round[] = [];
    const failures: string[] = [];
    agent.listen((message) => {
      if (message.$case === "logs")
        for (const { text } of message.value.lines) text.startsWith("{") ? rounds.push(JSON.parse(text)) : failures.push(text);
      else if (message.$case === "finished" && message.value.failure) failures.push(message.value.failure.message);
    });
    let calls = 0;
    async function callDouble(load: Load): Promise<void> {
      const call = (++calls).toString(16).padStart(16, "0");
      agent.send(callOf(call, load, "double", [calls], { withLoad: calls === 1 }));
      const { result } = await agent.heard("finished", (finished) => finished.call === call);
      expect(result?.json.toString()).toBe(String(calls * 2));
    }
    /** Both go on, and have seen nothing that is wrong. */
    async function goesOn(answering: Load): Promise<void> {
      const before = rounds.at(-1)?.rounds ?? 0;
      await callDouble(answering);
      await expect.poll(() => (rounds.at(-1)?.rounds ?? 0) > before + 1 || failures.length > 0, { interval: 5 }).toBe(true);
      expect(failures).toEqual([]);
    }
    const { process: outer, options } = agent;
    const agentLog = (): string => readFileSync(join(options.state, "agent.log"), "utf8");
    const upgrade = (): boolean => outer.kill("SIGUSR2");
    async function upgradeFrom(former: number, answering: Load): Promise<void> {
      upgrade();
      await expect.poll(() => agent.fusePid(), { interval: 5 }).not.toBe(former);
      await goesOn(answering);
      expect(Math.max(...rounds.map(({ worstMs }) => worstMs))).toBeLessThan(5_000);
    }

    await goesOn(answering);
    expect(rounds.at(-1)?.fresh).toBeGreaterThan(0); // some have not arrived
    const first = agent.fusePid();
    await upgradeFrom(first, answering);
    const second = agent.fusePid();

    renameSync(daemonFile, `${daemonFile}.whole`);
    writeFileSync(daemonFile, 'throw new Error("half of an installation");\n');
    upgrade();
    await expect.poll(agentLog, { interval: 5 }).toContain("does not start: it exited with code 1");
    await goesOn(answering);
    expect(agent.fusePid()).toBe(second);
    renameSync(`${daemonFile}.whole`, daemonFile);
    await upgradeFrom(second, answering);
    expect(agentLog()).not.toContain("the FUSE daemon died");
    expect(outer.exitCode).toBe(null);
  });
});

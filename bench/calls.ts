// Calls on warm containers, from client to client: one after the other, and two hundred a second beside a map that takes what it can get.
// The client is a session with control, as `hob call` has one; the function does nothing.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { installRoot } from "../base/install.ts";
import { silentLog } from "../base/log.ts";
import { connectEmbedded } from "../cli/embedded.ts";
import { openPoolCaller, type PoolCaller } from "../project/pool-caller.ts";
import { startDev } from "../test/drive/dev-process.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const source = `import hob

app = hob.App("bench")

@app.function()
def nothing(x):
    return x

@app.function()
def same(x):
    return x
`;
const rival = `import time
from concurrent.futures import ProcessPoolExecutor

def nothing(x):
    return x

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        pool.submit(nothing, 0).result()
        for n in range(500):
            begin = time.perf_counter()
            assert pool.submit(nothing, n).result() == n
            print((time.perf_counter() - begin) * 1000)
`;
const warmUp = 200;
const counted = 1_000;
const perSecond = 200;
const besideMs = 10_000;
const mapStartMs = 60_000;
const goingMs = 2_000; // a map that runs is meant, not one that begins: its containers are all there then
const mapInputs = 4_000_000; // more than it can do while we count

export async function calls(options: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  const environment = {
    XDG_STATE_HOME: join(work, "state"),
    XDG_CACHE_HOME: join(work, "cache"),
    XDG_CONFIG_HOME: join(work, "config"),
    HOB_LINGER_MS: "3000",
  };
  Object.assign(process.env, environment); // for connectEmbedded
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), source);
  writeFileSync(join(work, "rival.py"), rival);
  try {
    await using dev = startDev(project, ["--pin", "nothing", "--args", "[0]"], environment);
    await dev.next("ready", (line) => line.event === "ready");
    await using client = openPoolCaller({
      ...{ client: "bench", build: "", log: silentLog, connect: connectEmbedded({ lingerMs: 3_000 }) },
      ...{ progress() {}, output() {}, notice: options.say, link() {} },
    });
    options.say(`map call-warm: ${counted} calls, one after the other`);
    const warm = await oneByOne(client, options.say);
    const output = execFileSync("/usr/bin/python3", [join(work, "rival.py")], { encoding: "utf8" });
    options.say(`map call-beside-map: ${perSecond} calls a second for ${besideMs / 1000} s`);
    return [...warmRows(warm, output.trim().split("\n").map(Number)), besideRow(await besideMap(client, work, options.say))];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function oneCall(client: PoolCaller, n: number) {
  const call = await client.call("bench", "nothing", { positional: [n], keywords: {} }).finished;
  if (call.result?.json.toString() !== String(n)) throw new Error(`call ${n} answered ${JSON.stringify(call)}`);
  return call;
}

async function oneByOne(client: PoolCaller, say: (text: string) => void): Promise<number[]> {
  const times: number[] = [];
  const steps = new Map<string, number[]>();
  for (let n = 0; n < warmUp + counted; n++) {
    const begin = performance.now();
    const call = await oneCall(client, n);
    if (n < warmUp) continue;
    times.push(performance.now() - begin);
    for (const step of call.steps) steps.set(step.name, [...(steps.get(step.name) ?? []), step.ms]);
  }
  say(`  steps, p50 ms: ${[...steps].map(([name, samples]) => `${name} ${quantile(samples, 0.5).toFixed(2)}`).join("  ")}`);
  return times;
}

/** Each call is counted from when it was due, so that one which holds up the next does not hide it. */
async function besideMap(client: PoolCaller, work: string, say: (text: string) => void): Promise<number[]> {
  const inputs = join(work, "inputs.jsonl");
  const results = join(work, "results.jsonl");
  writeFileSync(inputs, Array.from({ length: mapInputs }, (_, n) => n).join("\n"));
  const flags = ["map", "app.py::same", "--inputs", inputs, "--out", results, "--json"];
  const map = spawn(join(installRoot, "bin/hob"), flags, { cwd: join(work, "project"), stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(map, "exit");
  let done = 0;
  const running = new Promise<void>((resolve) =>
    map.stdout.on("data", (data: Buffer) => {
      done = Number(/"succeeded":(\d+)(?!.*"succeeded")/s.exec(data.toString())?.[1] ?? done);
      if (done > 0) resolve();
    }),
  );
  const failed = (how: string) => Promise.reject(new Error(`call-beside-map: the map ${how}`));
  const late = new AbortController();
  const silent = after(mapStartMs, undefined, { signal: late.signal }).then(() => failed("has not begun"));
  silent.catch(() => {}); // it has begun
  try {
    await Promise.race([running, silent, ended.then(() => failed("has ended"))]);
  } catch (error) {
    map.kill("SIGKILL");
    throw error;
  }
  late.abort();
  await after(goingMs);
  const times: number[] = [];
  const before = done;
  const begin = performance.now();
  const calls: Promise<void>[] = [];
  for (let n = 0; n < (besideMs / 1000) * perSecond; n++) {
    const dueMs = begin + (n * 1000) / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await after(waitMs);
    calls.push(oneCall(client, n).then(() => void times.push(performance.now() - dueMs)));
  }
  await Promise.all(calls);
  const rate = ((done - before) / (performance.now() - begin)) * 1000;
  say(`  the map did ${Math.round(rate)} inputs a second meanwhile; calls p50 ${quantile(times, 0.5).toFixed(1)} ms`);
  if (map.exitCode !== null) throw new Error("call-beside-map: the map was done before the calls were");
  map.kill("SIGINT");
  await ended;
  return times;
}

function warmRows(times: number[], python: number[]): Row[] {
  const base = { bench: "map", row: "call-warm", unit: "ms" as const, rival: "ProcessPoolExecutor, one process" };
  const p50 = { stat: "p50" as const, value: quantile(times, 0.5), rivalValue: quantile(python, 0.5) };
  const p99 = { stat: "p99" as const, value: quantile(times, 0.99), rivalValue: quantile(python, 0.99) };
  return [makeRow({ ...base, ...p50 }, { atMost: 3 }), makeRow({ ...base, ...p99 }, { atMost: 10 })];
}

const besideRow = (times: number[]): Row =>
  makeRow({ bench: "map", row: "call-beside-map", unit: "ms", stat: "p99", value: quantile(times, 0.99) }, { atMost: 25 });

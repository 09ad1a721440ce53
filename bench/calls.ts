// A call on a warm container, from client to client: a session with control, as `hob call` has one, and a function that does nothing.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../base/log.ts";
import { connectEmbedded } from "../cli/embedded.ts";
import { openPoolCaller } from "../project/pool-caller.ts";
import { startDev } from "../test/drive/dev-process.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const source = `import hob\n\napp = hob.App("bench")\n\n@app.function()\ndef nothing(x):\n    return x\n`;
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

export async function warmCalls(options: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  const environment = {
    XDG_STATE_HOME: join(work, "state"),
    XDG_CACHE_HOME: join(work, "cache"),
    XDG_CONFIG_HOME: join(work, "config"),
    HOB_LINGER_MS: "3000",
  };
  Object.assign(process.env, environment);
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), source);
  writeFileSync(join(work, "rival.py"), rival);
  try {
    options.say(`map call-warm: ${counted} calls, one after the other`);
    await using dev = startDev(project, ["--pin", "nothing", "--args", "[0]"], environment);
    await dev.next("ready", (line) => line.event === "ready");
    await using client = openPoolCaller({
      ...{ client: "bench", build: "", log: silentLog, connect: connectEmbedded({ lingerMs: 3_000 }) },
      ...{ progress() {}, output() {}, notice: options.say, link() {} },
    });
    const times: number[] = [];
    const steps = new Map<string, number[]>();
    for (let n = 0; n < warmUp + counted; n++) {
      const begin = performance.now();
      const call = await client.call("bench", "nothing", { positional: [n], keywords: {} }).finished;
      const ms = performance.now() - begin;
      if (call.result?.json.toString() !== String(n)) throw new Error(`call-warm: call ${n} answered ${JSON.stringify(call)}`);
      if (n < warmUp) continue;
      times.push(ms);
      for (const step of call.steps) steps.set(step.name, [...(steps.get(step.name) ?? []), step.ms]);
    }
    options.say(
      `  steps, p50 ms: ${[...steps].map(([name, samples]) => `${name} ${quantile(samples, 0.5).toFixed(2)}`).join("  ")}`,
    );
    const python = execFileSync("/usr/bin/python3", [join(work, "rival.py")], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map(Number);
    const base = { bench: "map", row: "call-warm", unit: "ms" as const, rival: "ProcessPoolExecutor, one process" };
    return (
      [
        ["p50", 0.5, 3],
        ["p99", 0.99, 10],
      ] as const
    ).map(([stat, q, atMost]) =>
      makeRow({ ...base, stat, value: quantile(times, q), rivalValue: quantile(python, q) }, { atMost }),
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// `hob map` on a real pool: files in and out, failures, and a command that is killed while its map runs.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { makeWorkplace, type Workplace } from "../drive/workplace.ts";

const hob = join(installRoot, "bin/hob");

const source = `import time
import hob

app = hob.App("mapped")

@app.function()
def act(x):
    if x == 13:
        print("thirteen")
        raise ValueError("unlucky")
    return x * 2

@app.function()
def steady(x):
    time.sleep(0.0005)
    return x

@app.function()
def add(x, y=10):
    return x + y

@app.function()
def collect(n):
    pairs = list(add.starmap((x, x) for x in range(n)))
    return [sum(pairs), len(list(act.map(range(20), ordered=False, return_exceptions=True)))]

@app.local()
def main():
    spawned = act.spawn_map(range(5))
    return [sum(act.map(range(10))), spawned.get(), collect.remote(3000)]
`;

describe.skipIf(!rootWithContainers())("hob map", () => {
  let place: Workplace;

  beforeAll(() => {
    place = makeWorkplace({ "app.py": source });
  });
  afterAll(async () => {
    await promisify(execFile)(hob, ["pool", "stop", "--now"], { env: { ...process.env, ...place.environment } });
    place[Symbol.dispose]();
  });

  const start = (...args: string[]): ChildProcess =>
    spawn(hob, args, {
      cwd: place.project,
      env: { ...process.env, ...place.environment, HOB_LINGER_MS: "60000" },
      stdio: ["pipe", "pipe", "pipe"],
    });

  async function ended(child: ChildProcess, input = ""): Promise<{ code: number | null; out: string; said: string }> {
    let [out, said] = ["", ""];
    child.stdout?.on("data", (text) => (out += text));
    child.stderr?.on("data", (text) => (said += text));
    child.stdin?.end(input);
    const [code] = (await once(child, "close")) as [number | null];
    return { code, out, said };
  }

  const file = (name: string): string => join(place.project, name);
  const linesOf = (text: string): { index: number; value?: unknown; error?: { type: string } }[] =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { index: number });

  test("reads lines and writes lines, in order, from stdin too, with each input's failure and the exit code", async () => {
    const numbers = [...Array(1000).keys()];
    const { code, out, said } = await ended(start("map", "app.py::act", "--inputs", "-"), `${numbers.join("\n")}\n\n`);
    expect(said).toMatch(/succeeded: 999 done, 1 failed/);
    const logs = await ended(start("logs", "--call", /--resume ([0-9a-f]{16})/.exec(said)?.[1] ?? ""));
    expect(logs.out).toMatch(/ mapped\/act\[13\] {3}thirteen$/m);
    expect(code).toBe(1);
    const lines = linesOf(out);
    expect(lines.map(({ index }) => index)).toEqual(numbers);
    expect(lines[13]?.error).toMatchObject({ kind: "exception", type: "ValueError", message: "unlucky" });
    expect(lines.filter(({ index, value }) => index !== 13 && value !== index * 2)).toEqual([]);
    const star = await ended(
      start("map", "app.py::add", "--star", "--inputs", "-", "--unordered"),
      '[1]\n[1, 2]\n{"x": 5, "y": 6}',
    );
    expect(star.code).toBe(0);
    expect(new Set(linesOf(star.out).map(({ index, value }) => `${index} ${value}`))).toEqual(new Set(["0 11", "1 3", "2 11"]));
    const wrong = await ended(start("map", "app.py::act", "--inputs", "-", "--json"), "1\nnot json\n");
    expect([wrong.code, wrong.said]).toEqual([2, expect.stringContaining("stdin:2 is not JSON: write one JSON value a line")]);
  }, 120_000);

  test("goes on after kill -9: no input twice in the file, none missing, whatever the last line was", async () => {
    const count = 20_000;
    writeFileSync(file("in.jsonl"), `${[...Array(count).keys()].join("\n")}\n`);
    const files = ["--inputs", "in.jsonl", "--out", "out.jsonl"];
    const first = start("map", "app.py::steady", ...files);
    let said = "";
    first.stderr?.on("data", (text) => (said += text));
    await expect.poll(() => sizeOf(file("out.jsonl")), { timeout: 60_000, interval: 5 }).toBeGreaterThan(20_000);
    first.kill("SIGKILL");
    await once(first, "close");
    const id = /--resume ([0-9a-f]{16})/.exec(said)?.[1] ?? "";
    const before = readFileSync(file("out.jsonl"), "utf8");
    expect(before.split("\n").length).toBeLessThan(count);
    writeFileSync(file("out.jsonl"), `${before}{"index":9`); // as if it had been killed within a line
    const second = await ended(start("map", "--resume", id, ...files));
    expect([second.code, second.said]).toEqual([0, expect.stringContaining(`${count} done`)]);
    const lines = linesOf(readFileSync(file("out.jsonl"), "utf8"));
    expect(lines.length).toBe(count);
    expect(lines.every(({ index, value }, at) => index === at && value === at)).toBe(true);
    const again = await ended(start("map", "--resume", id, ...files));
    expect(again.code).toBe(0);
    expect(linesOf(readFileSync(file("out.jsonl"), "utf8")).length).toBe(count);
    expect((await ended(start("map", "--resume", "00000000000000ff", ...files))).code).toBe(3);
  }, 120_000);

  // In the field: the file was published with the project, emptied meanwhile, and the map failed for a content that was not what it had been.
  test("writes over a large file of an earlier map that lies in the project", async () => {
    writeFileSync(file("former.jsonl"), '{"index":0,"value":0}\n'.repeat(500_000));
    const { code, said } = await ended(start("map", "app.py::steady", "--inputs", "-", "--out", "former.jsonl"), "1\n2\n");
    expect([code, said]).toEqual([0, expect.stringContaining("2 done")]);
    expect(linesOf(readFileSync(file("former.jsonl"), "utf8")).map(({ value }) => value)).toEqual([1, 2]);
  }, 60_000);

  test("ctrl-c cancels the map", async () => {
    const child = start("map", "app.py::steady", "--inputs", "in.jsonl", "--json");
    const end = ended(child);
    let out = "";
    child.stdout?.on("data", (text) => (out += text));
    await expect.poll(() => out, { timeout: 60_000 }).toContain('"index":0');
    child.kill("SIGINT");
    const { code, said } = await end;
    expect([code, said]).toEqual([3, expect.stringMatching(/map [0-9a-f]{16} was cancelled/)]);
  }, 60_000);

  test("functions and local entries map, too", async () => {
    const { code, out, said } = await ended(start("run", "app.py"));
    expect([code, said]).toEqual([0, expect.anything()]);
    expect(JSON.parse(out)).toEqual([90, [0, 2, 4, 6, 8], [8_997_000, 20]]);
  }, 60_000);
});

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0; // not there yet
  }
}

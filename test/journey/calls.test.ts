// Functions that call functions, in both languages, on a real pool: what they wait for, and what goes on without them.

import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { makeWorkplace, type Workplace } from "../drive/workplace.ts";

const run = promisify(execFile);
const hob = join(installRoot, "bin/hob");

const python = `import time
import hob

app = hob.App("family")

@app.function()
def slow(x):
    time.sleep(0.5)
    return x * 2

@app.function()
def start(x):
    return slow.spawn(x).id

@app.function()
def total(n):
    return sum(slow.map(range(n)))

@app.function()
def long(mebibytes):
    return "x" * (mebibytes << 20)

@app.function()
def length(text):
    return len(text)

@app.function()
def passed_on(mebibytes):
    return length.remote(long.remote(mebibytes))

@app.function(max_containers=1)
def deep(n):
    return 0 if n == 0 else 1 + deep.remote(n - 1)

@app.function(max_containers=1)
def ping(n):
    return 0 if n == 0 else 1 + hob.Function.from_name("family", "pong").remote(n - 1)

@app.function(max_containers=1)
def later(n):
    return 0 if n == 0 else 1 + later.spawn(n - 1).get()

@app.function(max_containers=1)
def pong(n):
    return 0 if n == 0 else 1 + ping.remote(n - 1)

@app.function(max_containers=2)
def fan(n):
    return sum(length.map(["y" * n] * 3))

@app.function()
def crowd(n):
    return sum(fan.map(range(n)))

@app.function(retries=hob.Retries(count=3, delay="300ms", backoff=2))
def flaky(path):
    import os, pathlib
    tries = pathlib.Path("/tmp/tries")
    count = int(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text(str(count))
    if count < 3:
        raise ValueError(f"try {count}")
    return count

@app.function()
def across(word):
    return hob.Function.from_name("family", "shout").remote(word)

@app.local()
def main():
    return [len(long.remote(3)), length.remote("y" * (4 << 20)), passed_on.remote(5)]
`;

const typescript = `import { App, functionFromName } from "hob";

const app = new App("family");
export const shout = app.function({}, (word: string) => word.toUpperCase() + "!");
export const shoutAll = app.function({}, async (words: string[]) => {
  const loud: string[] = [];
  for await (const word of shout.map(words)) loud.push(word);
  return loud;
});
export const countDown = app.function({ maxContainers: 1 }, async (n: number): Promise<number> =>
  n === 0 ? 0 : 1 + (await functionFromName<[number], number>("family", "countDown").spawn(n - 1).get()));
export const double = app.function({}, (x: number) => functionFromName<[number], number>("family", "slow").remote(x));
`;

describe.skipIf(!rootWithContainers())("functions that call functions", () => {
  let place: Workplace;
  beforeAll(() => {
    place = makeWorkplace({ "app.py": python, "app.ts": typescript, ".hobignore": "" });
    place.environment["HOB_LINGER_MS"] = "20000";
  });
  afterAll(async () => {
    await run(hob, ["pool", "stop"], { env: { ...process.env, ...place.environment } });
    place[Symbol.dispose]();
  });
  const said = async (...argv: string[]): Promise<string> => {
    const options = { cwd: place.project, env: { ...process.env, ...place.environment }, maxBuffer: 64 << 20 };
    return (await run(hob, argv, options)).stdout;
  };
  const ask = async (...argv: string[]): Promise<unknown> => JSON.parse(await said(...argv));
  const rows = async (...argv: string[]): Promise<unknown[]> =>
    (await said(...argv))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);

  test("a map's results are in order, over several containers", async () => {
    expect(await ask("run", "app.py::total", "[4]")).toBe(12);
    expect(await ask("run", "app.ts::shoutAll", '[["a","b","c"]]')).toEqual(["A!", "B!", "C!"]);
  });

  test("one language calls the other", async () => {
    expect(await ask("run", "app.py::across", '["hello"]')).toBe("HELLO!");
    expect(await ask("run", "app.ts::double", "[21]")).toBe(42);
  });

  test("values of many MiB go by the store: in, out, from function to function, and are fetched when they are wanted", async () => {
    expect(await ask("run", "app.py")).toEqual([3 << 20, 4 << 20, 5 << 20]);
    const [call] = (await rows("calls", "family/long", "--limit", "1", "--json")) as { number: number; valueBytes: number }[];
    expect(call!.valueBytes).toBe((5 << 20) + 2);
    expect(await ask("calls", String(call!.number), "--result")).toHaveLength(5 << 20);
    await expect(ask("run", "app.py::long", "[65]")).rejects.toMatchObject({
      stderr: expect.stringContaining("long: the result is 65.0 MiB as JSON, and the limit value-bytes is 64 MiB: return less"),
    });
  });

  test("a function that fails is tried again after the waits that it declares, which are told", async () => {
    const flaky = await run(hob, ["call", "family/flaky", "[1]"], { env: { ...process.env, ...place.environment } });
    expect(flaky.stdout).toBe("3\n");
    expect(flaky.stderr.match(/attempt \d failed \(ValueError: try \d\), again in 1 s/g)).toHaveLength(2);
  });

  test("functions that may have one container answer a recursion of depth 20, alone and in pairs, and a crowd its children", async () => {
    expect(await ask("call", "family/deep", "[20]")).toBe(20);
    expect(await ask("call", "family/ping", "[20]")).toBe(20);
    expect(await ask("call", "family/later", "[5]")).toBe(5); // each spawns the next, and then waits for it
    expect(await ask("call", "family/countDown", "[5]")).toBe(5);
    expect(await ask("call", "family/crowd", "[8]")).toBe((8 * 7 * 3) / 2);
  });

  // In the field: control ended a spawned call with the function that had spawned it, for it could not tell the two ways apart.
  test("what was spawned goes on when its caller has returned", async () => {
    const id = (await ask("run", "app.py::start", "[21]")) as string;
    for (;;) {
      const { stdout } = await run(hob, ["calls", "--json"], { env: { ...process.env, ...place.environment } });
      const call = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { call?: string; state?: string; value?: unknown })
        .find((row) => row.call === id);
      expect(call?.state).not.toBe("cancelled");
      if (call?.state !== "succeeded") continue;
      expect(call.value).toBe(42);
      return;
    }
  });

  test("what is deployed stays as it was while the project is edited, calls its own version, and can be gone back to", async () => {
    const [first] = (await rows("deploy", "--note", "first", "--json")) as { number: number; functions: unknown[] }[];
    expect(first).toMatchObject({ app: "family", number: 1, live: true, note: "first" });
    writeFileSync(join(place.project, "app.py"), python.replace("return x * 2", "return x * 3"));
    expect(await ask("run", "app.py::total", "[2]")).toBe(3);
    expect(await ask("call", "family/total", "[2]")).toBe(2); // and `slow`, which it calls, is the deployed one
    const [second] = (await rows("deploy", "--json")) as { changes: { function: string; kind: string }[] }[];
    expect(second!.changes.map(({ function: name, kind }) => `${name} ${kind}`)).toContain("slow changed");
    expect(await ask("call", "family/total", "[2]")).toBe(3);
    expect(await rows("rollback", "family", "--json")).toMatchObject([{ number: 3, of: 1, live: true }]);
    expect(await ask("call", "family/total", "[2]")).toBe(2);
    expect(await ask("call", "family@2/total", "[2]")).toBe(3);
  });
});

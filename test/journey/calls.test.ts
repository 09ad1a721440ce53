// Functions that call functions, in both languages, on a real pool: what they wait for, and what goes on without them.

import { execFile } from "node:child_process";
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
def across(word):
    return hob.Function.from_name("family", "shout").remote(word)
`;

const typescript = `import { App, functionFromName } from "hob";

const app = new App("family");
export const shout = app.function({}, (word: string) => word.toUpperCase() + "!");
export const shoutAll = app.function({}, async (words: string[]) => {
  const loud: string[] = [];
  for await (const word of shout.map(words)) loud.push(word);
  return loud;
});
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
  const ask = async (...argv: string[]): Promise<unknown> => {
    const { stdout } = await run(hob, argv, { cwd: place.project, env: { ...process.env, ...place.environment } });
    return JSON.parse(stdout);
  };

  test("a map's results are in order, over several containers", async () => {
    expect(await ask("run", "app.py::total", "[4]")).toBe(12);
    expect(await ask("run", "app.ts::shoutAll", '[["a","b","c"]]')).toEqual(["A!", "B!", "C!"]);
  });

  test("one language calls the other", async () => {
    expect(await ask("run", "app.py::across", '["hello"]')).toBe("HELLO!");
    expect(await ask("run", "app.ts::double", "[21]")).toBe(42);
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
});

// ⑥ Maps in both runners: inputs of a map in a process, and the maps that functions make.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Harness, type Language, languages, startHarness } from "./harness.ts";
import { createMapPool } from "./map-pool.ts";

const programs: Record<Language, Record<string, string>> = {
  python: {
    "app.py": `import asyncio, logging, os, signal, sys, time
import hob

app = hob.App("test")
far = hob.Function.from_name("elsewhere", "far")
logging.basicConfig(level=logging.INFO, format="%(message)s")


@app.function()
def act(what):
    if isinstance(what, int):
        return what * 2
    if what == "print":
        print("one", what)
        logging.info("logged")
        os.write(1, b"raw\\n")
        sys.stdout.write("no end")
        return "printed"
    if what == "raise":
        raise ValueError("no " + what)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(7)
    if what == "hang":
        while True:
            time.sleep(1)
    return {1, 2}.__len__


@app.function()
async def gently(value):
    await asyncio.sleep(0.001)
    return value


@app.function()
def ask_all(count):
    return list(far.map(range(count)))


@app.function()
def ask_each(how):
    pairs = ((number, number) for number in range(300))
    results = list(far.starmap(pairs, ordered=how != "unordered", return_exceptions=True))
    return [str(result)[:12] if isinstance(result, hob.RemoteError) else result for result in results]


@app.function()
def ask_until_bad():
    seen = []
    try:
        for result in far.map(iter(int, 1)):
            seen.append(result)
            if len(seen) == 3000:
                break
    except hob.RemoteError as error:
        seen = [len(seen), error.kind]
    return seen[:2]


@app.function()
def ask_later(count):
    spawned = far.spawn_map(str(number) for number in range(count))
    return [len(spawned.id), spawned.get()]


@app.function()
def ask_async():
    async def slowly():
        for number in range(3):
            await asyncio.sleep(0.02)
            yield number
    return list(far.map(slowly()))
`,
  },
  typescript: {
    "app.ts": `import { writeSync } from "node:fs";
import { App, functionFromName } from "hob";

const app = new App("test");
const far = functionFromName<any[], any>("elsewhere", "far");

export const act = app.function({}, (what: any) => {
  if (typeof what === "number") return what * 2;
  if (what === "print") {
    console.log("one", what);
    console.error("logged");
    writeSync(1, "raw\\n");
    process.stdout.write("no end");
    return "printed";
  }
  if (what === "raise") throw new RangeError("no " + what);
  if (what === "die") {
    process.kill(process.pid, "SIGKILL");
    for (;;);
  }
  if (what === "exit") process.exit(7);
  if (what === "hang") for (;;);
  return () => 0;
});

export const gently = app.function({}, async (value: unknown) => {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return value;
});

async function all(results: AsyncIterable<unknown>) {
  const found = [];
  for await (const result of results) found.push(result instanceof Error ? String(result.message).slice(0, 12) : result);
  return found;
}

export const ask_all = app.function({}, (count: number) => all(far.map(Array(count).keys())));

export const ask_each = app.function({}, (how: string) => {
  const pairs = Array.from({ length: 300 }, (_, number) => [number, number]);
  return all(far.starmap(pairs, { ordered: how !== "unordered", returnExceptions: true }));
});

export const ask_until_bad = app.function({}, async () => {
  let seen: any[] = [];
  function* forever() { for (;;) yield 0; }
  try {
    for await (const result of far.map(forever())) {
      seen.push(result);
      if (seen.length === 3000) break;
    }
  } catch (error: any) {
    seen = [seen.length, error.kind];
  }
  return seen.slice(0, 2);
});

export const ask_later = app.function({}, async (count: number) => {
  const spawned = await far.spawnMap(Array.from({ length: count }, (_, number) => String(number)));
  return [spawned.id.length, await spawned.get()];
});

export const ask_async = app.function({}, () => {
  async function* slowly() {
    for (let number = 0; number < 3; number++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield number;
    }
  }
  return all(far.map(slowly()));
});
`,
  },
};

const names = ["act", "gently", "ask_all", "ask_each", "ask_until_bad", "ask_later", "ask_async"];

describe.each(languages)("maps in the %s runner", (language) => {
  let harness: Harness;
  let snapshot: string;

  beforeAll(async () => {
    harness = await startHarness(language);
    const module = Object.keys(programs[language])[0];
    const loaded = await harness.load(
      programs[language],
      names.map((name) => `${module}::${name}`),
    );
    expect(loaded.failure).toBeUndefined();
    snapshot = loaded.snapshot;
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  it("runs many inputs in order, in few frames, each with its own failure", async () => {
    let frames = 0;
    const inputs = Array.from({ length: 3000 }, (_, number) => (number === 1500 ? "raise" : number === 1501 ? "odd" : number));
    const run = harness.inputs(snapshot, "act", inputs, { heard: () => frames++ });
    expect(await run.ended).toEqual({ droppedBytes: 0 });
    const seen = run.values() as [number, unknown][];
    expect(seen.map(([index]) => index)).toEqual([...inputs.keys()]);
    expect(seen.filter(([index]) => index < 1500 || index > 1501).every(([index, value]) => value === index * 2)).toBe(true);
    expect(seen[1500]?.[1]).toBe("exception: no raise");
    expect(run.results[1500]?.failure?.traceback).toMatch(language === "python" ? /app.py", line \d+, in act/ : /at .*\(app.ts:/);
    expect(seen[1501]?.[1]).toMatch(/^encoding: act: result is a/);
    expect(frames).toBeLessThan(300);
    const slow = harness.inputs(snapshot, "gently", ["a", "b", "c"]);
    await slow.ended;
    expect(slow.values()).toEqual([[0, "a"], [1, "b"], [2, "c"]]); // biome-ignore format: as a list
  });

  it("says of every line which input wrote it, before that input's result", async () => {
    const run = harness.inputs(snapshot, "act", [1, "print", 2], {
      map: "talks",
      heard: () => expect(harness.output.some(({ text }) => text === "no end")).toBe(true),
    });
    await run.ended;
    const lines = harness.output.filter(({ call }) => call === "talks");
    expect(lines.filter(({ text }) => text !== "raw").map(({ index, text }) => [index, text])).toEqual([
      [1, "one print"],
      [1, "logged"],
      [1, "no end"],
    ]);
    expect(lines.find(({ text }) => text === "raw")).toBeDefined();
  });

  it.each([
    ["die", /^signal: the process that ran the input was ended by signal 9/],
    ["exit", /^exit: the process that ran the input exited with code 7/],
  ])("gives the failure to the input that ended its process (%s), and the rest back", async (what, failure) => {
    const run = harness.inputs(snapshot, "act", [1, 2, 3, what, 5, 6]);
    expect(await run.ended).toEqual({ droppedBytes: 0 });
    const seen = run.values() as [number, string][];
    expect(seen.at(-1)?.[0]).toBe(3);
    expect(seen.at(-1)?.[1]).toMatch(failure);
    expect(seen.some(([index]) => index > 3)).toBe(false);
    const after = harness.inputs(snapshot, "act", [21]);
    await after.ended;
    expect(after.values()).toEqual([[0, 42]]);
  });

  it("ends an input at its timeout, and at a cancel all of them", async () => {
    const late = harness.inputs(snapshot, "act", [1, "hang", 2], { timeoutMs: 500 });
    expect(await late.ended).toEqual({ droppedBytes: 0 });
    expect(late.values().at(-1)).toEqual([1, "timeout: the input was still running after 0.5 s, its function's timeout"]);
    const running = harness.inputs(snapshot, "act", ["print", "hang"], { map: "hangs" });
    const queued = harness.inputs(snapshot, "act", [1]);
    await harness.line("one print");
    queued.cancel();
    expect((await queued.ended).failure?.kind).toBe("cancelled");
    running.cancel();
    expect((await running.ended).failure?.kind).toBe("cancelled");
  });

  it("lets a function map: in order, unordered, endless, with failures, spawned, and from an asynchronous source", async () => {
    const failure = { kind: "timeout", type: "", message: "too slow", traceback: "", frames: [] };
    const pool = createMapPool(
      (head, payload) => harness.runner.mapNews(head, payload),
      ([first, second]) => {
        if (first === 7 && second === 7) throw failure;
        return first;
      },
    );
    harness.onMap = pool.hear;
    const all = [...Array(1000).keys()];
    expect((await harness.call(snapshot, "ask_all", [1000], { id: "asks" })).value).toEqual(all);
    expect(pool.most).toBeLessThanOrEqual(64);
    expect(pool.opened[0]).toMatchObject({
      parent: "asks",
      app: "elsewhere@live",
      function: "far",
      ordered: true,
      spawned: false,
    });
    expect((await harness.call(snapshot, "ask_all", [0])).value).toEqual([]);
    const some = all.slice(0, 300).map((number) => (number === 7 ? "too slow" : number));
    expect((await harness.call(snapshot, "ask_each", ["ordered"])).value).toEqual(some);
    const unordered = (await harness.call(snapshot, "ask_each", ["unordered"])).value as unknown[];
    expect(unordered).not.toEqual(some);
    expect(new Set(unordered)).toEqual(new Set(some));
    expect((await harness.call(snapshot, "ask_until_bad")).value).toEqual([0, 0]);
    expect(pool.cancelled).toEqual([pool.opened.at(-1)?.map]);
    expect((await harness.call(snapshot, "ask_later", [500])).value).toEqual([16, all.slice(0, 500).map(String)]);
    expect(pool.opened.at(-1)).toMatchObject({ spawned: true });
    expect((await harness.call(snapshot, "ask_async")).value).toEqual([0, 1, 2]);
    harness.onMap = ({ name, head }) => {
      if (name === "map") harness.runner.mapNews({ map: head.map, until: 9, finished: true, failure });
    };
    expect((await harness.call(snapshot, "ask_until_bad")).value).toEqual([0, "timeout"]);
  });
});

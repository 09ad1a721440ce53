// ⑥ New code in live Python processes: what stays, what is moved, when a fresh process is taken instead.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LoadRequest, Patch } from "../../agent/runner/runner.ts";
import { type Harness, startHarness } from "./harness.ts";

const model = `import os
import hob
app = hob.App("test")
SEEN = []
WEIGHTS = os.urandom(8).hex()

def scale(x):
    return x * 2

@app.function()
def predict(x):
    SEEN.append(x)
    return [scale(x), len(SEEN), WEIGHTS, os.getpid()]

@app.function()
def plain(x):
    return ["plain", x, os.getpid()]

@app.function()
def fail():
    raise ValueError("here")

@app.function()
async def wait(path):
    import asyncio
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    return os.getpid()
`;

const functions = ["app.py::predict", "app.py::plain", "app.py::fail", "app.py::wait"];

/** Where a definition of `text` begins and ends: from its first decorator to before the next blank line. */
function unit(text: string, name: string) {
  const lines = text.split("\n");
  const plain = name.split(".").at(-1);
  const def = lines.findIndex((line) => new RegExp(`^\\s*(async )?def ${plain}\\(`).test(line));
  let line = def;
  while (/^\s*@/.test(lines[line - 1] ?? "")) line--;
  const blank = lines.findIndex((text, at) => at > def && text.trim() === "");
  return { path: "app.py", name, line: line + 1, endLine: blank < 0 ? lines.length : blank };
}

describe("a patch of a live python process", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness("python");
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  async function patch(text: string, base: string, names: string[], units: string[], options: Partial<Patch> = {}) {
    const request = await harness.prepare(
      { "app.py": text },
      names.map((name) => `app.py::${name}`),
    );
    const whole: Patch = {
      ...{ base, functions: names, keep: "all", bundle: "" },
      units: units.map((name) => unit(text, name)),
      ...options,
    };
    return { snapshot: request.snapshot, ...(await harness.runner.load({ ...request, patches: [whole] })) };
  }
  const call = async (snapshot: string, name: string, ...args: unknown[]) => (await harness.call(snapshot, name, args)).value;

  it("goes over the last patch when it is roused, which runs nothing and changes nothing", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const [, , weights, pid] = (await call(first.snapshot, "predict", 1)) as unknown[];
    let { snapshot: base } = first;
    for (const factor of [3, 5]) {
      const edited = model.replace("x * 2", `x * ${factor}`);
      base = (await patch(edited, base, ["predict"], ["scale"])).snapshot;
      harness.runner.rouse();
      expect(await call(base, "predict", 1)).toEqual([factor, factor === 3 ? 2 : 3, weights, pid]);
      harness.runner.rouse();
    }
    expect(((await call(first.snapshot, "plain", 7)) as unknown[])[2]).toBe(pid);
  });

  it("replaces bodies in the process that serves, whose state and number stay", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const [, , weights, pid] = (await call(first.snapshot, "predict", 1)) as unknown[];
    const edited = model.replace("x * 2", "x * 10");
    const second = await patch(edited, first.snapshot, ["predict"], ["scale"]);
    expect(second).toMatchObject({ tier: "patch", reason: "" });
    expect(await call(second.snapshot, "predict", 1)).toEqual([10, 2, weights, pid]);
    expect(((await call(first.snapshot, "plain", 7)) as unknown[])[2]).toBe(pid);
  });

  it("shows the lines of the new text below what has grown", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    await call(first.snapshot, "plain", 1);
    const edited = model.replace("    return x * 2", "    # a comment\n    y = x * 3\n    return y");
    const second = await patch(edited, first.snapshot, ["predict"], ["scale"]);
    expect(second.tier).toBe("patch");
    const { failure } = await harness.call(first.snapshot, "fail");
    const at = edited.split("\n").findIndex((line) => line.includes("raise ValueError")) + 1;
    expect(failure?.frames.at(-1)).toMatchObject({ line: at, source: 'raise ValueError("here")' });
  });

  it("gives a call's leftovers up where they may come of the former code: then a fresh process serves, and says why", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const [, , , pid] = (await call(first.snapshot, "predict", 1)) as unknown[];
    const second = await patch(model.replace("x * 2", "x * 10"), first.snapshot, ["predict"], ["scale"], { keep: "loaded" });
    expect(second).toMatchObject({ tier: "fork", reason: "its calls may have kept what the former code computed" });
    const [value, seen, , other] = (await call(second.snapshot, "predict", 1)) as unknown[];
    expect([value, seen]).toEqual([10, 1]);
    expect(other).not.toBe(pid);
  });

  it("patches a process that no call has touched, whatever calls may keep", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const second = await patch(model.replace("x * 2", "x * 10"), first.snapshot, ["predict"], ["scale"], { keep: "loaded" });
    expect(second.tier).toBe("patch");
    expect(((await call(second.snapshot, "predict", 1)) as unknown[]).slice(0, 2)).toEqual([10, 1]);
  });

  it("lets a call under way finish on its code and takes a fresh process beside it", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const waiting = harness.call(first.snapshot, "wait", [`${harness.root}/go`]);
    await expect.poll(() => harness.started.length).toBe(1);
    const second = await patch(model.replace("x * 2", "x * 10"), first.snapshot, ["predict"], ["scale"]);
    expect(second).toMatchObject({ tier: "fork", reason: "predict was running a call" });
    expect(((await call(second.snapshot, "predict", 1)) as unknown[])[0]).toBe(10);
    harness.go();
    expect((await waiting).failure).toBeUndefined();
  });

  it("falls to a fork, with the reason, when the definition is not what was announced", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    await call(first.snapshot, "predict", 1);
    const edited = model.replace("def scale(x):\n    return x * 2", "scale = lambda x: x * 4");
    const second = await patch(edited, first.snapshot, ["predict"], [], {
      units: [{ path: "app.py", name: "scale", line: 7, endLine: 8 }],
    });
    expect(second.tier).toBe("fork");
    expect(second.reason).toMatch(/scale/);
    expect(((await call(second.snapshot, "predict", 1)) as unknown[])[0]).toBe(4);
  });

  it("goes on through many saves in one process, and serves a call that came with each", async () => {
    let { snapshot } = await harness.load({ "app.py": model }, functions);
    const [, , , pid] = (await call(snapshot, "predict", 1)) as unknown[];
    for (let round = 3; round < 40; round++) {
      const next = await patch(model.replace("x * 2", `x * ${round}`), snapshot, ["predict"], ["scale"]);
      expect(next).toMatchObject({ tier: "patch" });
      snapshot = next.snapshot;
      expect(await call(snapshot, "predict", 1)).toMatchObject([round, round - 1, expect.anything(), pid]);
    }
  });

  it("starts what still serves again when its process has died, with the newest code", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    const [, , pid] = (await call(first.snapshot, "plain", 1)) as number[];
    const second = await patch(model.replace("x * 2", "x * 10"), first.snapshot, ["predict"], ["scale"]);
    process.kill(pid!, "SIGKILL");
    await harness.line("while it was idle");
    expect(((await call(second.snapshot, "predict", 1)) as unknown[])[0]).toBe(10);
    expect(((await call(first.snapshot, "plain", 7)) as unknown[])[1]).toBe(7);
  });

  it("tells when nobody has a retired snapshot any more", async () => {
    const first = await harness.load({ "app.py": model }, functions);
    await call(first.snapshot, "plain", 1);
    await harness.load({ "app.py": `${model}\nX = 1\n` }, functions, [first.snapshot]);
    await expect.poll(() => harness.unloaded).toEqual([first.snapshot]);
  });

  // In the field: on a fast machine saves followed each other within the 10 ms of rest that forgetting waited for, and a runner kept every snapshot.
  it("forgets what is retired also when it never rests", async () => {
    const requests: LoadRequest[] = [];
    for (const round of Array(60).keys()) {
      const text = model.replace("x * 2", `x * ${round}`);
      const base = requests.at(-1)?.snapshot;
      const request = await harness.prepare({ "app.py": text }, ["app.py::predict"], base ? [base] : []);
      const patch = { functions: ["predict"], keep: "all" as const, bundle: "", units: [unit(text, "scale")] };
      requests.push(base ? { ...request, patches: [{ ...patch, base }] } : request);
    }
    for (const request of requests) expect((await harness.runner.load(request)).failure).toBeUndefined();
    expect(harness.unloaded.length).toBeGreaterThan(0);
  });
});

const stateful = `import os, sys
import hob
app = hob.App("test")

class Plain:
    def __init__(self):
        self.log = []
        self.token = None

    def load(self):
        self.token = os.urandom(8).hex()
    load.__hob_enter__ = True

    def predict(self, x):
        self.log.append(x)
        return [self.work(x), len(self.log), self.token]
    predict.__hob_method__ = True

    def work(self, x):
        return x + 1

    def leave(self):
        print("left with", len(self.log))
        sys.stdout.flush()
    leave.__hob_exit__ = True
`;

describe("an object of a served class", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness("python");
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  async function load(text: string, patches: Patch[] = [], extra: object = {}) {
    const request = await harness.prepare({ "app.py": text }, ["app.py::Plain.predict"]);
    const versions = request.versions.map((version) => ({ ...version, className: "Plain", keepsState: true, ...extra }));
    return { snapshot: request.snapshot, ...(await harness.runner.load({ ...request, versions, patches })) };
  }
  const call = async (snapshot: string, ...args: unknown[]) => (await harness.call(snapshot, "Plain.predict", args)).value;
  const patchOf = (text: string, base: string, keep: Patch["keep"]): Patch => ({
    ...{ base, functions: ["Plain.predict"], keep, bundle: "" },
    units: [unit(text, "Plain.work")],
  });

  it("is as it was entered, without what calls left behind, when those may come of the former code", async () => {
    const first = await load(stateful);
    const [, , token] = (await call(first.snapshot, 1)) as unknown[];
    expect(await call(first.snapshot, 1)).toEqual([2, 2, token]);
    const edited = stateful.replace("return x + 1", "return x + 100");
    const second = await load(edited, [patchOf(edited, first.snapshot, "loaded")]);
    expect(second).toMatchObject({ tier: "patch", reason: "" });
    expect(await call(second.snapshot, 1)).toEqual([101, 1, token]);
    const again = stateful.replace("return x + 1", "return x + 200");
    const third = await load(again, [patchOf(again, second.snapshot, "all")]);
    expect(third.tier).toBe("patch");
    expect(await call(third.snapshot, 1)).toEqual([201, 2, token]);
  });

  it("is left through its exit hooks, by the processes that served only", async () => {
    const { snapshot } = await load(stateful);
    await call(snapshot, 1);
    harness.runner.finish();
    await harness.line("left with 1");
    await harness.runner.closed;
    expect(harness.output.filter(({ text }) => text.startsWith("left with"))).toHaveLength(1);
  });

  it("exists as often as calls run side by side", async () => {
    const text = stateful.replace("return x + 1", "import time\n        time.sleep(0.2)\n        return os.getpid()");
    const { snapshot } = await load(text, [], { concurrency: 3 });
    await call(snapshot, 0);
    const pids = (await Promise.all([1, 2, 3, 4].map((x) => call(snapshot, x)))) as [number][];
    expect(new Set(pids.map(([pid]) => pid)).size).toBe(3);
  });
});

// ⑥ The life of a runner's processes: reloads under running calls, imports that fail, ends of every kind.

import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Harness, languages, startHarness } from "./harness.ts";
import { allFunctions, mainModule, programs } from "./programs.ts";

const versioned = {
  python: (answer: string) => ({
    "app.py": `import hob\napp = hob.App("test")\n\n@app.function()\ndef answer():\n    return "${answer}"\n`,
  }),
  typescript: (answer: string) => ({
    "app.ts": `import { App } from "hob";\nconst app = new App("test");\nexport const answer = app.function({}, () => "${answer}");\n`,
  }),
};

/** The processes below `pid`. */
function descendants(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    return children.flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return []; // it has ended
  }
}

const lives = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

const ended = (pids: number[]) => expect.poll(() => pids.filter(lives), { timeout: 10_000, interval: 10 }).toEqual([]);

describe.each(languages)("a %s runner's processes", (language) => {
  const main = mainModule[language];
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness(language);
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  it("serve a new snapshot while a call of the old one runs on, and the old one ends once it is idle", async () => {
    const old = await harness.load(programs[language], allFunctions(language));
    const running = harness.call(old.snapshot, "which");
    await harness.line("which");
    const before = descendants(harness.process.pid ?? 0);
    const source = programs[language][main] ?? "";
    const next = await harness.load(
      { [main]: source.replace('return "old"', 'return "new"').replaceAll("go", "gone") },
      allFunctions(language),
      [old.snapshot],
    );
    expect(next.failure).toBeUndefined();
    expect((await harness.call(next.snapshot, "echo", [1])).value).toBe(1);
    harness.go();
    expect((await running).value).toBe("old");
    await expect.poll(() => before.filter(lives).length, { interval: 10 }).toBeLessThan(before.length);
  });

  it("load again and again, each with its own code, and stay few", async () => {
    let last = "";
    for (let round = 0; round < 12; round++) {
      const { snapshot, failure } = await harness.load(
        versioned[language](`answer ${round}`),
        [`${main}::answer`],
        last ? [last] : [],
      );
      expect(failure).toBeUndefined();
      expect((await harness.call(snapshot, "answer")).value).toBe(`answer ${round}`);
      last = snapshot;
    }
    await expect
      .poll(() => descendants(harness.process.pid ?? 0).filter(lives).length, { timeout: 5000, interval: 10 })
      .toBeLessThanOrEqual(3);
  });

  it("are roused before a load and between calls, which changes nothing", async () => {
    const { snapshot } = await harness.load(versioned[language]("first"), [`${main}::answer`]);
    harness.runner.rouse();
    expect((await harness.call(snapshot, "answer")).value).toBe("first");
    harness.runner.rouse();
    const next = await harness.load(versioned[language]("second"), [`${main}::answer`], [snapshot]);
    harness.runner.rouse();
    expect((await harness.call(next.snapshot, "answer")).value).toBe("second");
  });

  // In the field: a function that nobody edited failed for good when its process died after many saves of other functions.
  it("start a process again for what still serves, however many snapshots have come since", async () => {
    const old = await harness.load(programs[language], allFunctions(language));
    let last = "";
    // What a runner forgets it forgets when it is idle, and then it has a spare process beside the one of the newest snapshot.
    const idle = () =>
      expect
        .poll(() => descendants(harness.process.pid ?? 0).filter(lives).length, { interval: 5, timeout: 10_000 })
        .toBeGreaterThanOrEqual(2);
    for (let round = 0; round < 24; round++) {
      if (round === 20) expect((await harness.call(old.snapshot, "leave", [3])).failure?.kind).toBe("exit");
      const next = await harness.load(versioned[language](`answer ${round}`), [`${main}::answer`], last ? [last] : []);
      expect((await harness.call(next.snapshot, "answer")).value).toBe(`answer ${round}`);
      last = next.snapshot;
      if (round > 20) await idle();
    }
    expect((await harness.call(old.snapshot, "echo", [1])).value).toBe(1);
  });

  it("take a load and its call as one, the call sent before the load is answered", async () => {
    const request = await harness.prepare(versioned[language]("at once"), [`${main}::answer`]);
    const [loaded, outcome] = await Promise.all([harness.runner.load(request), harness.call(request.snapshot, "answer")]);
    expect([loaded.failure, outcome.value]).toEqual([undefined, "at once"]);
  });

  it("report what a module threw while it was imported, to the load and to calls, and serve the mended one", async () => {
    const broken =
      language === "python"
        ? { "app.py": "import os\n\nboom = {}['missing']\n" }
        : { "app.ts": 'export const answer = () => 1;\nthrow new Error("missing");\n' };
    const { snapshot, failure } = await harness.load(broken, [`${main}::answer`]);
    expect(failure).toMatchObject({ kind: "load", message: expect.stringContaining("missing") });
    expect(failure?.frames.at(-1)).toMatchObject({ file: main, line: language === "python" ? 3 : 2, own: true });
    expect((await harness.call(snapshot, "answer")).failure).toMatchObject({
      kind: "load",
      message: expect.stringContaining("missing"),
    });
    const mended = await harness.load(versioned[language]("mended"), [`${main}::answer`]);
    expect((await harness.call(mended.snapshot, "answer")).value).toBe("mended");
  });

  it("report that the process ended while it imported, to the load and to the calls behind it", async () => {
    const exit =
      language === "python"
        ? { "app.py": "import os\nos._exit(5)\n" }
        : { "app.ts": "export const answer = 1;\nprocess.exit(5);\n" };
    const request = await harness.prepare(exit, [`${main}::answer`]);
    const [loaded, outcome] = await Promise.all([harness.runner.load(request), harness.call(request.snapshot, "answer")]);
    expect(loaded.failure).toMatchObject({ kind: "load", message: "the process that imported the project exited with code 5" });
    expect(outcome.failure).toEqual(loaded.failure);
  });

  it("end with the agent's connection, running calls and what they started included", async () => {
    const { snapshot } = await harness.load(programs[language], allFunctions(language));
    void harness.call(snapshot, "forever");
    await harness.line("started");
    const pids = descendants(harness.process.pid ?? 0);
    expect(pids.length).toBeGreaterThan(0);
    await harness.runner[Symbol.asyncDispose]();
    await once(harness.process, "exit");
    await ended(pids);
  });

  it("fail their calls with the runner's death, and later ones at once", async () => {
    const { snapshot } = await harness.load(programs[language], allFunctions(language));
    const running = harness.call(snapshot, "forever");
    await harness.line("started");
    const pids = descendants(harness.process.pid ?? 0);
    harness.process.kill("SIGKILL");
    expect((await running).failure).toMatchObject({
      kind: "infrastructure",
      message: expect.stringContaining("the runner is gone"),
    });
    expect(await harness.runner.closed).toBe("it ended");
    expect((await harness.call(snapshot, "echo")).failure?.kind).toBe("infrastructure");
    expect((await harness.load(versioned[language]("late"), [])).failure?.kind).toBe("infrastructure");
    for (const pid of pids.filter(lives)) process.kill(pid, "SIGKILL"); // in a container they end with pid 1
  });
});

describe("the python zygote", () => {
  let harness: Harness;
  afterEach(() => harness[Symbol.asyncDispose]());

  async function start(files: Record<string, string>, names: string[]): Promise<string> {
    harness = await startHarness("python");
    const { snapshot, failure } = await harness.load(files, names);
    expect(failure).toBeUndefined();
    return snapshot;
  }
  const module = (body: string): Record<string, string> => ({ "app.py": `import hob\napp = hob.App("test")\n${body}` });

  async function callF(files: Record<string, string>): Promise<unknown> {
    const snapshot = await start(files, ["app.py::f"]);
    const { value, failure } = await harness.call(snapshot, "f");
    expect(failure).toBeUndefined();
    return value;
  }

  /** A folder of modules that are not the project's, as site-packages is. */
  async function withThirdParty(modules: Record<string, string>, run: () => Promise<void>): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "hob-third-party-"));
    for (const [name, text] of Object.entries(modules)) writeFileSync(join(folder, `${name}.py`), text);
    process.env["HOB_TEST_PYTHONPATH"] = folder;
    try {
      await run();
    } finally {
      delete process.env["HOB_TEST_PYTHONPATH"];
      rmSync(folder, { recursive: true });
    }
  }

  it("imports third-party modules once, before it forks, those of a later save too", async () => {
    const pid = "import os\npid = os.getpid()\n";
    await withThirdParty({ heavy: pid, heavier: pid }, async () => {
      const body = (name: string): string =>
        `import os\nimport ${name}\n\n@app.function()\ndef f():\n    return ${name}.pid == os.getppid()\n`;
      expect(await callF(module(body("heavy")))).toBe(true);
      const second = await harness.load(module(body("heavier")), ["app.py::f"]);
      expect((await harness.call(second.snapshot, "f")).value).toBe(true);
    });
  });

  it("survives a third-party module that prints and exits while it is imported", async () => {
    const body =
      "try:\n    import grim\nexcept SystemExit as error:\n    code = error.code\n\n@app.function()\ndef f():\n    return code\n";
    await withThirdParty({ grim: "import sys\nprint('grim')\nsys.exit(4)\n" }, async () => {
      expect(await callF(module(body))).toBe(4);
    });
  });

  it("lets a project's module win over one of the same name that it has imported itself", async () => {
    const files = {
      ...module("import json\nimport queue\n\n@app.function()\ndef f():\n    return [queue.mine, json.loads('1')]\n"),
      "queue.py": "mine = 'mine'\n",
    };
    expect(await callF(files)).toEqual(["mine", 1]);
  });

  it("imports packages without __init__.py, and modules that import each other", async () => {
    const files = {
      ...module("from space.deep import thing\nimport one\n\n@app.function()\ndef f():\n    return [thing.name, one.value()]\n"),
      "space/deep/thing.py": "name = __name__\n",
      "one.py": "import two\n\ndef value():\n    return two.number\n",
      "two.py": "import one\nnumber = 2\n",
    };
    expect(await callF(files)).toEqual(["space.deep.thing", 2]);
  });

  it("gives user code its own source, wherever it has gone", async () => {
    const body = `import inspect, os, traceback

@app.function()
def f():
    os.chdir("/")
    return [inspect.getsource(f.function).splitlines()[1], traceback.format_stack()[-1].splitlines()[1].strip()[:12]]
`;
    expect(await callF(module(body))).toEqual(["def f():", "return [insp"]);
  });

  it("names a syntax error's file, line and text", async () => {
    harness = await startHarness("python");
    const { failure } = await harness.load({ "app.py": "import helper\n", "helper.py": "x = 1\ndef broken(:\n" }, ["app.py::f"]);
    expect(failure).toMatchObject({ kind: "load", type: "SyntaxError" });
    expect(failure?.frames.at(-1)).toMatchObject({ file: "helper.py", line: 2, source: "def broken(:", own: true });
  });

  it("reports sys.exit as an exception, and keeps the process", async () => {
    const snapshot = await start(
      module(
        "import os, sys\n\n@app.function()\ndef f():\n    sys.exit(3)\n\n@app.function()\ndef pid():\n    return os.getpid()\n",
      ),
      ["app.py::f", "app.py::pid"],
    );
    const before = await harness.call(snapshot, "pid");
    expect((await harness.call(snapshot, "f")).failure).toMatchObject({ kind: "exception", type: "SystemExit" });
    expect((await harness.call(snapshot, "pid")).value).toBe(before.value);
  });

  it("kills a process that ignores SIGTERM two seconds after the cancel", async () => {
    const body =
      "import signal, time\n\n@app.function()\ndef f():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print('deaf', flush=True)\n    while True:\n        time.sleep(1)\n";
    const snapshot = await start(module(body), ["app.py::f"]);
    const running = harness.call(snapshot, "f", [], { id: "deaf" });
    await harness.line("deaf");
    harness.runner.cancel("deaf");
    expect((await running).failure?.kind).toBe("cancelled");
  });

  it("does not wait for a program that a function left behind, and ends it with the process", async () => {
    const body =
      "import subprocess\n\n@app.function()\ndef f():\n    print('left', flush=True)\n    return subprocess.Popen(['sleep', '1000']).pid\n\n@app.function()\ndef leave():\n    import os\n    os._exit(0)\n";
    const snapshot = await start(module(body), ["app.py::f", "app.py::leave"]);
    const { value } = await harness.call(snapshot, "f");
    expect(lives(value as number)).toBe(true);
    expect((await harness.call(snapshot, "leave")).failure?.kind).toBe("exit");
    await ended([value as number]);
  });

  it("reaps processes that have lost their parent", async () => {
    const body =
      "import os, subprocess\n\n@app.function()\ndef f():\n    text = subprocess.run(['sh', '-c', 'setsid sh -c \"exit 0\" & echo $!'], capture_output=True, text=True).stdout\n    return int(text)\n";
    const snapshot = await start(module(body), ["app.py::f"]);
    await ended([(await harness.call(snapshot, "f")).value as number]);
  });

  it("refuses a delta whose base it does not have", async () => {
    harness = await startHarness("python");
    const request = await harness.prepare(module("x = 1\n"), []);
    const { failure } = await harness.runner.load({ ...request, base: "b".repeat(64) });
    expect(failure).toMatchObject({ kind: "load", message: expect.stringContaining("send the whole list") });
  });

  it("waits for a project's folder that appears after the load", async () => {
    harness = await startHarness("python");
    const request = await harness.prepare(module("@app.function()\ndef f():\n    return open('app.py').read()[:6]\n"), [
      "app.py::f",
    ]);
    const text = readFileSync(join(harness.root, request.snapshot, "app.py"), "utf8");
    rmSync(join(harness.root, request.snapshot), { recursive: true });
    const loading = harness.runner.load(request);
    await expect.poll(() => descendants(harness.process.pid ?? 0).length, { interval: 5 }).toBeGreaterThan(0); // it is loading
    mkdirSync(join(harness.root, request.snapshot));
    writeFileSync(join(harness.root, request.snapshot, "app.py"), text);
    expect((await loading).failure).toBeUndefined();
    expect((await harness.call(request.snapshot, "f")).value).toBe("import");
  });
});

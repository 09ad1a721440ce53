// The commands against a real pool: real control, agent, image, containers.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rootWithContainers } from "../drive/requirements.ts";
import { leftovers, makeWorkplace, type Workplace } from "../drive/workplace.ts";
import { onceSaid, hob as run, type Said, startHob } from "./run-hob.ts";

const python = `import sys
import time

import hob

app = hob.App("desk")


@app.function()
def greet(name: str, times: int = 1):
    print("greeting", name)
    print("to stderr", file=sys.stderr)
    return ["hello " + name] * times


@app.function()
def fail(reason: str):
    raise ValueError(reason)


@app.function()
def socket():
    import socket
    return socket.socket()


@app.function()
def wait():
    print("waiting")
    time.sleep(600)


@app.function()
def twice(value: int):
    return greet.remote("child", value * 2)


@app.local()
def main(limit: int = 2, loud: bool = False):
    print("from the laptop")
    return [greet.remote("local", limit), loud]
`;

const typescript = `import { App } from "hob";

const app = new App("shop");

export const add = app.function({}, async (a: number, b: number = 1) => {
  console.log("adding");
  return a + b;
});
`;

describe.skipIf(!rootWithContainers())("a real pool", { timeout: 120_000 }, () => {
  let place: Workplace;
  let hob: (...args: string[]) => Promise<Said>;
  const at = () => ({ folder: place.project, environment: { ...place.environment, NO_COLOR: "1", HOB_LINGER_MS: "30000" } });
  const json = (said: Said): Record<string, unknown>[] =>
    said.stdout
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));

  beforeAll(() => {
    place = makeWorkplace({
      "app.py": python,
      "shop.ts": typescript,
      "broken.py": "import hob\napp = hob.App('broken')\n",
      "package.json": "{}",
    });
    hob = (...args) => run({ ...at(), [Symbol.dispose]() {} }, args);
  });

  afterAll(async () => {
    const said = await hob("pool", "stop", "--force");
    expect(said.code, said.stderr).toBe(0);
    expect(leftovers(place)).toEqual([]);
    place[Symbol.dispose]();
  });

  test("clients that start at once start one pool and share it", async () => {
    const said = await Promise.all([1, 2, 3].map((times) => hob("run", "app.py::greet", JSON.stringify(["you", times]))));
    for (const [index, { code, stdout, stderr }] of said.entries()) {
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toEqual(Array(index + 1).fill("hello you"));
    }
    const log = readFileSync(join(place.state, "hob/pools", place.key, "logs/control.log"), "utf8");
    expect(log.match(/control serves/g)).toHaveLength(1);
  });

  test("a call's output goes to stderr, its result to stdout", async () => {
    const said = await hob("run", "app.py::greet", "--kwargs", '{"name": "you"}');
    expect(said).toMatchObject({ code: 0, stdout: '["hello you"]\n' });
    expect(said.stderr).toContain("greeting you\n");
    expect(said.stderr).toContain("to stderr\n");
  });

  test("--json gives the outcome with its version and times", async () => {
    const said = await hob("run", "app.py::greet", '["you"]', "--json");
    expect(json(said)).toEqual([
      expect.objectContaining({
        ok: true,
        function: "greet",
        value: ["hello you"],
        ms: expect.objectContaining({ run: expect.any(Number) }),
      }),
    ]);
  });

  test("TypeScript functions run the same way", async () => {
    const said = await hob("run", "shop.ts::add", "[20, 22]");
    expect(said, said.stderr).toMatchObject({ code: 0, stdout: "42\n" });
    expect(said.stderr).toContain("adding\n");
  });

  test("a function may call another, whose output is shown as well", async () => {
    const said = await hob("run", "app.py::twice", "[2]");
    expect(said, said.stderr).toMatchObject({ code: 0, stdout: `${JSON.stringify(Array(4).fill("hello child"))}\n` });
    expect(said.stderr).toContain("greeting child\n");
  });

  test("a local entry runs here, its flags are arguments, its calls go to the pool", async () => {
    const said = await hob("run", "app.py", "--limit", "3", "--loud");
    expect(said, said.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(said.stdout.trim().split("\n").at(-1) ?? "")).toEqual([Array(3).fill("hello local"), true]);
    expect(said.stdout + said.stderr).toContain("from the laptop\n");
  });

  test.each<[string, string[], number, RegExp]>([
    [
      "an unknown function",
      ["run", "app.py::gret"],
      2,
      /^hob: there is no function in app.py called "gret": did you mean "greet"\?$/m,
    ],
    ["arguments that do not fit", ["run", "app.py::greet", "[]"], 2, /^hob: .*greet.*name.*$/m],
    ["a function that raises", ["run", "app.py::fail", '["on purpose"]'], 1, /^hob: fail failed: ValueError: on purpose$/m],
    ["a result that cannot be encoded", ["run", "app.py::socket"], 1, /^hob: socket failed: .*socket.*$/m],
    ["a file without functions", ["run", "broken.py::main"], 2, /^hob: there is no function in broken.py called "main"$/m],
    ["an unknown app", ["logs", "dsk"], 2, /^hob: there is no app "dsk": did you mean "desk"\?$/m],
    [
      "an unknown function of an app",
      ["calls", "desk/gret"],
      2,
      /^hob: there is no function in desk called "gret": did you mean "greet"\?$/m,
    ],
    ["an unknown call", ["logs", "--call", "#999999"], 2, /^hob: there is no call #999999: .*$/m],
  ])("%s ends with one sentence and its exit code", async (_, args, code, sentence) => {
    const said = await hob(...args);
    expect(said.stderr).toMatch(sentence);
    expect(said).toMatchObject({ code, stdout: "" });
    expect(said.stderr).not.toMatch(/^ {4}at /m);
  });

  test("an exception shows its traceback with the user's own lines", async () => {
    const { stderr } = await hob("run", "app.py::fail", '["on purpose"]');
    expect(stderr).toContain("Traceback (most recent call last)");
    expect(stderr).toContain("raise ValueError(reason)");
    expect(stderr).not.toContain("/project/");
  });

  test("ctrl-c cancels the call and exits 3", async () => {
    const { child, said } = startHob({ ...at(), [Symbol.dispose]() {} }, ["run", "app.py::wait"]);
    onceSaid(child.stderr, "waiting", () => child.kill("SIGINT"));
    const { code, stderr } = await said;
    expect(stderr).toContain("hob: wait was cancelled");
    expect(code).toBe(3);
    const [latest] = json(await hob("calls", "desk/wait", "--json"));
    expect(latest).toMatchObject({ kind: "call", state: "cancelled" });
  });

  test("ps, calls, pool, images and logs tell of what ran, for people and for programs", async () => {
    expect(await hob("run", "app.py::greet", '["you"]')).toMatchObject({ code: 0 });
    expect(await hob("run", "app.py::fail", '["on purpose"]')).toMatchObject({ code: 1 });
    const ps = json(await hob("ps", "--json"));
    expect(ps).toContainEqual(expect.objectContaining({ kind: "function", app: "desk", function: "greet", language: "python" }));
    expect(ps).toContainEqual(expect.objectContaining({ kind: "call", app: "desk", state: "succeeded" }));
    const calls = json(await hob("calls", "desk/fail", "--json"));
    expect(calls[0]).toMatchObject({ state: "failed", failure: { type: "ValueError", message: "on purpose" } });
    const pool = json(await hob("pool", "--json"));
    expect(pool).toContainEqual(expect.objectContaining({ kind: "node", state: "ready" }));
    expect(pool).toContainEqual(expect.objectContaining({ kind: "container", app: "desk", state: "specialised" }));
    expect(json(await hob("images", "--json"))).toContainEqual(expect.objectContaining({ kind: "image", source: "host" }));
    const logs = json(await hob("logs", "desk/greet", "--since", "10m", "--json"));
    expect(logs).toContainEqual(expect.objectContaining({ kind: "log", stream: "stdout", text: "greeting you" }));
    const number = String(calls[0]?.["number"]);
    expect(json(await hob("calls", "desk", "--state", "failed", "--since", "10m", "--json"))).toContainEqual(calls[0]);
    expect(json(await hob("calls", number, "--json"))).toMatchObject([
      { number: calls[0]?.["number"], arguments: ["on purpose"] },
    ]);
    const report = await hob("calls", `#${number}`);
    expect(report.stdout).toContain(`call      #${number} desk/fail`);
    expect(report.stdout).toMatch(/steps +queue .*load .*run .*\n\ninput +\["on purpose"\]\nTraceback .*app.py/s);
    expect(json(await hob("logs", "--function", "greet", "--since", "10m", "--json"))).toEqual(logs);
    expect((await hob("logs", "--call", `#${number}`)).code).toBe(0);
    for (const command of ["ps", "calls", "pool", "images", "logs"]) {
      const said = await hob(command);
      expect(said, command).toMatchObject({ code: 0, stderr: "" });
      expect(said.stdout, command).not.toBe("");
    }
  });

  test("call runs what the pool has without its file, with what its children print; misspelt names are guessed", async () => {
    const said = await hob("call", "desk/twice", "[1]");
    expect(said).toEqual({ code: 0, stdout: '["hello child","hello child"]\n', stderr: "greeting child\nto stderr\n" });
    const family = json(await hob("calls", "desk/twice", "--limit", "1", "--json"))[0]!;
    const [one] = json(await hob("calls", String(family["call"]), "--json"));
    expect(json(await hob("calls", "desk/greet", "--limit", "1", "--json"))).toMatchObject([
      { call: (one!["children"] as string[])[0], parent: family["call"] },
    ]);
    expect(await hob("call", "desk/greet", "--kwargs", '{"name": "you"}', "--json")).toMatchObject({ code: 0 });
    expect(await hob("call", "desk/fail", '["why"]')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("ValueError: why"),
    });
    expect(await hob("call", "desk/gret", "[1]")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('did you mean "greet"?'),
    });
    expect(await hob("call", "desk/greet", "[1, 2, 3]")).toMatchObject({ code: 2, stderr: expect.stringContaining("at most 2") });
  });

  test("logs --follow goes on with new lines, until ctrl-c", async () => {
    const { child, said } = startHob({ ...at(), [Symbol.dispose]() {} }, ["logs", "desk/greet", "--follow", "--json"]);
    const name = "somebody new";
    let called: Promise<Said> | undefined;
    child.stdout?.once("data", () => {
      called = hob("run", "app.py::greet", JSON.stringify([name])); // it listens: past lines have come
    });
    onceSaid(child.stdout, name, () => child.kill("SIGINT"));
    const { code, stdout } = await said;
    expect(code).toBe(0);
    expect(stdout).toContain(`greeting ${name}`);
    expect(await called).toMatchObject({ code: 0 });
  });

  test("pool stop ends it, twice is no error, and the next run starts a new one", async () => {
    expect(await hob("pool", "stop")).toEqual({ code: 0, stdout: "The pool has ended.\n", stderr: "" });
    expect(leftovers(place)).toEqual([]);
    expect(await hob("pool", "stop")).toEqual({ code: 0, stdout: "No pool was running.\n", stderr: "" });
    expect(await hob("run", "app.py::greet", '["again"]')).toMatchObject({ code: 0, stdout: '["hello again"]\n' });
  });
});

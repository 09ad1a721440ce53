// ⑥ What the frames of a failed call hold, asked of a real Python runner; and that a TypeScript one says why there is nothing.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Harness, startHarness } from "./harness.ts";
import { allFunctions, programs } from "./programs.ts";

const token = "hunter2-and-more";

const source = `import os, time
import hob
app = hob.App("test")

class Odd:
    def __repr__(self):
        raise KeyError("no")

class Slow:
    def __repr__(self):
        while True:
            time.sleep(0.01)

def inner(numbers):
    odd, total = Odd(), sum(numbers)
    secret = "x" * 190 + os.environ["TOKEN"]
    rows = [{"text": "y" * 5000}] * 1000
    return total / 0

@app.function()
def fails(count):
    __hidden__ = 1
    note = f"the token is {os.environ['TOKEN']}"
    return sorted([list(range(count))], key=inner)

@app.function()
def slow():
    first, late, last = 1, Slow(), 3
    raise ValueError("slow")

@app.function()
def ok():
    return 1
`;

describe("a failed call of a Python runner", () => {
  let harness: Harness;
  let snapshot: string;
  beforeEach(async () => {
    harness = await startHarness("python");
    const request = await harness.prepare({ "app.py": source }, ["app.py::fails", "app.py::slow", "app.py::ok"]);
    const versions = request.versions.map((version) => ({ ...version, secrets: ["TOKEN"] }));
    expect((await harness.runner.load({ ...request, versions, secrets: { TOKEN: token } })).failure).toBeUndefined();
    snapshot = request.snapshot;
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const fail = (id: string, name = "fails", args: unknown[] = name === "fails" ? [3] : []) =>
    harness.call(snapshot, name, args, { id, keepFrames: true });

  it("tells what the variables of the project's frames held, cut, without secrets, after other calls too", async () => {
    const { failure } = await fail("first");
    expect(failure?.type).toBe("ZeroDivisionError");
    expect((await harness.call(snapshot, "ok")).value).toBe(1);
    const { frames, reason } = await harness.runner.inspect("first");
    expect(reason).toBe("");
    const own = failure?.frames.filter((frame) => frame.own) ?? [];
    expect(frames.map(({ file, line, function: name }) => [file, line, name])).toEqual(
      own.map(({ file, line, function: name }) => [file, line, name]),
    );
    const [outer, innermost] = frames.map(({ locals }) => Object.fromEntries(locals.map(({ name, value }) => [name, value])));
    expect(outer).toEqual({ count: "3", note: "'the token is [secret TOKEN]'" });
    expect(innermost).toMatchObject({ numbers: "[0, 1, 2]", total: "3", odd: "<Odd: its repr raised KeyError>" });
    expect(innermost?.["rows"]?.length).toBeLessThanOrEqual(601);
    expect(JSON.stringify(frames)).not.toContain(token.slice(0, 7));
  });

  it("is kept of the last three, and only where somebody may ask", async () => {
    for (const id of ["1", "2", "3", "4"]) await fail(id);
    await harness.call(snapshot, "fails", [3], { id: "unasked" });
    const reasons = await Promise.all(["1", "2", "4", "unasked"].map(async (id) => (await harness.runner.inspect(id)).reason));
    expect(reasons).toEqual([
      expect.stringContaining("other calls have failed since"),
      "",
      "",
      expect.stringContaining("not kept any more"),
    ]);
  });

  it("tells what it could in two seconds, and its process goes on", async () => {
    await fail("slow", "slow");
    const { frames } = await harness.runner.inspect("slow");
    expect(frames.flatMap(({ locals }) => locals)).toEqual([{ name: "first", value: "1" }]);
    expect((await harness.call(snapshot, "ok")).value).toBe(1);
  });
});

it("a TypeScript runner says that it keeps nothing", async () => {
  await using harness = await startHarness("typescript");
  await harness.load(programs.typescript, allFunctions("typescript"));
  expect(await harness.runner.inspect("any")).toEqual({ frames: [], reason: "variables are kept of calls in Python only" });
});

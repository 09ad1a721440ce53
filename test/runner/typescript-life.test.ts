// ⑥ What the TypeScript runner does beyond the table of cases: classes and their hooks, secrets, several calls at a time, snapshots let go.

import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Harness, startHarness } from "./harness.ts";

const source = `import { App } from "hob";
const app = new App("test");
let waiting: (() => void)[] = [];
export const secret = app.function({}, () => process.env.API_KEY ?? null);
export const meet = app.function({}, async (name: string) => {
  console.log("hello", name);
  await new Promise<void>((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 2) for (const each of waiting) each();
  });
  console.log("goodbye", name);
  return name;
});
export const Model = app.cls({}, class {
  state = "new";
  async enter() {
    await null;
    this.state = "entered";
  }
  predict() {
    return this.state;
  }
  exit() {
    console.log("left", this.state);
  }
});
`;

describe("the typescript runner", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness("typescript");
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  async function load(
    name: string,
    changes: { qualname?: string; concurrency?: number; secrets?: Record<string, string> },
  ): Promise<string> {
    const request = await harness.prepare({ "app.ts": source }, [`app.ts::${name}`]);
    const { qualname = name, concurrency = 1, secrets = {} } = changes;
    const versions = request.versions.map((version) => ({ ...version, qualname, concurrency }));
    const { failure } = await harness.runner.load({ ...request, versions, secrets });
    expect(failure).toBeUndefined();
    return request.snapshot;
  }

  it("enters a class before its first call, and runs its exit hook when the runner is told to finish", async () => {
    const snapshot = await load("Model", { qualname: "Model.predict" });
    expect((await harness.call(snapshot, "Model")).value).toBe("entered");
    const ended = once(harness.process, "exit");
    harness.runner.finish();
    await harness.line("left entered");
    expect((await ended)[0]).toBe(0);
  });

  it("gives a snapshot's process the secrets that came with the load", async () => {
    const snapshot = await load("secret", { secrets: { API_KEY: "abc" } });
    expect((await harness.call(snapshot, "secret")).value).toBe("abc");
  });

  it("runs as many calls at a time as the version allows, and tells their output apart", async () => {
    const snapshot = await load("meet", { concurrency: 2 });
    const both = await Promise.all(["a", "b"].map((name) => harness.call(snapshot, "meet", [name], { id: name })));
    expect(both.map(({ value }) => value)).toEqual(["a", "b"]);
    for (const name of ["a", "b"]) {
      const lines = harness.output.filter(({ call }) => call === name).map(({ text }) => text);
      expect(lines).toEqual([`hello ${name}`, `goodbye ${name}`]);
    }
  });

  it("tells when a retired snapshot's process has let it go", async () => {
    const first = await load("secret", {});
    await harness.call(first, "secret");
    const second = await harness.load({ "more.ts": "export {};\n" }, ["app.ts::secret"], [first]);
    expect(second.failure).toBeUndefined();
    await expect.poll(() => harness.unloaded).toEqual([first]);
  });

  it("knows what calls have left behind also when the version they were of has been followed by another", async () => {
    const steps = ["", "// its timeout changed\n", "// its body changed\n"];
    let base = "";
    const answers: unknown[] = [];
    for (const [step, text] of steps.entries()) {
      const request = await harness.prepare({ "app.ts": text + source }, ["app.ts::secret"]);
      const versions = request.versions.map((version) => ({ ...version, keepsState: true }));
      const keep = step === 1 ? ("all" as const) : ("loaded" as const);
      const patches = base ? [{ base, functions: ["secret"], keep, units: [], bundle: "" }] : [];
      const { tier, reason, failure } = await harness.runner.load({ ...request, versions, patches });
      expect(failure).toBeUndefined();
      answers.push([tier, reason]);
      base = request.snapshot;
      if (step === 0) await harness.call(base, "secret");
    }
    expect(answers.slice(1)).toEqual([
      ["patch", ""],
      ["fork", "calls have left state that the changed code computed"],
    ]);
  });
});

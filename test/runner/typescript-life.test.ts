// ⑥ What the TypeScript runner does beyond the table of cases: classes and their hooks, secrets, several calls at a time, snapshots let go.

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTypeScriptDescriber } from "../../project/describe/typescript.ts";
import { snapshotOfFiles } from "../project/description.ts";
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
  async exit() {
    await new Promise((resolve) => setTimeout(resolve, 200)); // longer than a runner waits with the next spare
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

  // A spare that it started meanwhile, in place of the one that the load took, was never told to end.
  it("ends when it is told to just after a load", async () => {
    const ended = once(harness.process, "exit");
    const request = await harness.prepare({ "app.ts": source }, ["app.ts::Model"]);
    const versions = request.versions.map((version) => ({ ...version, qualname: "Model.predict" }));
    const loaded = harness.runner.load({ ...request, versions });
    harness.runner.finish();
    expect((await ended)[0]).toBe(0);
    await loaded;
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

  it("shows the lines of the new text below what a patch has made longer", async () => {
    const root = mkdtempSync(join(tmpdir(), "hob-lines-"));
    await using _removal = { [Symbol.asyncDispose]: async () => rmSync(root, { recursive: true }) };
    await using describer = createTypeScriptDescriber(root);
    const text = `import { App } from "hob";
const app = new App("test");
export const grow = app.function({}, () => {
  return 1;
});
export const fail = app.function({}, () => {
  throw new RangeError("here");
});
`;
    const load = async (now: string, base: string) => {
      writeFileSync(join(root, "app.ts"), now);
      const { functions } = await describer.describe(
        { changed: [{ path: "app.ts", source: now }], removed: [] },
        snapshotOfFiles({ "app.ts": now }),
      );
      const mine = base ? functions.filter(({ spec }) => spec.name === "grow") : functions;
      const request = await harness.prepare({ "app.ts": now }, []);
      const versions = mine.map(({ spec: { name, module }, digest, bundle }) => ({
        ...{ function: name, digest, module, qualname: name, className: "", bundle: bundle!.digest },
        ...{ keepsState: false, concurrency: 1, secrets: [] },
      }));
      const patches = mine.flatMap(({ patch }) => (patch ? [patch] : []));
      const answer = await harness.runner.load({
        ...{ ...request, versions, blobs: [...mine.map(({ bundle }) => bundle!), ...patches.map(({ bundle }) => bundle!)] },
        patches: patches.map(({ bundle }) => ({ base, functions: ["grow"], keep: "all", units: [], bundle: bundle!.digest })),
      });
      expect(answer.failure).toBeUndefined();
      return { snapshot: request.snapshot, tier: answer.tier, functions };
    };
    const first = await load(text, "");
    const { digest } = first.functions.find(({ spec }) => spec.name === "fail")!;
    const edited = text.replace("  return 1;", "  const two = 2;\n  // more\n  return two;");
    expect((await load(edited, first.snapshot)).tier).toBe("patch");
    const ids = { call: "lines", snapshot: first.snapshot, version: digest, function: "fail", timeoutMs: 0 };
    const { failure } = await harness.runner.call({ ...ids, positional: Buffer.from("[]"), keywords: Buffer.from("") });
    expect(failure?.frames.at(-1)).toMatchObject({ file: "app.ts", line: 9, source: 'throw new RangeError("here");' });
  });
});

// ⑥ One table of cases that both runners pass: what a call gives, whatever the function does.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Harness, type Language, languages, startHarness } from "./harness.ts";
import { createMapPool } from "./map-pool.ts";
import { allFunctions, mainModule, programs } from "./programs.ts";

interface Case {
  name: string;
  run(harness: Harness, snapshot: string, language: Language): Promise<void>;
}

const values: unknown[] = [
  null,
  true,
  0,
  -1.5,
  1e21,
  "",
  'quotes " and \\ and \u0000',
  "naïve ☃ 𝄞",
  [],
  {},
  [1, [2, [3]]],
  { a: { b: [null, false] } },
  { $bytes: "aG9i" },
  [{ $float: "nan" }, { $float: "-inf" }],
];

const textOf = (harness: Harness, call: string): string[] =>
  harness.output.filter((line) => line.call === call).map((line) => line.text);

const cases: Case[] = [
  {
    name: "gives back every kind of value as it was",
    async run(harness, snapshot) {
      for (const value of values) expect((await harness.call(snapshot, "echo", [value])).value).toEqual(value);
      const large = "ü".repeat(1 << 20);
      expect((await harness.call(snapshot, "echo", [large])).value).toBe(large);
    },
  },
  {
    name: "has delivered all output when the result comes, a last line without newline included",
    async run(harness, snapshot) {
      const outcome = await harness.call(snapshot, "speak", [300], { id: "speaks" });
      expect(outcome.value).toBe(300);
      const lines = harness.output.filter((line) => line.call === "speaks");
      const printed = lines.filter((line) => line.stream === "stdout").map((line) => line.text);
      expect(printed).toEqual([...Array.from({ length: 300 }, (_, number) => `line ${number}`), "no newline at the end"]);
      expect(lines.filter((line) => line.stream === "stderr").map((line) => line.text)).toEqual(["to stderr"]);
      expect(Math.abs((lines[0]?.timeMs ?? 0) - Date.now())).toBeLessThan(60_000);
    },
  },
  {
    name: "reports an exception with its type, message, and the user's own lines",
    async run(harness, snapshot, language) {
      const { failure } = await harness.call(snapshot, "fail", ["tea"]);
      const type = language === "python" ? "ValueError" : "RangeError";
      expect(failure).toMatchObject({ kind: "exception", type, message: "no tea here" });
      expect(failure?.frames.at(-1)).toMatchObject({ file: mainModule[language], function: "inner", own: true });
      expect(failure?.frames.at(-1)?.source).toMatch(language === "python" ? /^raise ValueError/ : /^throw new RangeError/);
      const text = programs[language][mainModule[language]] ?? "";
      expect(text.split("\n")[(failure?.frames.at(-1)?.line ?? 0) - 1]).toContain(failure?.frames.at(-1)?.source);
      expect(failure?.frames.every((frame) => frame.own)).toBe(true);
      expect(failure?.traceback).toContain(language === "python" ? 'File "app.py", line' : "(app.ts:");
      expect(failure?.traceback).not.toMatch(/runner|hob-runner|importlib|\/sdk\//);
    },
  },
  {
    name: "refuses arguments that do not fit, naming the function and its signature",
    async run(harness, snapshot, language) {
      const python = language === "python";
      const { failure } = await harness.call(snapshot, "resize", python ? [] : ["a", 1, 2]);
      expect(failure?.kind).toBe("arguments");
      expect(failure?.message).toMatch(
        python
          ? /^resize: missing a required argument: 'path'; it is resize\(path: str/
          : /^resize: 3 arguments for 2 parameters/,
      );
      const named = await harness.call(snapshot, "resize", [], { keywords: { path: "a", width: 3 } });
      if (python) expect(named.value).toEqual(["a", 3]);
      else expect(named.failure).toMatchObject({ kind: "arguments", message: expect.stringContaining("by position only") });
    },
  },
  {
    name: "says where in a result the thing lies that cannot be encoded",
    async run(harness, snapshot, language) {
      const { failure } = await harness.call(snapshot, "unencodable");
      expect(failure?.kind).toBe("encoding");
      expect(failure?.message).toContain(language === "python" ? 'result["x"][3] is a function' : "result.x[3] is a function");
    },
  },
  {
    name: "tells the exit code of a process that a function ended, and serves the next call with another process",
    async run(harness, snapshot) {
      const { failure } = await harness.call(snapshot, "leave", [3]);
      expect(failure).toMatchObject({ kind: "exit", message: "the process that ran the call exited with code 3" });
      expect((await harness.call(snapshot, "echo", [1])).value).toBe(1);
    },
  },
  {
    name: "tells the signal that killed a process, and serves the calls that were queued behind it",
    async run(harness, snapshot) {
      const [killed, next, crashed, last] = await Promise.all([
        harness.call(snapshot, "kill_self"),
        harness.call(snapshot, "echo", ["next"]),
        harness.call(snapshot, "crash"),
        harness.call(snapshot, "echo", ["last"]),
      ]);
      expect(killed.failure).toMatchObject({ kind: "signal", message: expect.stringContaining("signal 9 (killed)") });
      expect(crashed.failure).toMatchObject({
        kind: "signal",
        message: expect.stringContaining("signal 11 (segmentation fault)"),
      });
      expect([next.value, last.value]).toEqual(["next", "last"]);
    },
  },
  {
    name: "delivers or counts every byte of a flood of output",
    async run(harness, snapshot) {
      const outcome = await harness.call(snapshot, "speak", [100_000], { id: "flood" });
      const got = textOf(harness, "flood").reduce((sum, text) => sum + text.length + 1, 0);
      const printed = Array.from({ length: 100_000 }, (_, number) => `line ${number}\n`).join("");
      expect(got + outcome.droppedBytes).toBe(`${printed}to stderr\nno newline at the end\n`.length);
      expect(got).toBeGreaterThan(100_000);
    },
  },
  {
    name: "cuts a line at 64 KiB and counts what it dropped before the next",
    async run(harness, snapshot) {
      const outcome = await harness.call(snapshot, "long_line", [200_000], { id: "long" });
      const lines = harness.output.filter((line) => line.call === "long");
      expect(lines.map((line) => line.text.length)).toEqual([64 << 10, 5]);
      expect(lines[1]?.dropped).toBe(200_000 - (64 << 10));
      expect(outcome.droppedBytes).toBe(200_000 - (64 << 10));
    },
  },
  {
    name: "shows binary output with the bytes that are not UTF-8 replaced",
    async run(harness, snapshot) {
      await harness.call(snapshot, "binary", [], { id: "binary" });
      expect(textOf(harness, "binary")).toEqual(["café \ufffd"]);
    },
  },
  {
    name: "cancels a running call and one that waits behind it, and serves the next",
    async run(harness, snapshot) {
      const running = harness.call(snapshot, "forever", [], { id: "forever" });
      const queued = harness.call(snapshot, "echo", [1], { id: "behind" });
      await harness.line("started");
      harness.runner.cancel("behind");
      expect((await queued).failure?.kind).toBe("cancelled");
      harness.runner.cancel("forever");
      expect((await running).failure?.kind).toBe("cancelled");
      expect((await harness.call(snapshot, "echo", [2])).value).toBe(2);
    },
  },
  {
    name: "ends a call at its timeout",
    async run(harness, snapshot) {
      const { failure } = await harness.call(snapshot, "forever", [], { timeoutMs: 50 });
      expect(failure).toMatchObject({ kind: "timeout", message: expect.stringContaining("0.05 s") });
    },
  },
  {
    name: "lets a function call another: its value, its failure, many at once in order, and a cancelled one",
    async run(harness, snapshot) {
      harness.answer = (child) => {
        const [argument] = JSON.parse(child.positional.toString()) as [unknown];
        const failure = { kind: "exception", type: "KeyError", message: "lost", traceback: "far away", frames: [] };
        harness.runner.childFinished(
          child.id,
          argument === "bad" ? { failure } : { result: { json: Buffer.from(JSON.stringify(argument)) } },
        );
      };
      expect((await harness.call(snapshot, "ask", ["tea"], { id: "asks" })).value).toBe("tea gave tea");
      expect(harness.childCalls.at(-1)).toMatchObject({ parent: "asks", app: "elsewhere@live", function: "far" });
      expect(harness.childCalls.at(-1)?.id).toMatch(/^[0-9a-f]{16}$/);
      const refused = await harness.call(snapshot, "ask", ["bad"]);
      expect(refused.failure).toMatchObject({ kind: "exception", type: expect.stringContaining("RemoteError") });
      expect(refused.failure?.traceback).toMatch(/remote traceback:\s+far away/);
      harness.onMap = createMapPool(
        (head, payload) => harness.runner.mapNews(head, payload),
        ([argument]) => argument,
      ).hear;
      expect((await harness.call(snapshot, "ask_many", [200])).value).toEqual([...Array(200).keys()]);
      expect((await harness.call(snapshot, "ask_later")).value).toEqual([0, 2]);
      expect(harness.childCancels).toContain(harness.childCalls.at(-2)?.id);
      expect(harness.childWaits).toContain(harness.childCalls.at(-3)?.id); // spawned, then waited for
    },
  },
  {
    name: "awaits async functions and collects generators",
    async run(harness, snapshot) {
      expect((await harness.call(snapshot, "wait_a_little")).value).toBe("awaited");
      expect((await harness.call(snapshot, "count_to", [4])).value).toEqual([0, 1, 2, 3]);
    },
  },
  {
    name: "imports helper modules, runs in the project's folder and opens its files",
    async run(harness, snapshot, language) {
      expect((await harness.call(snapshot, "clean", ["  TEA "])).value).toBe("tea");
      expect((await harness.call(snapshot, "here")).value).toEqual([mainModule[language], "some data", true]);
    },
  },
  {
    name: "refuses a version that was never loaded, and a snapshot that it does not have",
    async run(harness, snapshot) {
      const unknown = await harness.call(snapshot, "nothing");
      expect(unknown.failure).toMatchObject({ kind: "load" });
      const { failure } = await harness.call("f".repeat(64), "echo");
      expect(failure).toMatchObject({ kind: "load", message: expect.stringContaining("has not been loaded here") });
    },
  },
];

describe.each(languages)("the %s runner", (language) => {
  let harness: Harness;
  let snapshot: string;

  beforeAll(async () => {
    harness = await startHarness(language);
    const loaded = await harness.load(programs[language], allFunctions(language));
    expect(loaded.failure).toBeUndefined();
    snapshot = loaded.snapshot;
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  it.each(cases)("$name", ({ run }) => run(harness, snapshot, language));
});

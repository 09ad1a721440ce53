// ⑥ The agent's side of the connection, against a runner that misbehaves.

import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { connectRunner } from "../../agent/runner/connect.ts";
import { createFrameDecoder, encodeFrame, type Frame, type FrameHeads } from "../../agent/runner/frames.ts";
import type { OutputLine } from "../../agent/runner/runner.ts";
import { Failure } from "../../proto/gen/hob/v1/common.ts";

/** Both ends of a connection whose runner does what the test says. */
function pair() {
  const [ours, theirs] = duplexPair();
  const lines: OutputLine[] = [];
  const asked: Frame[] = [];
  const waiting: { name: string; resolve: (frame: Frame) => void }[] = [];
  const decode = createFrameDecoder();
  theirs.on("data", (piece: Buffer) => {
    for (const frame of decode(piece)) {
      asked.push(frame);
      for (const { name, resolve } of waiting) if (name === frame.name) resolve(frame);
    }
  });
  const events = {
    output: (more: OutputLine[]) => lines.push(...more),
    started: () => {},
    childCall: () => {},
    childCancel: () => {},
    childWait: () => {},
    part: () => {},
    map: () => {},
    unloaded: () => {},
  };
  return {
    ours,
    theirs,
    lines,
    connecting: connectRunner(ours, events),
    say<K extends keyof FrameHeads>(name: K, head: FrameHeads[K], payload = ""): void {
      for (const piece of encodeFrame(name, head, [Buffer.from(payload)])) theirs.write(piece);
    },
    asked(name: string): Promise<Frame> {
      const found = asked.find((frame) => frame.name === name);
      return found ? Promise.resolve(found) : new Promise((resolve) => waiting.push({ name, resolve }));
    },
  };
}

const hello = { protocol: 1, language: "python", interpreter: "Python 3.99" } as const;
const empty = Buffer.alloc(0);
const request = (call: string, timeoutMs = 0) => ({
  call,
  snapshot: "s",
  version: "v",
  function: "f",
  positional: empty,
  keywords: empty,
  timeoutMs,
});

describe("connectRunner", () => {
  it("fails when the runner ends before it is ready, and when it speaks another protocol", async () => {
    const silent = pair();
    silent.theirs.destroy();
    await expect(silent.connecting).rejects.toThrow(/starting a runner: it ended/);
    const other = pair();
    other.say("ready", { ...hello, protocol: 2 });
    await expect(other.connecting).rejects.toThrow(/the python runner speaks protocol 2, this agent 1/);
  });

  it("ends every call and load when the runner sends what is not a frame", async () => {
    const { connecting, say, theirs } = pair();
    say("ready", hello);
    const runner = await connecting;
    expect(runner.interpreter).toBe("Python 3.99");
    const load = {
      app: "a",
      snapshot: "s",
      base: "",
      changed: [],
      removed: [],
      blobs: [],
      versions: [],
      retire: [],
      patches: [],
      secrets: {},
    };
    const both = Promise.all([runner.call(request("one")), runner.load(load)]);
    theirs.write(Buffer.alloc(64, 0xff));
    for (const { failure } of await both)
      expect(failure?.message).toMatch(/the runner is gone: the runner sent what is not a frame/);
    expect(await runner.closed).toMatch(/not a frame/);
  });

  // In the field: SyntaxError("m", ("t.html", -1, 0, "x")) gave line -1, which the wire refuses; the link broke again at every reconnect.
  it("puts what a runner says into the ranges of the wire", async () => {
    const { connecting, say, lines } = pair();
    say("ready", hello);
    const runner = await connecting;
    const outcome = runner.call(request("odd"));
    say("output", { call: "odd", stream: "stdout", timeMs: Number.NaN, dropped: -5 }, "text");
    const frame = { file: 7, line: -1, function: null, source: "x", own: "yes" } as unknown as Failure["frames"][number];
    const told = { kind: "exception", type: "E", message: "m", traceback: "", frames: [frame] };
    say("result", { call: "odd", runMs: -1, droppedBytes: -1, positional: 0, failure: told } as unknown as FrameHeads["result"]);
    const { failure, droppedBytes } = await outcome;
    expect(failure?.frames).toEqual([{ file: "", line: 0, function: "", source: "x", own: false }]);
    expect(droppedBytes).toBe(0);
    expect(lines[0]).toMatchObject({ dropped: 0, timeMs: 0 });
    expect(Failure.decode(Failure.encode(failure!).finish())).toEqual(failure);
  });

  it("reports a timeout as a timeout although the process ended with a signal, and starts the clock when the call starts", async () => {
    const { connecting, say, asked } = pair();
    say("ready", hello);
    await using runner = await connecting;
    const outcome = runner.call(request("one", 20));
    await asked("call");
    say("started", { call: "one", timeMs: 1 });
    expect((await asked("cancel")).head).toEqual({ call: "one" });
    const failure = { kind: "signal", type: "", message: "was ended by signal 15", traceback: "", frames: [] };
    say("result", { call: "one", runMs: 25, droppedBytes: 3, failure });
    expect(await outcome).toMatchObject({ failure: { kind: "timeout" }, runMs: 25, droppedBytes: 3 });
  });

  it("splits output into lines, with their ends gone and what was dropped before the first", async () => {
    const { connecting, say, lines } = pair();
    say("ready", hello);
    await using runner = await connecting;
    say("output", { call: "c", stream: "stderr", timeMs: 5, dropped: 7 }, "one\r\n\ntwo");
    const outcome = runner.call(request("c"));
    say("result", { call: "c", runMs: 1 }, "[1]");
    expect((await outcome).result?.json.toString()).toBe("[1]");
    const line = { call: "c", stream: "stderr", timeMs: 5 };
    expect(lines).toEqual([
      { ...line, text: "one", dropped: 7 },
      { ...line, text: "", dropped: 0 },
      { ...line, text: "two", dropped: 0 },
    ]);
  });

  it("fills in what a runner leaves out of a failure", async () => {
    const { connecting, say } = pair();
    say("ready", hello);
    await using runner = await connecting;
    const outcome = runner.call(request("c"));
    say("result", { call: "c", runMs: 1, failure: { kind: "encoding", message: "no" } as never });
    expect((await outcome).failure).toEqual({ kind: "encoding", type: "", message: "no", traceback: "", frames: [] });
  });
});

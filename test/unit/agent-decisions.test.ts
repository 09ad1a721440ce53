// ⑤⑥ The agent's pure parts: a container's moves, what a load carries, what failures are called, what waits for control.

import { describe, expect, it } from "vitest";
import { type ContainerState, transition } from "../../agent/container/state.ts";
import { explain, failure } from "../../agent/failures.ts";
import { createOutbox, type Message } from "../../agent/outbox.ts";
import { createSnapshotLists, differenceFor, neededBlobs, parseSnapshot } from "../../agent/snapshots.ts";
import type { LogLine, SnapshotDelta, Version } from "../../proto/gen/hob/v1/common.ts";
import { NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";

const digestOf = (character: string): string => character.repeat(64);
const entry = (path: string, character: string) => ({ path, digest: digestOf(character), size: 1, mode: 0o644 });
const delta = (digest: string, base: string, changed: ReturnType<typeof entry>[], removed: string[] = []): SnapshotDelta => ({
  ...{ digest, base, changed, removed },
  blobs: [],
});

describe("a container's states", () => {
  it("go from starting to warm to specialised to stopping to gone", () => {
    let state: ContainerState = { name: "starting" };
    state = transition("c1", state, { name: "ready" });
    state = transition("c1", state, { name: "specialise", app: "words" });
    expect(state).toEqual({ name: "specialised", app: "words" });
    state = transition("c1", state, { name: "stop", reason: "no need", by: "agent" });
    state = transition("c1", state, { name: "end" });
    expect(state).toEqual({ name: "gone", reason: "no need", by: "agent" });
  });

  it("refuse a second app with a sentence that names the container and both apps", () => {
    const state: ContainerState = { name: "specialised", app: "words" };
    expect(transition("c1", state, { name: "specialise", app: "words" })).toBe(state);
    expect(() => transition("c1", state, { name: "specialise", app: "thumbs" })).toThrow(
      "container c1 is specialised to words: it cannot specialise it to thumbs",
    );
  });

  it("keep the first reason to stop, and never come back", () => {
    const stopping: ContainerState = { name: "stopping", reason: "first", by: "itself" };
    expect(transition("c1", stopping, { name: "stop", reason: "second", by: "agent" })).toBe(stopping);
    expect(() => transition("c1", stopping, { name: "ready" })).toThrow("container c1 is stopping");
    expect(() => transition("c1", { name: "gone", reason: "", by: "agent" }, { name: "specialise", app: "words" })).toThrow(
      "gone",
    );
  });
});

describe("snapshots", () => {
  const first = delta("s1", "", [entry("app.py", "a"), entry("data/x y.csv", "b"), entry("old.py", "c")]);
  const second = delta("s2", "s1", [entry("app.py", "d")], ["old.py"]);

  it("are whole lists made from deltas, or read from the canonical text where the base is unknown", async () => {
    const text = `644 ${digestOf("d")} 1 app.py\n600 ${digestOf("b")} 12 data/x y.csv\n`;
    const known = createSnapshotLists(() => Promise.reject(new Error("not asked for")));
    await known.resolve(first);
    const files = await known.resolve(second);
    expect([...files.keys()]).toEqual(["app.py", "data/x y.csv"]);
    const unknown = await createSnapshotLists(async (digest) => (digest === "s2" ? text : "")).resolve(second);
    expect(unknown.get("data/x y.csv")).toEqual({ path: "data/x y.csv", digest: digestOf("b"), size: 12, mode: 0o600 });
    expect(unknown.size).toBe(2);
  });

  it("refuse a line that is none", () => {
    expect(() => parseSnapshot("644 abc 1 app.py\n")).toThrow("which is not MODE DIGEST SIZE PATH");
  });

  it("travel as a delta only to somebody who knows the base", async () => {
    const lists = createSnapshotLists(() => Promise.reject(new Error("not asked for")));
    await lists.resolve(first);
    const files = await lists.resolve(second);
    expect(differenceFor((snapshot) => snapshot === "s1", second, files)).toEqual({
      base: "s1",
      changed: second.changed,
      removed: ["old.py"],
    });
    expect(differenceFor(() => false, second, files)).toEqual({ base: "", changed: [...files.values()], removed: [] });
    expect(differenceFor((snapshot) => snapshot === "s2", second, files)).toEqual({ base: "s2", changed: [], removed: [] });
  });

  it("need from the blobs only Python sources, or bundles, that the runner lacks", () => {
    const difference = { base: "", changed: first.changed, removed: [] };
    const told = [{ digest: "s0", files: new Map([["old.py", entry("old.py", "c")]]) }];
    expect(neededBlobs("python", difference, [], told)).toEqual([digestOf("a")]);
    const version: Version = {
      function: "f",
      digest: "v",
      snapshot: "s1",
      bundle: digestOf("e"),
      spec: undefined,
      keepsState: false,
    };
    expect(neededBlobs("typescript", difference, [version, version], [])).toEqual([digestOf("e")]);
  });
});

describe("a failure", () => {
  const MiB = 2 ** 20;
  const running = {
    container: "c1",
    state: { name: "specialised" as const, app: "words" },
    memoryKill: false,
    pidsRefused: false,
    limitBytes: 64 * MiB,
    peakBytes: 64 * MiB,
  };

  it("of a process that the kernel killed for memory names limit and peak", () => {
    const explained = explain(failure("signal", "killed by SIGKILL"), { ...running, memoryKill: true });
    expect(explained).toMatchObject({
      kind: "memory",
      message: "the function ran out of memory (limit 64 MiB, peak 64 MiB): give it more with memory=",
    });
  });

  it("under a container that we ended is the infrastructure's, so that the call is tried again", () => {
    const state = { name: "stopping" as const, reason: "the FUSE daemon ended", by: "agent" as const };
    expect(explain(failure("signal", "killed"), { ...running, state })).toMatchObject({
      kind: "infrastructure",
      message: "container c1 was ended under the call: the FUSE daemon ended",
    });
    expect(explain(failure("exit", "exit 3"), { ...running, state: { ...state, by: "itself" } }).kind).toBe("exit");
  });

  it("of the function's own keeps its kind; a limit that the container ran into is said beside it", () => {
    const own = failure("exception", "ValueError: no");
    expect(explain(own, running)).toBe(own);
    expect(explain(own, { ...running, memoryKill: true, pidsRefused: true })).toEqual({
      ...own,
      message:
        "ValueError: no (a process of the container was ended for want of memory, limit 64 MiB, peak 64 MiB: give the function more with memory=; the container reached its limit of 1024 processes and threads)",
    });
    expect(explain(failure("exception", "[Errno 28] No space left on device"), running).message).toContain("disk holds 32 MiB");
  });
});

describe("what waits for control", () => {
  const line = (text: string): LogLine => ({
    call: "",
    app: "",
    function: "",
    container: "c1",
    stream: "stdout",
    timeMs: 0,
    text,
    dropped: 0,
    seq: 0,
  });
  const logs = (count: number): Message => ({
    $case: "logs",
    value: { lines: Array.from({ length: count }, (_, index) => line(String(index))) },
  });
  const finished = (call: string): Message => ({
    $case: "finished",
    value: {
      call,
      container: "c1",
      attempt: 1,
      result: undefined,
      failure: undefined,
      loadMs: 0,
      runMs: 0,
      droppedBytes: 0,
      peakMemoryBytes: 0,
    },
  });
  const drain = (outbox: ReturnType<typeof createOutbox>): Message[] => {
    const taken: Message[] = [];
    for (let next = outbox.take(); next; next = outbox.take()) taken.push(next);
    return taken;
  };

  it("keeps what counts until it is acknowledged, and on the next connection sends the rest again, in order and counted on", () => {
    const outbox = createOutbox();
    for (const id of ["a", "b"]) outbox.put(finished(id));
    outbox.put({ $case: "sample", value: NodeInfo.create() });
    outbox.put(logs(1));
    expect(drain(outbox)).toHaveLength(4);
    outbox.acknowledge(1);
    outbox.put(finished("c"));
    expect(outbox.unacknowledged()).toEqual(["b", "c"]);
    outbox.resume(1); // of a, b, and the lines, control had a
    expect(drain(outbox)).toEqual([finished("b"), logs(1), finished("c")]);
    outbox.acknowledge(3);
    outbox.resume(3);
    expect(drain(outbox)).toEqual([finished("c")]);
    outbox.resume(0); // another control, which has none of them
    expect(drain(outbox)).toEqual([finished("c")]);
    outbox.acknowledge(1);
    outbox.resume(1);
    expect(outbox.waiting).toBe(0);
  });

  it("is bounded for log lines, and one empty line counts the bytes of those that are lost, where they were", () => {
    const outbox = createOutbox();
    outbox.put(logs(19_999));
    outbox.put(logs(11));
    outbox.put(logs(5));
    outbox.put(finished("a"));
    outbox.put(logs(1));
    const kept = drain(outbox).flatMap((message) => (message.$case === "logs" ? message.value.lines : []));
    expect(kept).toHaveLength(20_002);
    // "1" to "9", "10", "0" to "4", each with its end; then "0" behind the result.
    expect(kept.slice(-2)).toEqual([9 * 2 + 3 + 5 * 2, 2].map((dropped) => ({ ...line(""), stream: "system", dropped })));
    outbox.put(logs(1));
    expect(drain(outbox)).toEqual([{ $case: "logs", value: { lines: [line("0")] } }]);
  });

  it("counts lost lines for the call that wrote them, when several write at once", () => {
    const outbox = createOutbox();
    outbox.put(logs(20_000));
    const ofCall = (call: string): LogLine => ({ ...line("x"), call });
    outbox.put({ $case: "logs", value: { lines: ["a", "b", "a", "a"].map(ofCall) } });
    const kept = drain(outbox).flatMap((message) => (message.$case === "logs" ? message.value.lines : []));
    expect(kept.slice(20_000).map(({ call, dropped }) => [call, dropped])).toEqual([
      ["b", 2],
      ["a", 6],
    ]);
  });

  it("is bounded in bytes too, and sends lines in messages of about a megabyte", () => {
    const outbox = createOutbox();
    const long = "x".repeat(64 << 10);
    outbox.put({ $case: "logs", value: { lines: Array.from({ length: 1_000 }, () => line(long)) } });
    const messages = drain(outbox).map((message) => (message.$case === "logs" ? message.value.lines : []));
    const bytes = (lines: LogLine[]): number => lines.reduce((sum, { text }) => sum + text.length, 0);
    expect(Math.max(...messages.map(bytes))).toBeLessThanOrEqual(1 << 20);
    expect(bytes(messages.flat())).toBe(8 << 20);
    expect(messages.flat().at(-1)).toMatchObject({ stream: "system", text: "", dropped: 872 * (long.length + 1) });
  });
});

// The workbench while control is not there yet or has gone: what it keeps, and what it sends when control is back.

import { describe, expect, it } from "vitest";
import {
  app,
  bench,
  connects,
  control,
  ended,
  event,
  events,
  finished,
  open,
  put,
  ready,
  receiptIn,
  startControl,
} from "./workbench-place.ts";

describe("a workbench", () => {
  describe("a save before control is reached", () => {
    async function openAndSave(edit: (source: string) => string): Promise<{ reach: () => void }> {
      const { promise, resolve } = Promise.withResolvers<void>();
      await open(promise);
      await event((candidate) => candidate.kind === "project" && candidate.functions.length === 2);
      bench.pin("images", "other", [7], {});
      put("app.py", edit(app));
      await event(
        (candidate) => candidate.kind === "receipt" || (candidate.kind === "diagnostics" && candidate.diagnostics.length > 0),
      );
      return { reach: resolve };
    }

    it("that breaks a file: its functions serve as they were before", async () => {
      const { reach } = await openAndSave((source) => source.replace("def embed(", "def embed(("));
      const call = bench.call("images", "other", [1], {}, "key");
      reach();
      await event((candidate) => finished(candidate) && candidate.kind === "call" && candidate.call.id === call && candidate);
      expect([...control.versions.keys()].sort()).toEqual(["images/embed", "images/other"]);
    });

    it("that changes the pinned function calls it, and tells just that change", async () => {
      const { reach } = await openAndSave((source) => source.replace("return x", "return x + 1"));
      reach();
      const receipt = await event(receiptIn("loaded"));
      expect(receipt.changes.map((change) => `${change.function}: ${change.reason}`)).toEqual(["other: body changed"]);
      expect(control.publishes.flatMap(({ calls }) => calls.map((call) => call.function))).toEqual(["other"]);
    });

    it("that changes a comment says so, and calls nothing", async () => {
      const { reach } = await openAndSave((source) => `${source}# a remark\n`);
      reach();
      const call = bench.call("images", "embed", ["a"], {}, "key");
      await event((candidate) => finished(candidate) && candidate.kind === "call" && candidate.call.id === call && candidate);
      const receipts = events.flatMap((candidate) => (candidate.kind === "receipt" ? [candidate.receipt] : []));
      expect(receipts.map(({ nothing }) => nothing)).toEqual(["comment or formatting only, or code that no function reaches"]);
      expect(control.publishes.flatMap(({ calls }) => calls)).toEqual([]);
    });
  });

  it("goes on after control was lost with all that it had", async () => {
    await open();
    await ready();
    control.holdCalls = true;
    const id = bench.call("images", "embed", ["x"], {}, "cli");
    await event((candidate) => candidate.kind === "call" && candidate.call.state === "running");
    control.send({
      $case: "logs",
      value: {
        lines: [
          {
            call: id,
            app: "images",
            function: "embed",
            container: "",
            stream: "stdout",
            timeMs: 0,
            text: "hello",
            dropped: 0,
            seq: 41,
          },
        ],
      },
    });
    await event((candidate) => candidate.kind === "logs");
    await control[Symbol.asyncDispose]();
    expect((await event((candidate) => candidate.kind === "link" && candidate.state === "lost" && candidate)).detail).not.toBe(
      "",
    );
    put("helpers.py", "def clean(x):\n    return x + '!'\n"); // saved while nobody listens
    await event(receiptIn("described"));
    const queued = bench.call("images", "other", ["later"], {}, "key");
    events.length = 0;
    await startControl();
    await event((candidate) => candidate.kind === "link" && candidate.state === "live");
    await event((candidate) => candidate.kind === "call" && candidate.call.id === queued && finished(candidate));
    expect(control.messages[0]).toMatchObject({ $case: "open", value: { logsAfter: 41, calls: [id] } });
    expect([...control.versions.keys()].sort()).toEqual(["images/embed", "images/other"]);
    expect(control.file("helpers.py")).toContain("'!'");
    expect((await event(receiptIn("loaded"))).files).toEqual(["helpers.py"]);
    expect(connects).toBeGreaterThan(1);
  });

  it("a control that has it all is sent nothing again", async () => {
    await open();
    await ready();
    await bench[Symbol.asyncDispose]();
    await ended;
    const before = control.messages.length;
    await open();
    await ready();
    expect(control.messages.slice(before).map((message) => message.$case)).toEqual(["open", "watch", "call"]);
    put("app.py", app.replace("return x", "return x + 1"));
    await event(receiptIn("loaded"));
    expect(control.publishes[0]!.snapshot!.changed.length).toBe(1);
  });

  it("puts large files by Content, and what control has lost is put again", async () => {
    const large = Buffer.alloc(3 << 20, "x");
    put("model.bin", large);
    await open();
    await ready();
    const digest = [...control.blobs].find(([, data]) => data.length === large.length)![0];
    expect(digest).toBeDefined();
    put("model.bin", Buffer.alloc(3 << 20, "y"));
    await event((candidate) => candidate.kind === "receipt" && candidate.receipt.nothing === "no function reaches model.bin");
    put("app.py", app.replace("return x", "return x + 1"));
    const receipt = await event(receiptIn("loaded"));
    expect(receipt.bytesShipped).toBeGreaterThan(3 << 20);
    expect([...control.blobs.values()].some((data) => data.length === 3 << 20 && data[0] === 121)).toBe(true);
    events.length = 0;
    control.blobs.clear(); // and it wants the whole again only where it says so
    put("app.py", app.replace("return x", "return x + 2"));
    await event(receiptIn("loaded"));
    expect(control.file("app.py")).toContain("x + 2");
  });

  // `hob deploy` of a project with a fault told the fault, and after it that an app "could not be put in place": it had been left on the way.
  it("that is left while something is on its way says nothing of it", async () => {
    const asked = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    control.askedMissing = () => {
      asked.resolve();
      return left.promise;
    };
    put("model.bin", Buffer.alloc(3 << 20, "x"));
    await open();
    await asked.promise;
    const leaving = bench[Symbol.asyncDispose]();
    left.resolve();
    await leaving;
    await ended;
    expect(events.filter(({ kind }) => kind === "notice")).toEqual([]);
  });
});

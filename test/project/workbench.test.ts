// The workbench against a control: what it sends for a save, and what it tells of the answers.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HobError } from "../../base/errors.ts";
import type { WorkbenchEvent } from "../../project/events.ts";
import {
  app,
  base,
  bench,
  control,
  ended,
  event,
  events,
  finished,
  open,
  put,
  ready,
  receiptIn,
  root,
} from "./workbench-place.ts";

describe("a workbench", () => {
  it("publishes the project when it starts, and calls go once control has it", async () => {
    await open();
    const project = await event((candidate) => candidate.kind === "project" && candidate);
    expect(project).toMatchObject({
      apps: ["images"],
      functions: [{ spec: { name: "embed" }, pinned: false }, { spec: { name: "other" } }],
    });
    const id = bench.call("images", "embed", ["x"], { width: 3 }, "cli");
    const call = await event((candidate) => candidate.kind === "call" && candidate.call.id === id && finished(candidate));
    expect(call.call.result!.json.toString()).toBe('["x"]');
    expect(call.saveToResultMs).toBeUndefined();
    expect(control.publishes.length).toBe(1);
    expect(control.file("app.py")).toBe(app);
    const order = control.messages.map((message) => message.$case);
    expect(order).toEqual(["open", "watch", "publish", "call"]);
    expect(events.filter(({ kind }) => kind === "link").map((link) => link.kind === "link" && link.state)).toEqual([
      "connecting",
      "live",
    ]);
  });

  it("carries the login for the registry of a new version's image", async () => {
    put("app.py", app.replace("@app.function()", '@app.function(image=hob.Image.oci("registry.example/a/b:1"))'));
    const auth = Buffer.from("me:secret").toString("base64");
    writeFileSync(join(base, "auth.json"), JSON.stringify({ auths: { "registry.example": { auth } } }));
    process.env["REGISTRY_AUTH_FILE"] = join(base, "auth.json");
    try {
      await open();
      await ready();
      put("app.py", app.replace("@app.function()", '@app.function(image=hob.Image.oci("registry.example/a/b:2"))'));
      await event(receiptIn("loaded"));
    } finally {
      delete process.env["REGISTRY_AUTH_FILE"];
    }
    expect(control.publishes.at(-1)!.credentials).toEqual([
      { registry: "registry.example", username: "me", password: "secret", identityToken: "" },
    ]);
  });

  it("sends one message for a save: the difference, the version, and the pinned call", async () => {
    await open();
    await ready();
    bench.pin("images", "embed", ["cat.jpg"], {});
    put("helpers.py", "def clean(x):\n    return x.strip()\n");
    const call = await event(finished);
    const receipt = await event(
      (candidate) => candidate.kind === "receipt" && candidate.receipt.ms.run !== undefined && candidate.receipt,
    );
    expect(control.publishes.length).toBe(1);
    const [publish] = control.publishes;
    expect(publish!.snapshot!.changed.map(({ path }) => path)).toEqual(["helpers.py"]);
    expect(publish!.snapshot!.base).not.toBe("");
    expect(publish!.snapshot!.blobs.length).toBe(1);
    expect(publish!.versions.map((version) => version.function)).toEqual(["embed"]);
    expect(publish!.changes).toEqual([{ function: "embed", tier: "patch", reason: "body of helpers.clean changed" }]);
    expect(publish!.calls).toMatchObject([{ function: "embed", version: publish!.versions[0]!.digest, origin: "save" }]);
    expect(call.saveToResultMs).toBeGreaterThan(0);
    expect(receipt).toMatchObject({
      state: "loaded",
      files: ["helpers.py"],
      changes: [{ function: "embed", tier: "patch", reason: "body of helpers.clean changed" }],
      bytesShipped: 35,
      ms: { load: 0.01, run: 0.5 },
    });
    const { watch, describe: described, ship, total } = receipt.ms;
    expect(watch).toBeGreaterThanOrEqual(0);
    expect(described).toBeGreaterThan(0);
    expect(ship).toBeGreaterThan(0);
    expect(total).toBeGreaterThanOrEqual(watch! + described!);
    expect(new Set(events.flatMap((found) => (found.kind === "receipt" ? [found.receipt.id] : []))).size).toBe(1);
  });

  it("publishes nothing for a comment, and says so", async () => {
    await open();
    await ready();
    put("helpers.py", "# a comment\ndef clean(x):\n    return x\n");
    const receipt = await event(receiptIn("described"));
    expect(receipt.nothing).toMatch(/^comment or formatting only/);
    put("app.py", app.replace("return x", "return -x"));
    await event(receiptIn("loaded"));
    expect(control.publishes.length).toBe(1);
    expect(control.file("helpers.py")).toContain("# a comment"); // went along with the next save
  });

  it("a syntax error is a diagnostic; the old versions serve until it is mended", async () => {
    await open();
    await ready();
    put("app.py", app.replace("return x", "retrun x"));
    const found = await event(
      (candidate) => candidate.kind === "diagnostics" && candidate.diagnostics.length > 0 && candidate.diagnostics,
    );
    expect(found).toMatchObject([{ file: "app.py", line: 11, sourceLine: "    retrun x" }]);
    expect(control.publishes.length).toBe(0);
    bench.call("images", "embed", ["still"], {}, "key");
    await event(finished);
    events.length = 0;
    put("app.py", app.replace("return x", "return x + 1"));
    await event((candidate) => candidate.kind === "diagnostics" && candidate.diagnostics.length === 0);
    expect((await event(receiptIn("loaded"))).changes).toEqual([{ function: "other", tier: "patch", reason: "body changed" }]);
  });

  // In the field: whoever saved in the first half second saw "there is no function", no pinned call, or every function as new.
  it("publishes nothing while paused, and everything since when it goes on", async () => {
    await open();
    await ready();
    bench.pause(true);
    put("app.py", app.replace("return x", "return x + 1"));
    await event(receiptIn("described"));
    put("helpers.py", "def clean(x):\n    return x + '!'\n");
    await event((candidate) => candidate.kind === "receipt" && candidate.receipt.files.includes("helpers.py") && candidate);
    expect(control.publishes.length).toBe(0);
    bench.pause(false);
    const receipt = await event(receiptIn("loaded"));
    expect(receipt.changes.map((change) => change.function).sort()).toEqual(["embed", "other"]);
    expect(receipt.files.sort()).toEqual(["app.py", "helpers.py"]);
    expect(control.publishes.length).toBe(1);
  });

  it("a version that cannot be loaded fails its receipt, and is tried again with the next save", async () => {
    await open();
    await ready();
    const served = control.versions.get("images/other")!.digest;
    control.loadFailure = { kind: "load", type: "ImportError", message: "no module named nothing", traceback: "", frames: [] };
    put("app.py", app.replace("return x", "return x + 1"));
    const receipt = await event(receiptIn("failed"));
    expect(receipt.failure!.message).toBe("no module named nothing");
    const back = (candidate: WorkbenchEvent): boolean =>
      candidate.kind === "project" &&
      candidate.functions.some(({ spec, version }) => spec.name === "other" && version === served);
    await event((candidate) => events.indexOf(candidate) > 0 && back(candidate));
    events.length = 0;
    control.loadFailure = undefined;
    put("spare.py", "x = 1\n");
    await event(
      (candidate) =>
        candidate.kind === "receipt" && candidate.receipt.files.includes("spare.py") && candidate.receipt.state === "shipped",
    );
    expect(control.publishes.at(-1)!.versions).toEqual([]);
  });

  // In the field: `hob run` waited for ever when control's disk was full, and a signal only asked control to cancel what it never had.
  it("a publish that control refuses ends the calls that wait for it, and a call that was not sent can be cancelled", async () => {
    await bench[Symbol.asyncDispose]();
    await ended;
    control.publishFailure = { kind: "infrastructure", type: "", message: "the disk is full", traceback: "", frames: [] };
    control.versions.clear();
    const { promise, resolve } = Promise.withResolvers<void>();
    await open(promise);
    await event((candidate) => candidate.kind === "project" && candidate.functions.length === 2);
    const given = (id: string) => (candidate: WorkbenchEvent) =>
      candidate.kind === "call" && candidate.call.id === id && candidate.call;
    const early = bench.call("images", "other", [1], {}, "cli");
    bench.cancel(early);
    expect((await event(given(early))).state).toBe("cancelled");
    const waits = bench.call("images", "other", [2], {}, "cli");
    resolve();
    expect(await event(given(waits))).toMatchObject({
      state: "failed",
      failure: { kind: "infrastructure", message: "the disk is full" },
    });
  });

  it("refuses calls that name no function or do not fit, with the signature", async () => {
    await open();
    await ready();
    const refusal = (name: string, positional: unknown[], keywords = {}): string => {
      try {
        bench.call("images", name, positional, keywords, "key");
      } catch (error) {
        if (error instanceof HobError && error.kind === "usage") return error.sentence;
      }
      return "taken";
    };
    expect(refusal("nobody", [])).toBe("app images has no function nobody: there is embed, other");
    expect(refusal("embed", [])).toBe("embed: its parameter path is missing: it is embed(path: str, width: int = …) -> list");
    expect(refusal("embed", [1, 2, 3])).toContain("at most 2 arguments by position, and 3 were given");
    expect(refusal("embed", ["x"], { path: "y" })).toContain("path is given twice");
    expect(refusal("embed", ["x"], { size: 1 })).toContain("it has no parameter size");
  });

  it("a project without functions says how one looks, and a folder that is deleted is noticed", async () => {
    rmSync(join(root, "app.py"));
    await open();
    expect(await event((candidate) => candidate.kind === "project" && candidate)).toMatchObject({ apps: [], functions: [] });
    expect(await event((candidate) => candidate.kind === "notice" && candidate.text)).toContain("@app.function()");
    rmSync(root, { recursive: true });
    await event((candidate) => candidate.kind === "notice" && candidate.text.includes("is gone"));
    mkdirSync(root);
    put("app.py", app);
    await event((candidate) => candidate.kind === "project" && candidate.functions.length === 2);
  });
});

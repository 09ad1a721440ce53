// ⑤ The snapshots mount: what containers see of a project, added while it is mounted.

import { spawn } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import type { FileEntry } from "../../proto/gen/hob/v1/common.ts";
import { type Mounted, probe, startMounted } from "./mounted.ts";

describe.skipIf(!probe.fuse).each([{ workers: 1 }, { workers: 2 }])("the snapshots mount (%o)", (options) => {
  let mounted: Mounted;
  let root: string;

  beforeEach(async () => {
    mounted = await startMounted(options);
    root = await mounted.point("snapshots");
    await mounted.server.mountSnapshots(root);
  });
  afterEach(() => mounted[Symbol.asyncDispose]());

  async function source(path: string, text: string, mode = 0o644): Promise<FileEntry> {
    return { path, digest: await mounted.store.put(Buffer.from(text)), size: Buffer.byteLength(text), mode };
  }

  it("shows a snapshot's files below their container, belonging to root and read-only", async () => {
    const files = [await source("app.py", "print(1)"), await source("package/deep/tool.sh", "#!/bin/sh", 0o700)];
    await mounted.server.addContainer("c0ffee00");
    expect(await readdir(root)).toEqual(["c0ffee00"]);
    expect(await readdir(join(root, "c0ffee00"))).toEqual([]);
    await mounted.server.addSnapshot("c0ffee00", "first", "", files, []);
    expect(await readdir(join(root, "c0ffee00"))).toEqual(["first"]);

    const snapshot = join(root, "c0ffee00/first");
    expect((await readdir(snapshot, { recursive: true })).sort()).toEqual([
      "app.py",
      "package",
      "package/deep",
      "package/deep/tool.sh",
    ]);
    expect(await readFile(join(snapshot, "package/deep/tool.sh"), "utf8")).toBe("#!/bin/sh");
    const modes = await Promise.all(
      ["app.py", "package/deep/tool.sh", "package"].map(async (path) => (await stat(join(snapshot, path))).mode),
    );
    expect(modes.map((mode) => (mode & 0o7777).toString(8))).toEqual(["444", "544", "755"]);
    expect(await stat(join(snapshot, "app.py"))).toMatchObject({ uid: 0, gid: 0 });
    await expect(writeFile(join(snapshot, "app.py"), "x")).rejects.toThrow("EROFS");
    if (probe.passthrough) expect((await mounted.server.stats()).requests["READ"] ?? 0).toBe(0);
  });

  it("makes a snapshot from a base and what differs, for any container, and leaves the base as it was", async () => {
    await mounted.server.addContainer("a");
    await mounted.server.addContainer("b");
    await mounted.server.addSnapshot(
      "a",
      "one",
      "",
      [await source("keep", "k"), await source("edit", "old"), await source("drop", "d")],
      [],
    );
    await mounted.server.addSnapshot("b", "two", "one", [await source("edit", "new"), await source("more/new", "n")], ["drop"]);
    expect((await readdir(join(root, "b/two"), { recursive: true })).sort()).toEqual(["edit", "keep", "more", "more/new"]);
    expect(await readFile(join(root, "b/two/edit"), "utf8")).toBe("new");
    expect(await readFile(join(root, "a/one/edit"), "utf8")).toBe("old");
    expect(await readdir(join(root, "a/one"))).toEqual(["drop", "edit", "keep"]);
    // The base need not be the newest.
    await mounted.server.addSnapshot("b", "three", "one", [], ["edit"]);
    expect(await readdir(join(root, "b/three"))).toEqual(["drop", "keep"]);
    expect(await readFile(join(root, "b/three/drop"), "utf8")).toBe("d");
  });

  it("refuses a base that it never saw, naming it", async () => {
    await mounted.server.addContainer("a");
    await expect(mounted.server.addSnapshot("a", "two", "missing", [], [])).rejects.toMatchObject({
      kind: "precondition",
      remedy: "send it whole",
    });
  });

  it("answers at once for a name that is no digest: who looks for .git above the project does not wait", async () => {
    await mounted.server.addContainer("a");
    const asked = performance.now();
    for (const name of [".git", "package.json"]) await expect(stat(join(root, "a", name))).rejects.toThrow("ENOENT");
    expect(performance.now() - asked).toBeLessThan(900);
  });

  it("lets a lookup wait for a snapshot that is about to come, and go on with others meanwhile", async () => {
    const soon = sha256("soon");
    await mounted.server.addContainer("a");
    await mounted.server.addContainer("b");
    const files = [await source("app.py", "here now")];
    await mounted.server.addSnapshot("b", "other", "", files, []);
    const before = (await mounted.server.stats()).requests["LOOKUP"] ?? 0;
    const early = readFile(join(root, "a", soon, "app.py"), "utf8");
    while (((await mounted.server.stats()).requests["LOOKUP"] ?? 0) < before + 2); // "a", then the snapshot: it waits now
    expect(await readFile(join(root, "b/other/app.py"), "utf8")).toBe("here now");
    await mounted.server.addSnapshot("a", soon, "", files, []);
    expect(await early).toBe("here now");
  });

  it("answers that there is no such snapshot after about a second, and does not remember it", async () => {
    const never = sha256("never");
    await mounted.server.addContainer("a");
    const asked = performance.now();
    await expect(stat(join(root, "a", never))).rejects.toThrow("ENOENT");
    expect(performance.now() - asked).toBeGreaterThan(900);
    await mounted.server.addSnapshot("a", never, "", [await source("f", "after all")], []);
    expect(await readFile(join(root, "a", never, "f"), "utf8")).toBe("after all");
    await expect(stat(join(root, "nobody"))).rejects.toThrow("ENOENT");
    await mounted.server.addContainer("nobody");
    expect(await readdir(join(root, "nobody"))).toEqual([]);
  });

  it("shows a snapshot's names and attributes again without asking", async () => {
    await mounted.server.addContainer("a");
    await mounted.server.addSnapshot("a", "s", "", [await source("package/x.py", "x")], []);
    await stat(join(root, "a/s/package/x.py"));
    await expect(stat(join(root, "a/s/package/absent.py"))).rejects.toThrow("ENOENT");
    const before = (await mounted.server.stats()).requests["LOOKUP"] ?? 0;
    await stat(join(root, "a/s/package/x.py"));
    await expect(stat(join(root, "a/s/package/absent.py"))).rejects.toThrow("ENOENT");
    expect((await mounted.server.stats()).requests["LOOKUP"]).toBe(before + 2); // "a" alone, which may go, each time
  });

  it("shows nothing of a container that was removed, even to somebody who stands in it", async () => {
    await mounted.server.addContainer("a");
    await mounted.server.addSnapshot("a", "s", "", [await source("f", "text")], []);
    expect(await readFile(join(root, "a/s/f"), "utf8")).toBe("text");
    await mounted.server.removeContainer("a");
    await expect(stat(join(root, "a"))).rejects.toThrow("ENOENT");
    await expect(readFile(join(root, "a/s/f"))).rejects.toThrow("ENOENT");
    expect(await readdir(root)).toEqual([]);
    await mounted.server.removeContainer("a");
    await expect(mounted.server.addSnapshot("a", "s", "", [], [])).rejects.toMatchObject({ kind: "notFound" });
  });

  it("shows nothing of a snapshot that was removed, forgets it, and shows it again when it is added again", async () => {
    const files = [await source("package/f", "text")];
    await mounted.server.addContainer("a");
    await mounted.server.addContainer("b");
    for (const container of ["a", "b"]) await mounted.server.addSnapshot(container, "s", "", files, []);
    for (const container of ["a", "b"]) expect(await readFile(join(root, container, "s/package/f"), "utf8")).toBe("text");
    await mounted.server.removeSnapshot("a", "s");
    await expect(readFile(join(root, "a/s/package/f"))).rejects.toThrow("ENOENT");
    expect(await readdir(join(root, "a"))).toEqual([]);
    expect(await readFile(join(root, "b/s/package/f"), "utf8")).toBe("text");
    await mounted.server.addSnapshot("a", "s", "s", [], []); // known still, through the other container
    expect(await readFile(join(root, "a/s/package/f"), "utf8")).toBe("text");
    for (const gone of ["s", "s", "never"]) await mounted.server.removeSnapshot("a", gone);
    await mounted.server.removeSnapshot("nobody", "s");
    expect(await readdir(join(root, "a"))).toEqual([]);
  });

  // In the field a save hung the pool: the removal took the directory's lock, which the waiting lookup holds.
  it("removes a snapshot while a lookup in the same container waits for another", async () => {
    const files = [await source("f", "text")];
    const [old, next] = ["0".repeat(64), "1".repeat(64)]; // only a digest is waited for
    await mounted.server.addContainer("a");
    await mounted.server.addSnapshot("a", old, "", files, []);
    expect(await readFile(join(root, `a/${old}/f`), "utf8")).toBe("text");
    const waiting = spawn("cat", [join(root, `a/${next}/f`)], { stdio: ["ignore", "pipe", "inherit"] });
    const said = text(waiting.stdout);
    // The kernel function in which it sleeps: until a FUSE request is answered.
    const asleep = () => readFile(`/proc/${waiting.pid}/wchan`, "utf8");
    await expect.poll(asleep, { timeout: 10_000, interval: 5 }).toMatch(/fuse|request_wait_answer/);
    await mounted.server.removeSnapshot("a", old);
    await mounted.server.addSnapshot("a", next, "", files, []);
    expect(await said).toBe("text");
  });

  it("fetches a blob of a snapshot that the store lacks", async () => {
    await mounted[Symbol.asyncDispose]();
    const late = Buffer.from("late");
    mounted = await startMounted({ ...options, fetch: async () => void (await mounted.store.put(late)) });
    root = await mounted.point("snapshots");
    await mounted.server.mountSnapshots(root);
    await mounted.server.addContainer("a");
    await mounted.server.addSnapshot("a", "s", "", [{ path: "f", digest: sha256(late), size: 4, mode: 0o644 }], []);
    expect(await readFile(join(root, "a/s/f"), "utf8")).toBe("late");
  });
});

// ⑤ The FUSE daemon's life and death: nothing of it is left, whoever is killed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { startFuseServer } from "../../fusefs/connect.ts";
import { detachMounts, mountPointsBelow } from "../../fusefs/detach.ts";
import { file, isAlive, probe, putImage, startMounted, until } from "./mounted.ts";

const mountsBelow = (folder: string): string[] => mountPointsBelow(readFileSync("/proc/self/mountinfo", "utf8"), folder);

describe.skipIf(!probe.fuse)("the FUSE daemon", () => {
  it("ends in order: unmounted, no process, and calls afterwards say so", async () => {
    const mounted = await startMounted();
    const { server, folder } = mounted;
    const image = await putImage(mounted.store, []);
    await server.mountImage(image, await mounted.point("one"));
    await server.mountSnapshots(await mounted.point("two"));
    expect(mountsBelow(folder).length).toBe(2);
    await server[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    expect(await server.closed).toBe("it exited with code 0");
    expect(isAlive(server.pid)).toBe(false);
    expect(mountsBelow(folder)).toEqual([]);
    await expect(server.stats()).rejects.toThrow("the FUSE daemon has ended: it exited with code 0");
    await mounted[Symbol.asyncDispose]();
  });

  it("is known to be gone when none can take over, also by calls in flight; its mounts can be detached and it started again", async () => {
    await using mounted = await startMounted({ fetch: () => new Promise(() => {}) });
    const { server, store, folder } = mounted;
    const digest = await store.put(Buffer.from("content"));
    const image = await putImage(store, [file("a", digest, 7)]);
    const point = await mounted.point("image");
    await server.mountImage(image, point);
    const waiting = server.mountImage("1".repeat(64), point); // for a blob that never comes
    await rename(store.root, `${store.root}.away`);
    await writeFile(store.root, "no folder");
    process.kill(server.pid, "SIGKILL");
    expect(await server.closed).toContain("opening the blob store");
    await expect(waiting).rejects.toThrow("opening the blob store");
    await rename(`${store.root}.away`, await rm(store.root).then(() => store.root));
    await expect(readFile(join(point, "a"))).rejects.toThrow("ENOTCONN");
    expect(detachMounts(folder)).toEqual([point]);
    expect(mountsBelow(folder)).toEqual([]);
    expect(readdirSync(point)).toEqual([]);

    await using again = await startFuseServer({
      store: store.root,
      view: "tree",
      fetch: () => Promise.reject(new Error("no")),
      logFile: join(folder, "again.log"),
      run: join(folder, "run-again"),
    });
    await again.mountImage(image, point);
    expect(await readFile(join(point, "a"), "utf8")).toBe("content");
  });

  it("ends and unmounts when the process that started it is killed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "hob-mount-test-"));
    const parent = spawn(process.execPath, [join(import.meta.dirname, "parent.ts"), folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface({ input: parent.stdout }), "line")) as [string];
    const daemon = Number(line);
    expect(isAlive(daemon)).toBe(true);
    expect(mountsBelow(folder)).toEqual([join(folder, "image")]);
    parent.kill("SIGKILL");
    await until("the daemon has ended", () => !isAlive(daemon));
    expect(mountsBelow(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });

  it("has a successor although the main thread of who started it waits for the dead one", async () => {
    const folder = await mkdtemp(join(tmpdir(), "hob-mount-test-"));
    const parent = spawn(process.execPath, [join(import.meta.dirname, "parent.ts"), folder, "look"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: parent.stdout });
    const seen: string[] = [];
    lines.on("line", (line) => seen.push(line));
    try {
      await until("it has seen the mount", () => seen.length === 2);
      expect(seen[1]).toBe("not found");
    } finally {
      parent.kill("SIGKILL");
      await until("its mounts are gone", () => mountsBelow(folder).length === 0);
    }
    await rm(folder, { recursive: true });
  });

  it("refuses a store that it cannot write, in one sentence", async () => {
    const run = join(tmpdir(), `hob-run-${process.pid}`);
    const start = startFuseServer({ store: "/dev/null/store", fetch: () => Promise.reject(new Error("no")), logFile: "-", run });
    await expect(start).rejects.toThrow("opening the blob store /dev/null/store");
  });
});

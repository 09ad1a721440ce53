// ⑤ Images on real mounts: the tree as it was, reads that bypass the daemon, blobs that come later or never.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, link, lstat, mkdir, open, readdir, readFile, readlink, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { captureTree, file, type Mounted, modes, probe, putImage, startMounted } from "./mounted.ts";

async function makeTree(root: string): Promise<void> {
  await mkdir(join(root, "deep/er/still"), { recursive: true });
  await mkdir(join(root, "many"));
  await writeFile(join(root, "empty"), "");
  await writeFile(join(root, "deep/er/data.bin"), Buffer.alloc(3_000_000, "hob is here "));
  await writeFile(join(root, "Főtanúsítvány – ünïcode 😀"), "x");
  for (let i = 0; i < 600; i++) await writeFile(join(root, "many", `a-rather-long-name-of-a-file-${i}`), `${i}`);
  await chmod(join(root, "many/a-rather-long-name-of-a-file-7"), 0o751);
  await chmod(join(root, "deep"), 0o711);
  await link(join(root, "deep/er/data.bin"), join(root, "a-hard-link"));
  await symlink("deep/er/data.bin", join(root, "to-a-file"));
  await symlink("/nowhere/at/all", join(root, "dangling"));
  await utimes(join(root, "empty"), 1234567890.25, 1234567890.25);
  await utimes(join(root, "deep"), -86400, -86400); // before 1970
}

/** One line for each path: type, mode, owner, links, size, time, target. */
async function listing(root: string): Promise<string[]> {
  const names = (await readdir(root, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const s = await lstat(join(root, name), { bigint: true });
      const target = s.isSymbolicLink() ? await readlink(join(root, name)) : "";
      const size = s.isDirectory() ? "" : s.size;
      return [name, s.mode.toString(8), s.uid, s.gid, s.isDirectory() ? "" : s.nlink, size, s.mtimeNs, target].join(" ");
    }),
  );
}

async function mountTree(mounted: Mounted): Promise<{ source: string; mountPoint: string }> {
  const source = join(mounted.folder, "source");
  await mkdir(source);
  await makeTree(source);
  const digest = await putImage(mounted.store, await captureTree(mounted.store, source));
  const mountPoint = await mounted.point("image");
  await mounted.server.mountImage(digest, mountPoint);
  return { source, mountPoint };
}

async function mountOne(mounted: Mounted, digest: string, size: number): Promise<string> {
  const here = await mounted.store.put(Buffer.from("local"));
  const image = await putImage(mounted.store, [file("wanted", digest, size), file("folder/local", here, 5)]);
  return mounted.show(image, "image");
}

describe.skipIf(!probe.fuse)("a mounted image", () => {
  it.each(modes)("is the tree that was captured (%o)", async (options) => {
    await using mounted = await startMounted(options);
    const source = join(mounted.folder, "source");
    await mkdir(source);
    await makeTree(source);
    const mountPoint = await mounted.show(await putImage(mounted.store, await captureTree(mounted.store, source)), "image");
    expect(execFileSync("/usr/bin/diff", ["-rq", "--no-dereference", source, mountPoint]).toString()).toBe("");
    expect(await listing(mountPoint)).toEqual(await listing(source));
    // Once more, from what the kernel has cached.
    expect(await listing(mountPoint)).toEqual(await listing(source));
    expect((await readdir(join(mountPoint, "many"))).length).toBe(600);
  });

  it.skipIf(!probe.passthrough)("is read without one READ request when its blobs are local", async () => {
    await using mounted = await startMounted();
    expect(mounted.server.passthrough).toEqual({ used: true, reason: "" });
    const { mountPoint } = await mountTree(mounted);
    await readFile(join(mountPoint, "deep/er/data.bin"));
    await readFile(join(mountPoint, "a-hard-link"));
    await readFile(join(mountPoint, "empty"));
    const { requests, passthroughOpens } = await mounted.server.stats();
    expect(requests["OPEN"]).toBe(3);
    expect(passthroughOpens).toBe(2);
    expect(requests["READ"] ?? 0).toBe(0);
  });

  it("is read through the daemon when passthrough is off, and then from the page cache", async () => {
    await using mounted = await startMounted({ passthrough: false });
    expect(mounted.server.passthrough).toEqual({ used: false, reason: "it was switched off" });
    const { source, mountPoint } = await mountTree(mounted);
    const expected = await readFile(join(source, "deep/er/data.bin"));
    expect((await readFile(join(mountPoint, "deep/er/data.bin"))).equals(expected)).toBe(true);
    const first = (await mounted.server.stats()).requests["READ"] ?? 0;
    expect(first).toBeGreaterThan(0);
    expect((await readFile(join(mountPoint, "deep/er/data.bin"))).equals(expected)).toBe(true);
    expect((await mounted.server.stats()).requests["READ"]).toBe(first);

    await using handle = await open(join(mountPoint, "deep/er/data.bin"));
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(100), 0, 100, expected.length - 40);
    expect(buffer.subarray(0, bytesRead).equals(expected.subarray(-40))).toBe(true);
  });

  it("refuses every change", async () => {
    await using mounted = await startMounted();
    const { mountPoint } = await mountTree(mounted);
    await expect(writeFile(join(mountPoint, "new"), "x")).rejects.toThrow("EROFS");
    await expect(writeFile(join(mountPoint, "empty"), "x")).rejects.toThrow("EROFS");
    await expect(mkdir(join(mountPoint, "folder"))).rejects.toThrow("EROFS");
  });

  it("asks about a name that is not there only once", async () => {
    await using mounted = await startMounted();
    const { mountPoint } = await mountTree(mounted);
    await expect(stat(join(mountPoint, "absent"))).rejects.toThrow("ENOENT");
    const before = (await mounted.server.stats()).requests["LOOKUP"];
    await expect(stat(join(mountPoint, "absent"))).rejects.toThrow("ENOENT");
    expect((await mounted.server.stats()).requests["LOOKUP"]).toBe(before);
  });

  it("is gone from its folder after unmount, and an unknown folder is named", async () => {
    await using mounted = await startMounted();
    const { mountPoint } = await mountTree(mounted);
    expect((await mounted.server.stats()).mounts).toBe(1);
    await mounted.server.unmount(mountPoint);
    expect(await readdir(mountPoint)).toEqual([]);
    expect((await mounted.server.stats()).mounts).toBe(0);
    await expect(mounted.server.unmount(mountPoint)).rejects.toThrow(
      `unmounting ${mountPoint}: nothing of ours is mounted there`,
    );
  });

  it("shows one manifest at two places", async () => {
    await using mounted = await startMounted();
    const digest = await mounted.store.put(Buffer.from("shared"));
    const image = await putImage(mounted.store, [file("a", digest, 6)]);
    const points = [await mounted.point("one"), await mounted.point("two")];
    for (const point of points) await mounted.server.mountImage(image, point);
    for (const point of points) expect(await readFile(join(point, "a"), "utf8")).toBe("shared");
  });
});

describe.skipIf(!probe.fuse).each(modes)("a blob that is not local (%o)", (mode) => {
  const content = Buffer.from("this comes later");
  const digest = sha256(content);

  it("makes its readers wait, each digest asked for once, while everything else goes on", async () => {
    const asked = Promise.withResolvers<void>();
    const arrive = Promise.withResolvers<void>();
    const requests: string[] = [];
    await using mounted = await startMounted({
      ...mode,
      fetch: async (wanted) => {
        requests.push(wanted);
        asked.resolve();
        await arrive.promise;
        await mounted.store.put(content);
      },
    });
    const mountPoint = await mountOne(mounted, digest, content.length);
    let arrived = false;
    const readers = Promise.all([1, 2].map(() => readFile(join(mountPoint, "wanted"), "utf8"))).finally(() => {
      arrived = true;
    });
    await asked.promise;
    expect(await readFile(join(mountPoint, "folder/local"), "utf8")).toBe("local");
    expect((await stat(join(mountPoint, "wanted"))).size).toBe(content.length);
    expect(arrived).toBe(false);
    arrive.resolve();
    expect(await readers).toEqual([content.toString(), content.toString()]);
    expect(requests).toEqual([digest]);
  });

  it("gives EIO when it cannot be fetched, and is asked for again the next time", async () => {
    let available = false;
    await using mounted = await startMounted({
      ...mode,
      fetch: async () => {
        if (!available) throw new Error("control is away");
        await mounted.store.put(content);
      },
    });
    const mountPoint = await mountOne(mounted, digest, content.length);
    await expect(readFile(join(mountPoint, "wanted"))).rejects.toThrow("EIO");
    available = true;
    expect(await readFile(join(mountPoint, "wanted"), "utf8")).toBe(content.toString());
  });

  it("is never served with a wrong digest", async () => {
    await using mounted = await startMounted({
      ...mode,
      fetch: async () => {
        const path = mounted.store.path(digest);
        await mkdir(join(path, ".."), { recursive: true });
        await writeFile(path, "that is NOT it !"); // of the right length
      },
    });
    const mountPoint = await mountOne(mounted, digest, content.length);
    await expect(readFile(join(mountPoint, "wanted"))).rejects.toThrow("EIO");
    expect(mounted.store.has(digest)).toBe(false);
  });

  it("lets a reader that waits for it be killed", async () => {
    const asked = Promise.withResolvers<void>();
    await using mounted = await startMounted({
      ...mode,
      fetch: () => {
        asked.resolve();
        return new Promise(() => {});
      },
    });
    const mountPoint = await mountOne(mounted, digest, content.length);
    const reader = spawn("cat", [join(mountPoint, "wanted")], { stdio: "ignore" });
    const ended = once(reader, "exit");
    await asked.promise;
    reader.kill("SIGKILL");
    expect(await ended).toEqual([null, "SIGKILL"]);
  });

  // The tiered view reads the store's files as they are: fusefs looks at none of them.
  if (mode.view === "tree")
    it("gives EIO when its file in the store is damaged", async () => {
      await using mounted = await startMounted(mode);
      await mounted.store.put(content);
      await writeFile(mounted.store.path(digest), "cut off");
      const mountPoint = await mountOne(mounted, digest, content.length);
      await expect(readFile(join(mountPoint, "wanted"))).rejects.toThrow("EIO");
    });
});

describe.skipIf(!probe.fuse)("an image that cannot be mounted", () => {
  it("is refused with a sentence, and the server goes on", async () => {
    await using mounted = await startMounted();
    const mountPoint = await mounted.point("image");
    const notAManifest = await mounted.store.put(Buffer.alloc(200, "no manifest"));
    await expect(mounted.server.mountImage(notAManifest, mountPoint)).rejects.toMatchObject({ kind: "corrupt" });
    await expect(mounted.server.mountImage("0".repeat(64), mountPoint)).rejects.toThrow("nobody has blob 0000");
    const image = await putImage(mounted.store, []);
    await expect(mounted.server.mountImage(image, join(mounted.folder, "absent"))).rejects.toThrow("absent");
    await mounted.server.mountImage(image, mountPoint);
    expect(await readdir(mountPoint)).toEqual([]);
  });
});

// ⑤ Images with everything that a file system can have, on real mounts: shown as they were, below an overlay and in a user namespace too.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mountRoot, mountWritable } from "../../agent/container/root.ts";
import type { Slot } from "../../agent/container/slots.ts";
import { bytesOfText } from "../../base/byte-text.ts";
import { sha256 } from "../../base/content-folder.ts";
import { readXattrs, writeXattr } from "../../base/xattrs.ts";
import { captureFolder } from "../../fusefs/image/folder.ts";
import { treeDifferences } from "../drive/tree-comparison.ts";
import { file, hasTiered, probe, putImage, startMounted, views } from "./mounted.ts";

/** Of version 2, permitted and effective: cap_net_raw (13). include/uapi/linux/capability.h. */
const NET_RAW = Buffer.alloc(20);
NET_RAW.writeUInt32LE(0x0200_0001, 0);
NET_RAW.writeUInt32LE(1 << 13, 4);

const xattrsAt = (path: string): Map<string, Buffer> | undefined => readXattrs(bytesOfText(path));

async function makeTree(root: string): Promise<void> {
  const at = (name: string): string => join(root, name);
  mkdirSync(at("folder/below"), { recursive: true });
  copyFileSync("/bin/cat", at("cat"));
  writeXattr(bytesOfText(at("cat")), "security.capability", NET_RAW);
  writeFileSync(at("su"), "x");
  chownSync(at("su"), 0, 42);
  chmodSync(at("su"), 0o6755);
  chmodSync(at("folder"), 0o1777);
  for (const [name, value] of [
    ["trusted.overlay.opaque", "y"],
    ["trusted.mine", "one"],
    ["user.big", "b".repeat(3000)],
  ] as const) {
    writeXattr(bytesOfText(at("folder")), name, Buffer.from(value));
  }
  writeFileSync(bytesOfText(at("latin-\udce9")), "no UTF-8");
  symlinkSync(bytesOfText("latin-\udce9"), at("to-latin"));
  linkSync(bytesOfText(at("latin-\udce9")), at("folder/second-name"));
  symlinkSync("nowhere", at("one-link"));
  linkSync(at("one-link"), at("folder/same-link"));
  execFileSync("mknod", [at("null"), "c", "1", "3"]);
  execFileSync("mknod", [at("disk"), "b", "259", "66000"]);
  linkSync(at("null"), at("folder/null"));
  execFileSync("mknod", [at("pipe"), "p"]);
  await new Promise<void>((resolve) => {
    const server = createServer().listen(at("socket"), () => {
      linkSync(at("socket"), at("kept-socket")); // closing takes the first name away
      server.close(() => resolve());
    });
  });
  writeFileSync(at("sparse"), "end", { flag: "w" });
  truncateSync(at("sparse"), 9 << 20);
  utimesSync(at("su"), 0, -1.5);
  utimesSync(at("folder/below"), 1234567890.123456, 1234567890.123456);
}

describe.skipIf(!probe.fuse)("an image of a folder", () => {
  it.each([{ passthrough: true }, { passthrough: false }])("has every attribute and byte of it (%o)", async (mode) => {
    await using mounted = await startMounted(mode);
    const source = await mounted.point("source");
    await makeTree(source);
    const image = await putImage(mounted.store, await captureFolder(source, mounted.store));
    const mountPoint = await mounted.point("image");
    await mounted.server.mountImage(image, mountPoint);

    // What the image itself says of overlays is shown one level up: not to be followed by the container's.
    const escaped = '"folder": its xattrs is';
    const differences = treeDifferences(source, mountPoint);
    expect(differences.filter((line) => !line.startsWith(escaped))).toEqual([]);
    expect(xattrsAt(join(mountPoint, "folder"))?.get("trusted.overlay.overlay.opaque")?.toString()).toBe("y");
    expect(statSync(join(mountPoint, "disk")).rdev).toBe(statSync(join(source, "disk")).rdev);
    expect(statSync(join(mountPoint, "null")).nlink).toBe(2);
    expect(statSync(mounted.store.path(sha256(readFileSync(join(source, "sparse"))))).blocks).toBeLessThan(100);
    await expect(readFile(join(mountPoint, "null"))).rejects.toThrow("EACCES"); // nobody opens a device through the mount itself

    const layers = await mounted.point("layers");
    for (const name of ["upper", "work", "root"]) mkdirSync(join(layers, name));
    execFileSync("touch", ["-r", source, join(layers, "upper")]); // the root of an overlay is its upper folder
    const root = join(layers, "root");
    const options = `lowerdir=${mountPoint},upperdir=${layers}/upper,workdir=${layers}/work,redirect_dir=on,metacopy=on`;
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, root]);
    try {
      expect(treeDifferences(source, root)).toEqual([]);
    } finally {
      execFileSync("umount", [root]);
    }
  });

  it.skipIf(!hasTiered)("has them in the tiered view, too", async () => {
    await using mounted = await startMounted({ view: "tiered" });
    const source = await mounted.point("source");
    await makeTree(source);
    const root = await mounted.show(await putImage(mounted.store, await captureFolder(source, mounted.store)), "shown");
    execFileSync("touch", ["-r", source, root]);
    expect(treeDifferences(source, root)).toEqual([]);
  });

  it.skipIf(!probe.idmap).each(views)(
    "gives capabilities to the programs that have them, inside the user namespace of a container, and its root is the image's (%s)",
    async (view) => {
      await using mounted = await startMounted({ view });
      const source = await mounted.point("source");
      await makeTree(source);
      chmodSync(source, 0o751);
      chownSync(source, 5, 7);
      const image = await putImage(mounted.store, await captureFolder(source, mounted.store));
      const layers = await mounted.layers(image, "image");
      chmodSync(mounted.folder, 0o711);
      const holder = spawn("unshare", ["--user", "sh", "-c", "echo ready; exec sleep 600"]);
      await using undo = new AsyncDisposableStack();
      undo.defer(() => void holder.kill("SIGKILL"));
      await once(holder.stdout, "data");

      for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${holder.pid}/${map}`, "0 100000 65536");
      const namespace = `/proc/${holder.pid}/ns/user`;
      const userFd = openSync(namespace, "r");
      undo.defer(() => closeSync(userFd));
      const slot = { uidBase: 100_000, userFd } as Slot;
      const folder = await mounted.point("container");
      const root = mountRoot(folder, layers, mountWritable(folder, slot, 1 << 20, undo), slot, undo);
      const user = ["-S", "1000", "-G", "1000"];
      const status = (program: string): string =>
        execFileSync("nsenter", [`--user=${namespace}`, ...user, program, "/proc/self/status"], { encoding: "utf8" });
      expect(status("/bin/cat")).toMatch(/CapEff:\t0+\n/);
      expect(status(join(root, "cat"))).toMatch(/CapEff:\t0+2000\n/);
      expect(statSync(join(root, "su"))).toMatchObject({ mode: 0o106755, uid: 100_000, gid: 100_042 });
      expect(statSync(root)).toMatchObject({ mode: 0o40751, uid: 100_005, gid: 100_007 });
    },
  );

  it("is asked for attributes once where it has none", async () => {
    await using mounted = await startMounted();
    const digest = await mounted.store.put(Buffer.from("x"));
    const mountPoint = await mounted.point("image");
    await mounted.server.mountImage(await putImage(mounted.store, [file("a", digest, 1), file("b", digest, 1)]), mountPoint);
    for (const name of ["a", "b", "a"]) expect(xattrsAt(join(mountPoint, name))).toBeUndefined();
    expect((await mounted.server.stats()).requests["LISTXATTR"]).toBe(1);
  });
});

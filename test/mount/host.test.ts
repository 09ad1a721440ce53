// ⑤ Image.host() of this very machine, mounted, and programs run with it as their root.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { captureHostImage, type HostImage } from "../../fusefs/image/host.ts";
import { type Mounted, probe, startMounted } from "./mounted.ts";

const run = promisify(execFile);
const hasPython = existsSync("/usr/bin/python3");
if (!hasPython) console.warn("host image tests are skipped: there is no /usr/bin/python3");

describe.skipIf(!probe.fuse || !hasPython).each(["packages", "loader"] as const)(
  "the image of this machine, found by its %s",
  (source) => {
    let mounted: Mounted;
    let image: HostImage;
    let root: string;
    const progress: [number, number][] = [];

    beforeAll(async () => {
      if (source === "packages" && !existsSync("/var/lib/dpkg/status")) source = "loader";
      mounted = await startMounted();
      image = await captureHostImage({
        store: mounted.store,
        node: process.execPath,
        source,
        progress: (...step) => progress.push(step),
      });
      root = await mounted.point("image");
      await mounted.server.mountImage(image.digest, root);
    }, 120_000);
    afterAll(() => mounted[Symbol.asyncDispose]());

    it("runs Python with its library, and Node, in a root of their own", async () => {
      const python = await run("chroot", [
        root,
        "/usr/bin/python3",
        "-c",
        "import ssl, json, sqlite3, ctypes, hashlib; print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 50)",
      ]);
      expect(python.stdout.trim()).toBe("True");
      expect((await run("chroot", [root, "/usr/local/bin/node", "-v"])).stdout.trim()).toBe(process.version);
      const shell =
        "set -e; echo hello | sed s/hello/ok/ | grep ok; find /etc -name passwd; tar --version | head -1; awk 'END{print NR}' /etc/passwd";
      expect((await run("chroot", [root, "/bin/sh", "-c", shell])).stdout).toMatch(/^ok\n\/etc\/passwd\ntar .*\n2\n$/);
    });

    it("has certificates and the folders that containers mount at", async () => {
      const bundle = await readFile(join(root, "etc/ssl/certs/ca-certificates.crt"), "utf8").catch(() => "");
      expect(bundle.length > 0 || (await readdir(join(root, "etc"))).includes("pki")).toBe(true);
      for (const folder of ["proc", "sys", "dev", "tmp", "run", "hob", "project", "root", "var/tmp"]) {
        expect((await stat(join(root, folder))).isDirectory(), folder).toBe(true);
        expect(await readdir(join(root, folder)), folder).toEqual([]);
      }
    });

    it("has nothing of the machine's owner", async () => {
      const absent = [
        "etc/shadow",
        "etc/gshadow",
        "etc/machine-id",
        "etc/ssh",
        "etc/ssl/private",
        "etc/sudoers",
        "work",
        "var/lib",
        "root/.bashrc",
      ];
      for (const path of absent) expect(existsSync(join(root, path)), path).toBe(false);
      expect(await readdir(join(root, "home"))).toEqual([]);
      expect(await readFile(join(root, "etc/passwd"), "utf8")).not.toMatch(/:1000:/);
      const { stdout } = await run("find", [root, "-perm", "/6000"]);
      expect(stdout).toBe("");
    });

    it("counts what it stored", async () => {
      expect(progress[0]).toEqual([0, progress[0]?.[1]]);
      expect(progress.at(-1)?.[0]).toBe(progress.at(-1)?.[1]);
      expect(image.files).toBeGreaterThan(500);
      expect(image.storedBytes).toBeLessThanOrEqual(image.bytes);
      const manifest = await mounted.store.size(image.digest);
      expect(manifest / image.files).toBeLessThan(150);
    });

    it("is the same image the second time, with no file read again", async () => {
      const steps: [number, number][] = [];
      const again = await captureHostImage({
        store: mounted.store,
        node: process.execPath,
        source,
        progress: (...step) => steps.push(step),
      });
      expect(again).toEqual(image);
      expect(steps).toEqual([[progress.at(-1)?.[1], progress.at(-1)?.[1]]]);
    });

    it("ends when it is cancelled, and says which Node is missing", async () => {
      const signal = AbortSignal.abort(new Error("enough"));
      await expect(
        captureHostImage({ store: mounted.store, node: process.execPath, signal, progress: () => {} }),
      ).rejects.toThrow("enough");
      const missing = captureHostImage({ store: mounted.store, node: "/nowhere/node", progress: () => {} });
      await expect(missing).rejects.toThrow("there is no Node at /nowhere/node");
    });
  },
);

// ⑤ A FUSE daemon may die: who reads waits for the next one, and goes on.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { file, modes, probe, putImage, startMounted, until } from "./mounted.ts";

const FILES = 200;
const KILLS = 3;

/** A process that reads all below a folder, again and again. */
function startReader(folder: string) {
  const process = spawn("python3", [join(import.meta.dirname, "reader.py"), folder], { stdio: ["ignore", "pipe", "pipe"] });
  let rounds = 0;
  let complaint = "";
  createInterface({ input: process.stdout }).on("line", () => rounds++);
  process.stderr.on("data", (data) => {
    complaint += data;
  });
  return {
    get rounds() {
      return rounds;
    },
    get complaint() {
      return complaint;
    },
    async [Symbol.asyncDispose]() {
      process.kill("SIGKILL");
      if (process.exitCode === null && process.signalCode === null) await once(process, "exit");
    },
  };
}

describe.skipIf(!probe.fuse).each(modes.filter(({ view, passthrough }) => view === "tree" || passthrough))(
  "a FUSE daemon that is killed (%o)",
  (mode) => {
    it("is missed by nobody who reads an image or a snapshot, or adds one", { timeout: 60_000 }, async () => {
      let replaced = 0;
      const late = Buffer.from("what arrives after a death");
      const arrive = Promise.withResolvers<void>();
      let asked = 0;
      await using mounted = await startMounted({
        ...mode,
        replaced: () => replaced++,
        fetch: async () => {
          asked++;
          await arrive.promise;
          await mounted.store.put(late);
        },
      });
      const { server, store } = mounted;
      const entries = [];
      for (let index = 0; index < FILES; index++) {
        const content = Buffer.alloc(1 + ((index * 977) % 20_000), `${index} `);
        entries.push(file(`folder-${index % 20}/file-${index}`, await store.put(content), content.length));
      }
      const image = await mounted.show(await putImage(store, entries), "image");
      const waiting = await mounted.show(await putImage(store, [file("late", sha256(late), late.length)]), "waiting");
      const snapshots = await mounted.point("snapshots");
      await server.mountSnapshots(snapshots);
      const path = (index: number): string => join(snapshots, "c1", sha256(`${index}`), "main.py");
      async function addSnapshot(index: number): Promise<void> {
        const digest = await store.put(Buffer.from(`print(${index})`));
        const entry = { path: "main.py", digest, size: `print(${index})`.length, mode: 0o644 };
        await server.addSnapshot("c1", sha256(`${index}`), index === 0 ? "" : sha256(`${index - 1}`), [entry], []);
      }
      await server.addContainer("c1");
      await addSnapshot(0);
      await using reader = startReader(image);
      const read = readFile(join(waiting, "late"), "utf8");
      await until("the late blob is asked for", () => asked === 1);
      await until("all was read once", () => reader.rounds > 0);

      for (let kill = 1; kill <= KILLS; kill++) {
        const { pid } = server;
        process.kill(pid, "SIGKILL");
        await addSnapshot(kill); // while there is no daemon
        expect(await readFile(path(kill), "utf8")).toBe(`print(${kill})`);
        expect(await readFile(path(kill - 1), "utf8")).toBe(`print(${kill - 1})`);
        expect(server.pid).not.toBe(pid);
        const before = reader.rounds;
        await until("the reader goes on", () => reader.rounds > before + 1 || reader.complaint !== "");
        expect(reader.complaint).toBe("");
      }
      expect(replaced).toBe(KILLS);
      expect(asked).toBeGreaterThan(1); // again, by the daemons after the first
      arrive.resolve();
      expect(await read).toBe(late.toString());

      server.replace();
      await until("an upgraded daemon serves", () => replaced === KILLS + 1);
      await server.removeSnapshot("c1", sha256("0"));
      await expect(readFile(path(0))).rejects.toThrow(/ENOENT|ESTALE/);
      expect(await readFile(path(KILLS), "utf8")).toBe(`print(${KILLS})`);
      await server.removeContainer("c1");
      await expect(readFile(path(KILLS))).rejects.toThrow(/ENOENT|ESTALE/);
    });
  },
);

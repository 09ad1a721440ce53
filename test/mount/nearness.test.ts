// ⑤ A worker of the FUSE daemon moves to the processor of the process that asks, for as long as it asks.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { file, probe, putImage, startMounted, until } from "./mounted.ts";

const openAgainAndAgain = `
import os, sys
os.sched_setaffinity(0, {int(sys.argv[2])})
print("there", flush=True)
while True: os.close(os.open(sys.argv[1], os.O_RDONLY))
`;

function processorsOf(pid: number, thread: string): string {
  const folder = `/proc/${pid}/task`;
  const task = readdirSync(folder).find((name) => readFileSync(join(folder, name, "comm"), "utf8").trim() === thread);
  return /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(join(folder, task ?? "", "status"), "utf8"))?.[1] ?? "";
}

describe.skipIf(!probe.fuse)("a FUSE worker", () => {
  it("is on the processor of a process that opens file after file, wherever that is, and anywhere when it rests", async () => {
    await using mounted = await startMounted({ workers: 1 });
    const digest = await putImage(mounted.store, [file("file", await mounted.store.put(Buffer.from("content")), 7)]);
    const root = await mounted.show(digest, "image");
    const where = (): string => processorsOf(mounted.server.pid, "fuse-0");
    const anywhere = where();
    const [first, last] = [/^\d+/, /\d+$/].map((pattern) => pattern.exec(anywhere)?.[0] ?? "");
    expect(first, "this needs two processors").not.toBe(last);
    for (const processor of [first as string, last as string]) {
      const opener = spawn("python3", ["-c", openAgainAndAgain, join(root, "file"), processor], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(opener, "exit");
      await once(opener.stdout, "data");
      await until(`the worker is on processor ${processor}`, () => where() === processor);
      opener.kill("SIGKILL");
      await exited;
      await until(`the worker may run on ${anywhere}`, () => where() === anywhere);
    }
  });
});

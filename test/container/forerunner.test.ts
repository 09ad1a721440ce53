// ⑤ A runner that is a fork is the same container as one that runc starts: seen from outside, from inside, and in what it may do.

import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Container, createContainer } from "../../agent/container/container.ts";
import { type Forerunner, startForerunner } from "../../agent/container/forerunner.ts";
import { identify, isRunning } from "../../agent/container/process.ts";
import { mountPlainRoot } from "../../agent/container/root.ts";
import { createSlots } from "../../agent/container/slots.ts";
import { rootUser } from "../../agent/container/spec.ts";
import { runnerCommand } from "../../agent/runner/command.ts";
import { connectRunner } from "../../agent/runner/connect.ts";
import { systemClock } from "../../base/clock.ts";
import { sha256 } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";
import { silentLog } from "../../base/log.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { layFoundation } from "./foundation.ts";

const key = "forerun0";
const within = (ms: number): AbortSignal => AbortSignal.timeout(ms);

/** Everything that an agent's containers stand on, and a forerunner beside it. */
async function stage(undo: AsyncDisposableStack) {
  const { folders, store, fuse, image, imageMount, slots, contents } = await layFoundation(key, "tree", undo);
  const root = mountPlainRoot(folders.forerunner, { image: imageMount, contents }, { "/hob": folders.sdk }, undo);
  const complaints: string[] = [];
  const forerunner = undo.use(
    startForerunner({ root, env: runnerCommand("python").env, failed: (reason) => complaints.push(reason) }),
  );

  async function make(id: string, of: Forerunner | undefined): Promise<Container> {
    const host = {
      key,
      contents,
      folders,
      slots,
      nameFile: "",
      fuse,
      connect: connectRunner,
      forerunner: () => of,
    };
    const gpus = { acquire: () => Promise.resolve((config: unknown) => config as never), release() {} };
    const events = {
      output() {},
      started() {},
      childCall() {},
      childCancel() {},
      childWait() {},
      map() {},
      part() {},
      unloaded() {},
    };
    const resourceClass = { cpu: 1, memoryBytes: 256 << 20, language: "python", gpu: "", network: "none" };
    const config = { env: {}, workdir: "", user: "" };
    const launch = { command: runnerCommand("python"), user: rootUser, config, shown: [] };
    const wish = { id, image: image.digest, imageMount, resourceClass, launch, events, changed() {} };
    const container = await createContainer({ ...host, gpus, clock: systemClock, log: silentLog }, wish, within(30_000));
    undo.defer(() => container.stop("the test is over"));
    return container;
  }
  return { make, forerunner, complaints, fuse, store };
}

const statusRows = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "SigCgt", "Threads"];
const spaces = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/** What the kernel says of a container's first process; what must differ from one container to another is made alike. */
function fromOutside({ pid, id }: Container, uidBase: string): unknown {
  const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, "latin1").replaceAll(id, "ID");
  const rows = read("status").split("\n");
  const status = rows
    .filter((row) => statusRows.some((name) => row.startsWith(name)))
    .map((row) => row.replaceAll(uidBase, "BASE"));
  const mounts = read("mountinfo")
    .split("\n")
    .map((row) => row.split(" ").slice(4).join(" "));
  const plain = mounts.map((row) =>
    row
      .replace(/ (master|shared):\d+/g, "")
      .replaceAll(uidBase, "BASE")
      .replace(/gid=\d{9,}/, "gid=…")
      .replace(/=\/\S+/g, "=…"),
  );
  return {
    ...{ status, mounts: plain.sort(), limits: read("limits"), oom: read("oom_score_adj"), cgroups: read("cgroup") },
    ...{ environment: read("environ").split("\0").sort(), first: /^NSpid:.*\t(\d+)$/m.exec(read("status"))?.[1] },
    ...{
      folder: readlinkSync(`/proc/${pid}/cwd`),
      session: read("stat")
        .split(" ")
        .slice(4, 7)
        .map((field) => Number(field) > 0),
    },
    shared: spaces.filter((name) => readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`)),
  };
}

/** The programs that filter a process' system calls, as text; read by the forerunner's own function. */
const filtersOf = ({ pid }: Container): string =>
  execFileSync(
    "/usr/bin/python3",
    [
      "-c",
      "import sys; from hob._runner.forerunner import seccomp_filters as read; print([f.hex() for f in read(int(sys.argv[1]))])",
      `${pid}`,
    ],
    { encoding: "utf8", env: { PYTHONPATH: join(installRoot, "sdk/python"), PYTHONDONTWRITEBYTECODE: "1" } },
  );

const source = `import os, signal, sys

def look():
    return [dict(os.environ), sys.path[1:], sys.flags.__repr__(), sys.executable, sorted(os.listdir("/")), sorted(os.listdir("/dev")),
        os.getppid(), os.getcwd().count("/"), sorted(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGINT) is signal.default_int_handler]
`;

describe.skipIf(!rootWithContainers())("a runner that is a fork", () => {
  const undo = new AsyncDisposableStack();
  let staged: Awaited<ReturnType<typeof stage>>;
  beforeAll(async () => {
    staged = await stage(undo);
  });
  afterAll(() => undo.disposeAsync());

  it("is as confined as one that runc starts, and its code sees the same", async () => {
    const { make, forerunner, complaints, fuse, store } = staged;
    const pair = [await make("0badcaf1", undefined), await make("0badcaf2", forerunner)];
    await store.put(Buffer.from(source));
    const digest = sha256(source);
    const views = [];
    for (const container of pair) {
      await container.start(within(30_000));
      const { runner, id, pid } = container;
      const uidBase = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "";
      const outside = fromOutside(container, uidBase);
      const [snapshot, version] = [sha256(`snapshot ${id}`), sha256(`version ${id}`)];
      await fuse.addSnapshot(id, snapshot, "", [{ path: "app.py", digest, size: source.length, mode: 0o644 }], []);
      const one = { function: "look", digest: version, module: "app.py", qualname: "look", bundle: "", className: "" };
      const loaded = await runner.load({
        ...{ app: "look", snapshot, base: "", removed: [], retire: [], patches: [], secrets: {} },
        changed: [{ path: "app.py", digest }],
        blobs: [{ digest, data: Buffer.from(source) }],
        versions: [{ ...one, keepsState: false, concurrency: 1, secrets: [] }],
      });
      expect(loaded.failure).toBeUndefined();
      const call = { call: "00000000000000ff", snapshot, version, function: "look", timeoutMs: 20_000 };
      const outcome = await runner.call({ ...call, positional: Buffer.from("[]"), keywords: Buffer.alloc(0) });
      expect(outcome.failure).toBeUndefined();
      const inside = JSON.parse(Buffer.from(outcome.result!.json).toString()) as unknown;
      views.push({ outside, inside, filters: filtersOf(container) });
    }
    expect(views[1]).toEqual(views[0]);
    expect(views[0]).toMatchObject({ outside: { shared: [], first: "1" } });
    expect(views[0]!.filters.length).toBeGreaterThan(1_000);
    expect(complaints).toEqual([]);
  });

  it("ends with its container, and what waits in the forerunner ends with that", async () => {
    const { make, forerunner, complaints } = staged;
    const container = await make("0badcaf3", forerunner);
    const first = identify(container.pid)!;
    await container.stop("enough");
    expect(isRunning(first)).toBe(false);
    // In the field: every container that ended counted as a failure, and after three of them runners were started one by one.
    for (let times = 0; times < 3; times++) forerunner.drop(first);
    const slots = createSlots("forerun1");
    undo.use(slots);
    const slot = await slots.acquire("none", within(10_000));
    const waiting = await forerunner.make(slot.userFd);
    expect(isRunning(waiting)).toBe(true);
    await forerunner[Symbol.asyncDispose]();
    await expect.poll(() => isRunning(waiting)).toBe(false);
    await expect(forerunner.make(slot.userFd)).rejects.toThrow("has ended");
    expect(complaints).toEqual([]);
  });
});

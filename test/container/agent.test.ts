// ⑤⑥ The agent on real parts: runc, FUSE, cgroups, a Python runner. The control side of the link is the test.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cgroupFolders } from "../../agent/container/cgroup.ts";
import type { ContainerInfo, ImageInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { type AgentUnderTest, callOf, cannotRun, pythonLoad, startAgent, typescriptLoad } from "./agent-process.ts";

if (cannotRun) console.warn(`agent tests are skipped: ${cannotRun}`);

const MiB = 2 ** 20;
const source = `
import os, socket, sys

def double(x):
    print("doubling", x)
    return x * 2

def status():
    return dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)

def attempt(what):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if what == "mount":
        result = libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)
    elif what == "unshare":
        result = libc.unshare(0x10000000)
    elif what == "sys":
        try:
            open("/sys/kernel/mm/ksm/run", "w")
            return "written"
        except OSError as error:
            return error.strerror
    elif what == "vsock":
        try:
            socket.socket(40, socket.SOCK_STREAM)
            return "opened"
        except OSError as error:
            if error.strerror != "Operation not permitted":
                return error.strerror
        # The kernel looks at the domain's lower 32 bits only.
        result = libc.syscall({"x86_64": 41, "aarch64": 198}[os.uname().machine], ctypes.c_long((1 << 32) | 40), ctypes.c_long(1), ctypes.c_long(0))
        result = result < 0
    return os.strerror(ctypes.get_errno()) if result else "succeeded"

def surroundings():
    return {
        "uid_map": open("/proc/self/uid_map").read().split(),
        "processes": [open(f"/proc/{p}/comm").read().strip() for p in os.listdir("/proc") if p.isdigit()],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "own_file": open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py")).read()[:40],
        "sdk_writable": os.access("/hob", os.W_OK),
        "image_owner": os.stat("/usr").st_uid,
    }

def loopback():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    client.sendall(b"x")
    return server.accept()[0].recv(1).decode()

def scratch():
    with open("/var/scratch.txt", "w") as file:
        file.write("x" * 1000)
    os.rename("/var/scratch.txt", "/var/renamed.txt")
    return os.path.getsize("/var/renamed.txt")

def threads():
    import threading
    threading.stack_size(65536)
    end = threading.Event()
    try:
        for count in range(5000):
            threading.Thread(target=end.wait).start()
        return "no limit"
    except RuntimeError as error:
        return str(error)
    finally:
        end.set()

def grow():
    block = bytearray(1 << 30)
    for i in range(0, len(block), 4096):
        block[i] = 1
    return len(block)

def hang():
    import time
    print("hanging", flush=True)
    time.sleep(1000)
`;

import { hostImageRef } from "../../proto/image.ts";

const names = ["double", "status", "attempt", "surroundings", "loopback", "scratch", "threads", "grow", "hang"];

describe.skipIf(cannotRun)("the agent", () => {
  const store = mkdtempSync(join(tmpdir(), "hob-agent-store-"));
  const resourceClass = { cpu: 0, memoryBytes: 256 * MiB, language: "python", gpu: "", network: "none" };
  let image: ImageInfo;
  let agent: AgentUnderTest;
  let calls = 0;

  const pool = (warm: number): void =>
    agent.send({ $case: "pools", value: { pools: [{ image: image.digest, resourceClass, warm, reserve: 0, wanted: warm }] } });
  const warmOnes = (containers: ContainerInfo[], language = "python"): ContainerInfo[] =>
    containers.filter(({ state, resourceClass: kind }) => state === "warm" && kind?.language === language);

  async function prepare(target: AgentUnderTest): Promise<void> {
    agent = target;
    await agent.heard("hello");
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    const resolved = await agent.heard("image");
    expect(resolved.failure).toBeUndefined();
    image = resolved.image as ImageInfo;
  }

  async function specialised(): Promise<{
    load: ReturnType<typeof pythonLoad>;
    call: (name: string, ...args: unknown[]) => Promise<unknown>;
  }> {
    pool(1);
    const [container] = warmOnes(await agent.containersFit((present) => warmOnes(present).length > 0));
    const load = pythonLoad(container?.id ?? "", source, names);
    let loaded = false;
    const call = async (name: string, ...args: unknown[]): Promise<unknown> => {
      const id = (++calls).toString(16).padStart(16, "0");
      agent.send(callOf(id, load, name, args, { withLoad: !loaded }));
      loaded = true;
      const finished = await agent.heard("finished", (value) => value.call === id);
      if (finished.failure) throw Object.assign(new Error(finished.failure.message), { failure: finished.failure });
      return JSON.parse(finished.result?.json.toString() ?? "null");
    };
    return { load, call };
  }

  /** Nothing that bears the pool's key is left on the machine. */
  async function expectNothingLeft({ key, run }: AgentUnderTest["options"]): Promise<void> {
    expect(await cgroupFolders(`hob-${key}`)).toEqual([]);
    expect(existsSync(run)).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(run);
    const ours = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commandLine(name).includes(run));
    expect(ours).toEqual([]);
  }

  beforeAll(async () => {
    await prepare(await startAgent(store));
  }, 120_000);
  afterAll(async () => {
    const { options } = agent;
    await agent[Symbol.asyncDispose]();
    await expectNothingLeft(options);
    rmSync(store, { recursive: true, force: true });
  });

  it("answers a load and its call, sent as one message, from a warm container, its output before its result", async () => {
    const { load, call } = await specialised();
    expect(await call("double", 21)).toBe(42);
    const own = agent.said.filter((message) => message.$case === "logs" || message.$case === "finished").slice(-2);
    expect(own[0]).toMatchObject({
      $case: "logs",
      value: { lines: [{ text: "doubling 21", stream: "stdout", app: "words", function: "double" }] },
    });
    expect(own[1]).toMatchObject({ $case: "finished", value: { container: load.container, attempt: 1, failure: undefined } });
    expect(await agent.heard("loaded")).toMatchObject({ load: 1, container: load.container, failure: undefined });
  });

  it("refills the pool behind a container that was specialised", async () => {
    const { call } = await specialised();
    expect(await call("double", 1)).toBe(2);
    const present = await agent.containersFit((containers) => warmOnes(containers).length === 1);
    expect(present.filter(({ app }) => app === "words").length).toBeGreaterThan(0);
  });

  it("sends the runner only what changed, and a second version answers beside the first", async () => {
    const { load, call } = await specialised();
    expect(await call("double", 2)).toBe(4);
    const next = pythonLoad(load.container, source.replace("x * 2", "x * 3"), names, load);
    agent.send(callOf("00000000000000aa", next, "double", [2], { withLoad: true }));
    const finished = await agent.heard("finished", (value) => value.call === "00000000000000aa");
    expect(finished.failure).toBeUndefined();
    expect(finished.result?.json.toString()).toBe("6");
    expect(await call("double", 2)).toBe(4);
  });

  it("confines what runs: no capabilities, no new privileges, seccomp, a uid range of its own, nothing of the host in sight", async () => {
    const { call } = await specialised();
    const status = (await call("status")) as Record<string, string>;
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(status[set], set).toBe("0000000000000000");
    expect(status["NoNewPrivs"]).toBe("1");
    expect(status["Seccomp"]).toBe("2");
    for (const what of ["mount", "unshare"]) expect(await call("attempt", what), what).toBe("Operation not permitted");
    expect(await call("attempt", "sys")).toBe("Read-only file system");
    expect(await call("attempt", "vsock")).toBe("Operation not permitted");
    const seen = (await call("surroundings")) as Record<string, unknown>;
    const [inside, outside, size] = (seen["uid_map"] as string[]).map(Number);
    expect([inside, size]).toEqual([0, 65_536]);
    expect(outside).toBeGreaterThanOrEqual(0x7000_0000);
    expect(seen["interfaces"]).toEqual(["lo"]);
    expect((seen["processes"] as string[]).every((name) => name.startsWith("python"))).toBe(true);
    expect(seen["sdk_writable"]).toBe(false);
    expect(seen["image_owner"]).toBe(0);
    expect(seen["own_file"]).toBe(source.slice(0, 40));
  });

  it("gives it a working loopback, a writable layer of its own, and a limit of processes", async () => {
    const { call } = await specialised();
    expect(await call("loopback")).toBe("x");
    expect(await call("scratch")).toBe(1000);
    expect(await call("threads")).toBe("can't start new thread");
  });

  it("runs a TypeScript bundle the same way", async () => {
    const typescript = { ...resourceClass, language: "typescript" };
    agent.send({
      $case: "pools",
      value: { pools: [{ image: image.digest, resourceClass: typescript, warm: 1, reserve: 0, wanted: 0 }] },
    });
    const present = await agent.containersFit((containers) => warmOnes(containers, "typescript").length > 0);
    const bundle = 'exports.default = async (x) => { console.log("twice", x); return x * 2; };';
    const load = typescriptLoad(warmOnes(present, "typescript")[0]?.id ?? "", bundle, "twice");
    agent.send(callOf("00000000000000bb", load, "twice", [4], { withLoad: true }));
    const finished = await agent.heard("finished", ({ call }) => call === "00000000000000bb");
    expect(finished.failure).toBeUndefined();
    expect(finished.result?.json.toString()).toBe("8");
    await agent.heard("logs", ({ lines }) => lines.some(({ text, app }) => text === "twice 4" && app === "thumbs"));
  });

  it("names the memory limit when the kernel kills for memory", async () => {
    const { call } = await specialised();
    await expect(call("grow")).rejects.toMatchObject({
      failure: { kind: "memory", message: expect.stringContaining("limit 256 MiB") },
    });
  });

  it("ends a container on demand, and its call then asks for another try", async () => {
    const { load, call } = await specialised();
    const hanging = expect(call("hang")).rejects.toMatchObject({
      failure: { kind: "infrastructure", message: expect.stringContaining("scaled down") },
    });
    await agent.heard("logs", ({ lines }) =>
      lines.some(({ container, text }) => container === load.container && text === "hanging"),
    );
    agent.send({ $case: "stop", value: { container: load.container, reason: "scaled down", graceMs: 0 } });
    await hanging;
    await agent.heard("container", ({ container, gone }) => gone && container?.id === load.container);
  });

  it("survives the FUSE daemon: another takes over, or its containers end, calls ask for another try, and the pool is warm again", async () => {
    const { load, call } = await specialised();
    const former = agent.fusePid();
    process.kill(former, "SIGKILL");
    await expect.poll(() => agent.fusePid(), { timeout: 10_000 }).not.toBe(former);
    expect(await call("double", 3)).toBe(6);
    rmSync(join(agent.options.run, "fuse"), { recursive: true }); // the next one finds nothing to go on with
    const hanging = expect(call("hang")).rejects.toMatchObject({ failure: { kind: "infrastructure" } });
    await agent.heard("logs", ({ lines }) =>
      lines.some(({ container, text }) => container === load.container && text === "hanging"),
    );
    const before = new Set(agent.containers().map(({ id }) => id));
    process.kill(agent.fusePid(), "SIGKILL");
    await hanging;
    await agent.containersFit((present) => warmOnes(present).length === 1 && present.every(({ id }) => !before.has(id)));
    const again = await specialised();
    expect(await again.call("double", 4)).toBe(8);
  });

  it("tells an impossible image in one sentence and leaves the pool as it is", async () => {
    agent.send({
      $case: "resolve",
      value: { image: { ...hostImageRef, source: "moon" }, stepsDone: 0, from: "", credentials: [] },
    });
    const answer = await agent.heard("image", ({ requested }) => requested?.source === "moon");
    expect(answer.failure?.message).toBe('image moon: image source "moon" is not one of: host, debian, oci');
  });

  it("leaves nothing after kill -9 once its successor has started, and the successor works", async () => {
    const { call } = await specialised();
    void call("hang").catch(() => {}); // the agent dies under it
    await agent.heard("logs", ({ lines }) => lines.some(({ text }) => text === "hanging"));
    const { options } = agent;
    const cgroups = await cgroupFolders(`hob-${options.key}`);
    const former = readdirSync(cgroups[0] ?? "").filter((name) => /^[0-9a-f]{8}$/.test(name));
    expect(former.length).toBeGreaterThan(0);
    agent.process.kill("SIGKILL");
    await agent.restart();
    await prepare(agent);
    for (const id of former) {
      expect(cgroups.filter((folder) => existsSync(join(folder, id)))).toEqual([]);
      expect(existsSync(join(options.run, "c", id))).toBe(false);
    }
    const again = await specialised();
    expect(await again.call("double", 5)).toBe(10);
  });

  it("comes back to a control that was away, names its calls in flight, and tells again what may not have arrived", async () => {
    const { call } = await specialised();
    expect(await call("double", 6)).toBe(12);
    const done = calls.toString(16).padStart(16, "0");
    void call("hang").catch(() => {}); // ended with the agent
    const inFlight = calls.toString(16).padStart(16, "0");
    await agent.heard("started", (started) => started.call === inFlight);
    const tellings = (): number => agent.said.filter((said) => said.$case === "finished" && said.value.call === done).length;
    expect(tellings()).toBe(1);
    agent.dropLink();
    await agent.heard("hello", (hello) => hello.calls.includes(inFlight));
    const again = await specialised();
    expect(await again.call("double", 7)).toBe(14);
    expect(tellings()).toBe(2);
  });

  it("refuses to start without runc, and among its parent's mounts, each in one sentence", () => {
    const entry = join(import.meta.dirname, "agent-entry.ts");
    const start = (PATH: string) =>
      spawnSync(process.execPath, [entry, JSON.stringify(agent.options)], { env: { PATH }, encoding: "utf8" });
    const noRunc = start("");
    expect(noRunc.stderr).toBe("hob agent: the agent cannot run here: runc is not in PATH: install the package runc\n");
    expect(noRunc.status).toBe(3);
    expect(start(process.env["PATH"] ?? "").stderr).toContain(
      "it shares its mounts with the process that started it: start it with `unshare",
    );
  });

  it("leaves nothing when it ends while containers are starting", async () => {
    const neighbour = await startAgent(store);
    await neighbour.heard("hello");
    neighbour.send({
      $case: "pools",
      value: { pools: [{ image: image.digest, resourceClass, warm: 8, reserve: 0, wanted: 0 }] },
    });
    await neighbour.containersFit((containers) => warmOnes(containers).length === 2);
    await neighbour[Symbol.asyncDispose]();
    await expectNothingLeft(neighbour.options);
  });

  it("sweeps for a dead neighbour, and leaves a living one alone", async () => {
    const neighbour = await startAgent(store, { run: join(dirname(agent.options.run), "0badcafe"), key: "0badcafe" });
    await neighbour.heard("hello");
    const { call } = await specialised();
    expect(await call("double", 3)).toBe(6);
    await neighbour[Symbol.asyncDispose]();
    await expectNothingLeft(neighbour.options);
  });
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it ended while we looked
  }
}

// ⑤ The whole way to a GPU on real runc, with harmless devices in its place: an nvidia-smi that is a script, and a CDI specification of
// the machine's own /dev/null and /dev/fuse under other names.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Load } from "../../proto/gen/hob/v1/agents.ts";
import { type AgentUnderTest, callOf, cannotRun, pythonLoad, startAgent } from "./agent-process.ts";

if (cannotRun) console.warn(`GPU tests are skipped: ${cannotRun}`);

const source = `
import os, stat

def seen():
    def number(path):
        found = os.stat(path)
        return [os.major(found.st_rdev), os.minor(found.st_rdev)] if stat.S_ISCHR(found.st_mode) else None
    os.close(os.open("/dev/nvidia-uvm", os.O_RDWR))  # no rule but ours lets it be opened
    return {
        "devices": {name: number("/dev/" + name) for name in os.listdir("/dev") if name.startswith("nvidia")},
        "visible": os.environ.get("NVIDIA_VISIBLE_DEVICES"),
        "library": open("/usr/lib/libfake-cuda.so").read(),
        "hooked": os.path.exists("/usr/lib/hooked"),
    }
`;

/** Holds a device from its import on, as a model on a card does. Answers its pid, the saves that it has seen, and who else held the device as it was loaded. */
const holder = (n: number): string => `
import os, time

def links(pid):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass

def holders():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and any(link.startswith("/dev/nvidia") for link in links(pid))]

others = holders()
device = os.open("/dev/nvidia-uvm", os.O_RDWR)
saves = []

def hold(seconds=0):
    saves.append(${n})
    time.sleep(seconds)
    return [os.getpid(), saves, others]
`;

import { hostImageRef } from "../../proto/image.ts";

describe.skipIf(cannotRun)("containers with GPUs", () => {
  let folder: string;
  let agent: AgentUnderTest;
  let image: string;
  const before = { PATH: process.env["PATH"], HOB_CDI_DIRS: process.env["HOB_CDI_DIRS"] };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "hob-gpu-test-"));
    chmodSync(folder, 0o755);
    for (const name of ["bin", "cdi", "dev"]) mkdirSync(join(folder, name));
    for (const [name, minor, major] of [
      ["nvidia0", 3, 1],
      ["nvidia1", 5, 1],
      ["nvidia-uvm", 229, 10],
      ["nvidiactl", 3, 1],
    ] as const) {
      execFileSync("mknod", ["-m", "666", join(folder, "dev", name), "c", String(major), String(minor)]);
    }
    writeFileSync(join(folder, "libfake-cuda.so"), "the driver's");
    const script = (name: string, text: string): void => writeFileSync(join(folder, "bin", name), text, { mode: 0o755 });
    script(
      "nvidia-smi",
      `#!/bin/sh
case "$1" in
--query-gpu*) lines="0, GPU-aaaa, NVIDIA H100 80GB HBM3, 7, 1024, 81559, 41
1, GPU-bbbb, NVIDIA H200, 0, 0, 143771, 38" ;;
*) lines="GPU-bbbb, $$, some program, 100" ;;
esac
while :; do echo "$lines"; sleep 1; done
`,
    );
    // Run inside the container's namespaces before its root is turned to: the state on its stdin says where that root is.
    script(
      "nvidia-cdi-hook",
      `#!/bin/sh\nroot=$(sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p')/root\n: > "$root/usr/lib/hooked"\n`,
    );
    const node = (name: string) => ({ path: `/dev/${name}`, hostPath: join(folder, "dev", name) });
    const specification = {
      cdiVersion: "0.6.0",
      kind: "nvidia.com/gpu",
      devices: [
        { name: "GPU-aaaa", containerEdits: { deviceNodes: [node("nvidia0")] } },
        { name: "1", containerEdits: { deviceNodes: [node("nvidia1")] } },
      ],
      containerEdits: {
        env: ["NVIDIA_VISIBLE_DEVICES=void"],
        deviceNodes: [node("nvidia-uvm"), node("nvidiactl")],
        mounts: [{ hostPath: join(folder, "libfake-cuda.so"), containerPath: "/usr/lib/libfake-cuda.so" }],
        hooks: [
          { hookName: "createContainer", path: join(folder, "bin/nvidia-cdi-hook"), args: ["nvidia-cdi-hook", "update-ldcache"] },
        ],
      },
    };
    writeFileSync(join(folder, "cdi/nvidia.json"), JSON.stringify(specification));
    process.env["PATH"] = `${join(folder, "bin")}:${before.PATH}`;
    process.env["HOB_CDI_DIRS"] = join(folder, "cdi");
    agent = await startAgent(join(tmpdir(), "hob-test-cache/hob/blobs"));
    await agent.heard("hello");
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    image = (await agent.heard("image")).image!.digest;
  }, 120_000);
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  const wish = (...gpus: string[]): void =>
    agent.send({
      $case: "pools",
      value: {
        pools: gpus.map((gpu) => ({
          ...{ image, warm: 1, reserve: 0, wanted: 0 },
          resourceClass: { cpu: 0, memoryBytes: 256 << 20, language: "python", gpu, network: "none" },
        })),
      },
    });

  it("have the devices of their model and no other, with environment, mounts and hooks, and hold them until they end", async () => {
    expect((await agent.heard("hello")).node?.gpus.map(({ name }) => name)).toEqual(["NVIDIA H100 80GB HBM3", "NVIDIA H200"]);
    wish("H100", "any");
    const warm = await agent.containersFit((all) => all.filter(({ state }) => state === "warm").length === 2);
    const own = warm.find(({ resourceClass }) => resourceClass?.gpu === "H100")!;
    expect(own.gpus).toEqual(["GPU-aaaa"]);
    expect(warm.flatMap(({ gpus }) => gpus).sort()).toEqual(["GPU-aaaa", "GPU-bbbb"]);

    const load = pythonLoad(own.id, source, ["seen"]);
    agent.send(callOf("00000000000000a1", load, "seen", [], { withLoad: true }));
    const { result, failure } = await agent.heard("finished", ({ call }) => call === "00000000000000a1");
    expect(failure).toBeUndefined();
    expect(JSON.parse(Buffer.from(result!.json).toString())).toEqual({
      devices: { nvidia0: [1, 3], "nvidia-uvm": [10, 229], nvidiactl: [1, 3] },
      visible: "void",
      library: "the driver's",
      hooked: true,
    });
    const sample = await agent.heard("sample", ({ gpus }) => gpus[0]?.functions.length === 1 && gpus[1]?.processes.length === 1);
    expect(sample.gpus[0]).toMatchObject({ utilisation: 0.07, temperatureC: 41, functions: ["seen"], processes: [] });
    expect(sample.gpus[1]?.processes).toMatchObject([{ name: "some program", container: "" }]);

    wish("any:2"); // waits for both
    agent.send({ $case: "stop", value: { container: own.id, reason: "the test", graceMs: 0 } });
    const [both] = await agent.containersFit((all) => all.length === 1 && all[0]?.state === "warm" && all[0].gpus.length === 2);
    expect(both?.gpus).toEqual(["GPU-aaaa", "GPU-bbbb"]);
  });

  // On a real card a process with a CUDA context cannot be forked, and a second one beside it may find no room for its model.
  it("go on with a patch where only libraries may have kept something, and end what holds the GPU before they load anew", async () => {
    const [own] = await agent.containersFit((all) => all.length === 1 && all[0]?.state === "warm");
    let calls = 0;
    let load: Load | undefined;
    const save = async (source: string, keep?: "unsure" | "loaded") => {
      const next = pythonLoad(own!.id, source, ["hold"], load);
      const line = source.split("\n").indexOf("def hold(seconds=0):") + 1;
      const unit = { path: "app.py", name: "hold", line, endLine: line + 3 };
      next.id = ++calls;
      if (keep) next.patches = [{ base: load!.snapshot!.digest, functions: ["hold"], keep, units: [unit], bundle: "" }];
      const call = `00000000000000b${calls}`;
      agent.send(callOf(call, next, "hold", [], { withLoad: true }));
      const { tier, reason } = await agent.heard(
        "loaded",
        ({ load: id, snapshot }) => Number(id) === calls && snapshot === next.snapshot!.digest,
      );
      const { result, failure } = await agent.heard("finished", (finished) => finished.call === call);
      expect(failure).toBeUndefined();
      load = next;
      const [pid, saves, others] = JSON.parse(Buffer.from(result!.json).toString());
      return { tier, reason, pid, saves, others };
    };
    const first = await save(holder(1));
    expect(first).toMatchObject({ saves: [1], others: [] });
    const patched = await save(holder(2), "unsure");
    expect(patched).toMatchObject({ tier: "patch", pid: first.pid, saves: [1, 2] });
    expect(patched.reason).toBe("it holds a GPU and goes on; its calls may have kept what the former code computed");
    const anew = await save(holder(3), "loaded");
    expect(anew).toMatchObject({ tier: "fork", saves: [3], others: [] });
    const forked = await save(`${holder(4)}\nmore = 1\n`);
    expect(forked).toMatchObject({ tier: "fork", saves: [4], others: [] });
    expect(new Set([first.pid, anew.pid, forked.pid]).size).toBe(3);
    // On an H100 a save during a call put the new model beside the one that the call was using.
    agent.send(callOf("00000000000000b0", load!, "hold", [0.5], { withLoad: false }));
    await agent.heard("started", ({ call }) => call === "00000000000000b0");
    const meanwhile = await save(holder(5), "loaded");
    expect(meanwhile).toMatchObject({ tier: "fork", saves: [5], others: [], reason: "hold was running a call" });
    const { result } = await agent.heard("finished", ({ call }) => call === "00000000000000b0");
    expect(JSON.parse(Buffer.from(result!.json).toString())[1]).toEqual([4, 4]);
  });

  it("say what is in the way where no specification names the device, and what to type", async () => {
    const file = join(folder, "cdi/nvidia.json");
    renameSync(file, `${file}.away`);
    const { gpus } = await agent.heard("sample", ({ gpus: [gpu] }) => gpu !== undefined && gpu.obstacle !== "");
    expect(gpus[0]?.obstacle).toBe(
      "no CDI specification of this node names the GPU 0 (GPU-aaaa): make one with `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    );
    agent.said.length = 0;
    renameSync(`${file}.away`, file);
    await agent.heard("sample", ({ gpus: [gpu] }) => gpu?.obstacle === "");
  });
});

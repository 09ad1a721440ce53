// ⑤ The whole way to a GPU on real runc, with harmless devices in its place: an nvidia-smi that is a script, and a CDI specification of
// the machine's own /dev/null and /dev/fuse under other names.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
        deviceNodes: [node("nvidia-uvm")],
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
    agent.send({ $case: "resolve", value: { image: { source: "host", digest: "" } } });
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
          ...{ image, warm: 1, reserve: 0 },
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
      devices: { nvidia0: [1, 3], "nvidia-uvm": [10, 229] },
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
});

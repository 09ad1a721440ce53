// ④⑤ GPUs without one: what nvidia-smi prints, what CDI specifications say, which model answers to which name, and who may have which.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Configuration, withEdits } from "../../agent/gpu/apply.ts";
import { type CdiSpec, editsFor, parseCdi } from "../../agent/gpu/cdi.ts";
import { createHoldings } from "../../agent/gpu/holdings.ts";
import { containerOfCgroup, parseGpuLine, parseProcessLine } from "../../agent/gpu/smi.ts";
import { unservable, withinDevices } from "../../control/scheduler/gpus.ts";
import { classKeyOf } from "../../control/scheduler/pools.ts";
import { Gpu, ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { isModel, parseGpuRequest } from "../../proto/gpu.ts";

const specification = (name: string): CdiSpec => parseCdi(readFileSync(join(import.meta.dirname, "gpu", name), "utf8"), name);
const uuid0 = "GPU-8f3b1c6e-2a4d-4b0f-9c1d-7e5a6b8c9d01";
const uuid1 = "GPU-1d2c3b4a-5f6e-4d7c-8b9a-0a1b2c3d4e5f";

describe("nvidia-smi", () => {
  it("gives one GPU a line; what it does not tell is zero; other lines are none", () => {
    const gpu = { uuid: uuid0, name: "NVIDIA H100 80GB HBM3", functions: [], processes: [], obstacle: "" };
    const used = { utilisation: 0.37, memoryUsedBytes: 2 ** 30, memoryTotalBytes: 81559 * 2 ** 20, temperatureC: 41 };
    expect(parseGpuLine(`0, ${uuid0}, NVIDIA H100 80GB HBM3, 37, 1024, 81559, 41`)).toEqual({
      index: 0,
      gpu: { ...gpu, ...used },
    });
    expect(parseGpuLine(`1, ${uuid1}, NVIDIA GB10, 0, [N/A], [N/A], 50`)?.gpu.memoryTotalBytes).toBe(0);
    const mig = parseGpuLine(`0, ${uuid0}, NVIDIA A100-SXM4-40GB, [N/A], 19968, 40960, 33`);
    expect(mig?.gpu).toMatchObject({ utilisation: 0, memoryUsedBytes: 19968 * 2 ** 20 });
    for (const line of [
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      "No devices were found",
      "Unable to determine the device handle for GPU0000:01:00.0: Unknown Error",
      "",
    ]) {
      expect(parseGpuLine(line)).toBeUndefined();
    }
  });

  // Recorded on an H100 with driver 580.159.04, the UUID replaced: four lines while it was idle, three while a process held 2 GiB of it.
  it("is understood as a real one speaks", () => {
    const lines = (name: string): string[] =>
      readFileSync(join(import.meta.dirname, "gpu", name), "utf8")
        .trimEnd()
        .split("\n");
    const gpus = lines("h100-gpus.csv").map((line) => parseGpuLine(line)?.gpu);
    expect(gpus.map((gpu) => (gpu?.memoryUsedBytes ?? -1) / 2 ** 20)).toEqual([0, 0, 0, 0, 2575, 2575, 2575]);
    const still = { uuid: uuid0, name: "NVIDIA H100 80GB HBM3", utilisation: 0, memoryTotalBytes: 81559 * 2 ** 20 };
    for (const gpu of gpus) expect(gpu).toMatchObject(still);
    const processes = lines("h100-processes.csv").map(parseProcessLine);
    const one = { uuid: uuid0, pid: 590, name: "/usr/bin/python3", memoryBytes: 2566 * 2 ** 20 };
    expect(processes).toEqual([one, one, one]);
  });

  it("gives one process a line, on a card or a part of one, whatever its name", () => {
    expect(parseProcessLine(`${uuid0}, 4711, /usr/bin/python3, 512`)).toEqual({
      ...{ uuid: uuid0, pid: 4711, name: "/usr/bin/python3", memoryBytes: 512 * 2 ** 20 },
    });
    expect(parseProcessLine(`${uuid0}, 12, a, b, c, [N/A]`)).toMatchObject({ name: "a, b, c", memoryBytes: 0 });
    expect(parseProcessLine("MIG-41b3359c-e721-56e5-8009-12e5797ed514, 9, [Not Found], 3")?.name).toBe("[Not Found]");
    expect(parseProcessLine("No running processes found")).toBeUndefined();
  });

  it("pids lead to containers by their cgroup, in either hierarchy", () => {
    const v1 = "12:memory:/hob-ab12/0badcafe\n1:name=systemd:/hob-ab12/0badcafe\n0::/init.scope\n";
    expect(containerOfCgroup(v1, "hob-ab12")).toBe("0badcafe");
    expect(containerOfCgroup("0::/hob-ab12/0badcafe/inner\n", "hob-ab12")).toBe("0badcafe");
    expect(containerOfCgroup("0::/user.slice/hob-ab1/x\n", "hob-ab12")).toBe("");
  });
});

describe("a CDI specification", () => {
  it("gives a device by UUID or index, with what all of them need, and never all", () => {
    const edits = editsFor([specification("nvidia-two.yaml")], [{ uuid: uuid1, index: 1 }]);
    const paths = edits.deviceNodes?.map(({ path }) => path);
    const common = ["/dev/nvidia-modeset", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidiactl"];
    expect(paths).toEqual([...common, "/dev/nvidia1"]);
    expect(edits.hooks?.map(({ args }) => args?.[1])).toEqual(["create-symlinks", "update-ldcache"]);
    expect(edits.env).toEqual(["NVIDIA_VISIBLE_DEVICES=void"]);
    const byIndex = editsFor([specification("nvidia-mig.json")], [{ uuid: "GPU-other", index: 1 }]);
    expect(byIndex.additionalGids).toEqual([105]);
  });

  it("that lacks the device, or is none, is an error with a remedy", () => {
    const mig = specification("nvidia-mig.json");
    expect(() => editsFor([mig], [{ uuid: uuid0, index: 0 }])).toThrow(
      `no CDI specification of this node names the GPU 0 (${uuid0})`,
    );
    expect(() => parseCdi("devices: [", "x.yaml")).toThrow("x.yaml is neither YAML nor JSON");
    expect(() => parseCdi("{}", "x.json")).toThrow("x.json is no CDI specification");
  });

  it("becomes bind mounts with a rule for each device's number, mounts, environment and hooks", () => {
    const config: Configuration = {
      process: { env: ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"], user: { uid: 0, gid: 0 } },
      mounts: [{ destination: "/dev", source: "tmpfs", type: "tmpfs", options: [] }],
      linux: { resources: { devices: [{ allow: false, access: "rwm" }] } },
    };
    const edits = editsFor([specification("nvidia-two.yaml")], [{ uuid: uuid0, index: 0 }]);
    const made = withEdits(config, edits, [
      { path: "/dev/nvidia0", type: "c", major: 195, minor: 0 },
      { path: "/dev/nvidiactl", hostPath: "/host/ctl", type: "c", major: 195, minor: 255, permissions: "r" },
    ]);
    expect(made.process.env).toEqual(["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=void"]);
    expect(made.linux.resources.devices).toEqual([
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 195, minor: 0, access: "rw" },
      { allow: true, type: "c", major: 195, minor: 255, access: "r" },
    ]);
    const sources = made.mounts.map(({ destination, source }) => `${source} ${destination}`);
    expect(sources.slice(0, 3)).toEqual(["tmpfs /dev", "/dev/nvidia0 /dev/nvidia0", "/host/ctl /dev/nvidiactl"]);
    expect(made.mounts.at(-1)).toMatchObject({ type: "bind", options: ["ro", "nosuid", "nodev", "bind"] });
    expect(made.hooks?.["createContainer"]).toHaveLength(2);
    const foreign = { hooks: [{ hookName: "createContainer", path: "/tmp/anything" }] };
    expect(() => withEdits(config, foreign, [])).toThrow("wants /tmp/anything run as a createContainer hook");
    const asRoot = { hooks: [{ hookName: "createRuntime", path: "/usr/bin/nvidia-cdi-hook" }] };
    expect(() => withEdits(config, asRoot, [])).toThrow("as a createRuntime hook");
  });
});

describe("a request", () => {
  it.each([
    ["NVIDIA H100 80GB HBM3", "H100", true],
    ["NVIDIA H100 80GB HBM3", "h100", true],
    ["NVIDIA H100 80GB HBM3", "H1", false],
    ["NVIDIA H100 80GB HBM3", "any", true],
    ["NVIDIA A100-SXM4-40GB", "A100", true],
    ["NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB", true],
    ["NVIDIA A10", "A100", false],
    ["NVIDIA GeForce RTX 4090", "RTX 4090", true],
    ["NVIDIA GeForce RTX 4090", "4090", true],
  ])("%s for %s: %s", (name, model, fits) => {
    expect(isModel(name, model)).toBe(fits);
  });

  it("has a model and a count", () => {
    expect(["", "any", "H100:2", "any:8", "RTX 4090"].map(parseGpuRequest)).toEqual([
      undefined,
      { model: "any", count: 1 },
      { model: "H100", count: 2 },
      { model: "any", count: 8 },
      { model: "RTX 4090", count: 1 },
    ]);
  });
});

const gpuOf = (uuid: string, name: string): Gpu => Gpu.fromPartial({ uuid, name });
const h100 = [gpuOf("a", "NVIDIA H100 80GB HBM3"), gpuOf("b", "NVIDIA H100 80GB HBM3")];

describe("devices", () => {
  it("are one container's each; who asks next waits until they are let go of", async () => {
    const holdings = createHoldings(() => h100);
    const { signal } = new AbortController();
    expect(await holdings.acquire("one", "H100", signal)).toEqual([{ uuid: "a", index: 0 }]);
    expect(["any", "any:2", "H200", ""].map(holdings.room)).toEqual([1, 0, 0, Number.POSITIVE_INFINITY]);
    const both = holdings.acquire("two", "any:2", signal);
    holdings.release("one");
    expect((await both).map(({ uuid }) => uuid)).toEqual(["a", "b"]);
    expect(holdings.of("two")).toEqual(["a", "b"]);
    await expect(holdings.acquire("three", "H200", signal)).rejects.toThrow('this node has 0 GPUs that are "H200", not 1');
    expect(await holdings.acquire("four", "", signal)).toEqual([]);
  });

  it("that no node has are said with what there is; where no node is linked yet, calls wait", () => {
    const node = (gpus: Gpu[]) => ({ info: { gpus } });
    expect(unservable("H100", [node([])])).toBe(
      'no node has a GPU "H100"; this pool has: none. Add a node with one, or remove gpu=',
    );
    expect(unservable("H100:4", [node(h100)])).toContain('no node has 4 × GPU "H100"; this pool has: 2 × NVIDIA H100 80GB HBM3');
    expect(unservable("any:2", [node(h100)])).toBeUndefined();
    expect(unservable("any:2", [node([h100[0]!]), node([h100[1]!])])).toContain("no node has 2 × GPU");
    expect(unservable("H100", [])).toBeUndefined();
    const withheld = h100.map((gpu) => ({ ...gpu, obstacle: "no CDI specification names it: make one" }));
    expect(unservable("H100", [node(withheld)])).toBe("no container can be given a GPU: no CDI specification names it: make one");
    expect(unservable("H100", [node(withheld), node(h100)])).toBeUndefined();
    expect(unservable("H200", [node(withheld)])).toContain('no node has a GPU "H200"');
    expect(unservable("", [node([])])).toBeUndefined();
  });

  it("bound how many generic containers are wished for: what is most waited for first, nothing in reserve", () => {
    const wish = (gpu: string, warm: number, wanted = 0) => ({
      ...{ image: "i", warm, reserve: 2, wanted },
      classKey: classKeyOf(ResourceClass.fromPartial({ language: "python", gpu })),
    });
    const node = { info: { gpus: h100 } };
    const counts = (...wishes: ReturnType<typeof wish>[]) =>
      withinDevices(wishes, node, []).map(({ warm, reserve }) => [warm, reserve]);
    expect(counts(wish("", 2), wish("any", 1), wish("H100", 3))).toEqual([
      [2, 2],
      [1, 0],
      [1, 0],
    ]);
    expect(counts(wish("any", 1), wish("H100:2", 3))).toEqual([
      [0, 0],
      [1, 0],
    ]);
    const held = { group: "g", state: "specialised", info: { gpus: ["a", "b"] } };
    expect(withinDevices([wish("any", 1)], node, [held])[0]).toMatchObject({ warm: 0, reserve: 0 });
    const generic = { group: "", state: "warm", info: { gpus: ["a"] } };
    expect(withinDevices([wish("H100:2", 1)], node, [generic])[0]).toMatchObject({ warm: 1 });
    // A class that was called much lately kept the only devices in containers that stood ready, and calls of another waited for minutes.
    expect(counts(wish("any", 6), wish("H100:2", 2, 1))).toEqual([
      [0, 0],
      [1, 0],
    ]);
    expect(counts(wish("any", 6), wish("H100", 2, 1))).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });
});

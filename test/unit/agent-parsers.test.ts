// ⑤ Texts of the kernel, runc and nvidia-smi, as the agent reads them.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFigure } from "../../agent/container/cgroup.ts";
import { parseStat } from "../../agent/container/process.ts";
import { lastComplaint } from "../../agent/container/runc.ts";
import { seccompProfile } from "../../agent/container/seccomp.ts";
import { uidBase } from "../../agent/container/slots.ts";
import { parseCpuTicks, parseMemory } from "../../agent/machine-load.ts";
import { openNetworkLoad } from "../../agent/network-load.ts";
import { mountsBelow } from "../../agent/sweep.ts";

describe("texts", () => {
  it("of a cgroup give one number, or the one after a key", () => {
    expect(readFigure("4493312\n")).toBe(4493312);
    expect(readFigure("max\n")).toBe(0);
    expect(readFigure("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill")).toBe(3);
    expect(readFigure("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n", "oom_kill")).toBe(1);
  });

  it("of /proc/PID/stat are read past a command's name that looks like fields", () => {
    const text = "412 (a) R 1 (x) S 1 412 412 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
    expect(parseStat(text)).toEqual({ state: "S", startTime: 987654 });
  });

  it("of runc's log give its last message, and a line that is no JSON as it is", () => {
    expect(lastComplaint('{"level":"info","msg":"a"}\n{"level":"error","msg":"no such cgroup"}\n')).toBe("no such cgroup");
    expect(lastComplaint("runc: cannot execute\n")).toBe("runc: cannot execute");
    expect(lastComplaint("")).toBe("");
  });

  it("of /proc/stat and /proc/meminfo give busy ticks and used bytes", () => {
    expect(parseCpuTicks("cpu  10 1 5 100 4 2 3 0 0 0\ncpu0 1 2 3\n")).toEqual({ busy: 21, total: 125 });
    expect(parseMemory("MemTotal:       1000 kB\nMemFree: 100 kB\nMemAvailable:    400 kB\n")).toEqual({
      totalBytes: 1024000,
      usedBytes: 614400,
    });
  });

  it("of mountinfo give the mounts below a folder, the innermost first, blanks decoded", () => {
    const text = [
      "30 1 0:1 / /run/hob/ab rw - tmpfs none rw",
      "31 30 0:2 / /run/hob/ab/c/one\\040two rw - tmpfs none rw",
      "32 31 0:3 / /run/hob/ab/c/one\\040two/root rw - overlay none rw",
      "33 1 0:4 / /run/hob/abc/x rw - tmpfs none rw",
    ].join("\n");
    expect(mountsBelow("/run/hob/ab", text)).toEqual(["/run/hob/ab/c/one two/root", "/run/hob/ab/c/one two"]);
  });
});

describe("a container's confinement", () => {
  it("gives every slot a range of its own, below the uids that are negative as 32-bit integers", () => {
    const bases = ["00000000", "00000001", "fffffffe", "ffffffff"].flatMap((key) =>
      [0, 1, 1023].map((index) => uidBase(key, index)),
    );
    expect(new Set(bases).size).toBe(bases.length);
    for (const base of bases) expect(base % 65536 === 0 && base > 0x6fff_ffff && base + 65535 < 2 ** 31).toBe(true);
  });

  it("allows neither mounts nor namespaces nor tracing, on one architecture only", () => {
    const profile = seccompProfile("arm64");
    expect(profile?.architectures).toEqual(["SCMP_ARCH_AARCH64"]);
    const allowed = new Set(
      profile?.syscalls.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && !args).flatMap(({ names }) => names),
    );
    for (const name of [
      "mount",
      "umount2",
      "unshare",
      "setns",
      "ptrace",
      "bpf",
      "keyctl",
      "io_uring_setup",
      "clone",
      "socket",
      "reboot",
    ]) {
      expect(allowed.has(name), name).toBe(false);
    }
    expect(allowed.has("openat")).toBe(true);
    expect(seccompProfile("riscv64")).toBeUndefined();
  });
});

describe("what a machine receives and sends", () => {
  it("is summed over the interfaces that lead out, as a mean since the last sample, and nothing where they have gone", () => {
    const root = mkdtempSync(join(tmpdir(), "hob-net-"));
    const count = (name: string, received: number, sent: number): void => {
      mkdirSync(join(root, name, "statistics"), { recursive: true });
      writeFileSync(join(root, name, "statistics/rx_bytes"), `${received}\n`);
      writeFileSync(join(root, name, "statistics/tx_bytes"), `${sent}\n`);
    };
    let names = ["eth0", "eth1"];
    count("eth0", 1_000, 100);
    count("eth1", 5_000, 0);
    using load = openNetworkLoad(root, () => names);
    expect(load.sample(1_000)).toEqual({ receivedBytesPerSecond: 0, sentBytesPerSecond: 0 });
    count("eth0", 3_000, 150);
    count("eth1", 5_500, 0);
    const rates = { receivedBytesPerSecond: 5_000, sentBytesPerSecond: 100 };
    expect(load.sample(1_500)).toEqual(rates);
    expect(load.sample(1_550)).toEqual(rates); // too soon to say anything new
    names = ["eth9"];
    expect(load.sample(40_000)).toEqual({ receivedBytesPerSecond: 0, sentBytesPerSecond: 0 });
    rmSync(root, { recursive: true });
  });
});

// ⑤ What `hob doctor` and the start of a pool conclude from what they find on a machine.

import { describe, expect, it } from "vitest";
import { installSentence, managerOf } from "../../cli/distribution.ts";
import { cgroupsOf, judgeCgroups } from "../../cli/doctor/cgroups.ts";
import { formatFindings } from "../../cli/doctor/finding.ts";
import { judgeRoom } from "../../cli/doctor/machine.ts";
import { atLeast, versionIn } from "../../cli/doctor/version.ts";
import { type Machine, obstacle } from "../../cli/prerequisites.ts";

const hybrid = `cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0`;

describe("cgroups", () => {
  it("are told apart as v1, v2, hybrid and none", () => {
    expect(cgroupsOf(hybrid, "")).toEqual({ mode: "hybrid", controllers: ["cpu", "cpuacct", "memory", "pids"] });
    expect(cgroupsOf("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "cpuset cpu io memory pids\n").mode).toBe("v2");
    expect(cgroupsOf(hybrid.split("\n").slice(1).join("\n"), "").mode).toBe("v1");
    expect(cgroupsOf("proc /proc proc rw 0 0", "")).toEqual({ mode: "none", controllers: [] });
  });

  it("without the memory controller are limited, and none at all stop a pool", () => {
    expect(judgeCgroups({ mode: "v2", controllers: ["cpu", "pids"] })).toMatchObject({
      state: "limited",
      meaning: "no limit of memory can be set",
    });
    expect(judgeCgroups({ mode: "none", controllers: [] }).state).toBe("missing");
    expect(judgeCgroups(cgroupsOf(hybrid, "")).state).toBe("ok");
  });
});

describe("versions", () => {
  it("are compared by number, not by text", () => {
    expect(atLeast(versionIn("Linux 6.18.2-amd64"), [6, 9])).toBe(true);
    expect(atLeast(versionIn("runc version 1.0.3"), [1, 1])).toBe(false);
    expect(atLeast(versionIn("v24.21.0"), [24])).toBe(true);
    expect(versionIn("none")).toEqual([]);
  });
});

describe("remedies", () => {
  it.each([
    ["ID=debian\n", "apt-get install -y runc"],
    ['ID="ubuntu"\nID_LIKE=debian\n', "apt-get install -y runc"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y runc"],
    ["ID=arch\n", "pacman -S --noconfirm runc"],
  ])("follow the distribution: %j", (osRelease, command) => {
    expect(installSentence("runc", managerOf(osRelease))).toContain(command);
  });

  it("name the package where the distribution is unknown", () => {
    expect(installSentence("python3", managerOf("ID=plan9\n"))).toBe("install the package python3 of your distribution");
    expect(installSentence("python3", "pacman")).toContain("pacman -S --noconfirm python`");
  });
});

describe("a machine", () => {
  const able: Machine = { platform: "linux", uid: 0, runc: "/usr/sbin/runc", unshare: "/usr/bin/unshare", fuseDevice: true };

  it("that has everything has no obstacle", () => expect(obstacle(able, "apt")).toBeUndefined());

  it.each<[string, Partial<Machine>, RegExp]>([
    ["is no Linux", { platform: "darwin" }, /need Linux.*--control/],
    ["gives no root", { uid: 1000 }, /needs root: .*sudo/],
    ["has no runc", { runc: undefined }, /runc is not in PATH: .*apt-get install -y runc/],
    ["has no unshare", { unshare: undefined }, /unshare is not in PATH: .*util-linux/],
    ["has no /dev/fuse", { fuseDevice: false }, /\/dev\/fuse is missing: .*modprobe fuse/],
  ])("that %s is refused in one sentence with a remedy", (_, lack, sentence) => {
    const error = obstacle({ ...able, ...lack }, "apt");
    expect(error?.kind).toBe("precondition");
    expect(error?.sentence).toMatch(sentence);
    expect(error?.sentence).not.toContain("\n");
  });

  it("with a full disk is told which folder, and how to move it", () => {
    const room = { purpose: "cache", folder: "/c", limitedBytes: 1000, missingBytes: 100, override: "XDG_CACHE_HOME" };
    expect(judgeRoom(room, 50)).toMatchObject({ state: "missing", remedy: expect.stringContaining("XDG_CACHE_HOME") });
    expect(judgeRoom(room, 500).state).toBe("limited");
    expect(judgeRoom(room, 5000).state).toBe("ok");
  });

  it("is shown as aligned rows, remedies beneath", () => {
    expect(
      formatFindings([
        {
          check: "runc",
          title: "runc",
          state: "missing",
          found: "not in PATH",
          meaning: "containers cannot start",
          remedy: "install it",
        },
        { check: "kernel", title: "kernel", state: "ok", found: "Linux 6.18", meaning: "all that hob uses" },
      ]),
    ).toEqual([
      "✗ runc    not in PATH: containers cannot start",
      "          → install it",
      "✓ kernel  Linux 6.18: all that hob uses",
    ]);
  });
});

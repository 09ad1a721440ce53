// ⑤ Which cgroups this machine has: version 1, version 2, or both (hybrid), and which controllers a container can be limited by.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./finding.ts";

interface Cgroups {
  mode: "v1" | "v2" | "hybrid" | "none";
  controllers: string[];
}

const wanted = ["cpu", "memory", "pids"];

/**
 * From /proc/self/mounts and the cgroup.controllers file of the v2 mount ("" when there is none). In hybrid mode the
 * controllers are the v1 ones.
 */
export function cgroupsOf(mounts: string, unifiedControllers: string): Cgroups {
  const rows = mounts.split("\n").map((line) => line.split(" "));
  const options = rows.filter((row) => row[2] === "cgroup").flatMap((row) => (row[3] ?? "").split(","));
  const known = new Set([
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "pids",
    "devices",
    "freezer",
    "blkio",
    "io",
    "hugetlb",
    "net_cls",
    "net_prio",
  ]);
  const first = [...new Set(options.filter((option) => known.has(option)))];
  const unified = rows.some((row) => row[2] === "cgroup2");
  const second = unifiedControllers.trim().split(/\s+/).filter(Boolean);
  if (first.length > 0) return { mode: unified ? "hybrid" : "v1", controllers: [...new Set([...first, ...second])].sort() };
  return unified ? { mode: "v2", controllers: second.sort() } : { mode: "none", controllers: [] };
}

export function checkCgroups(): Finding {
  const mounts = readFileSync("/proc/self/mounts", "utf8");
  const unified = mounts.split("\n").find((line) => line.split(" ")[2] === "cgroup2");
  const file = unified ? join(unified.split(" ")[1] ?? "", "cgroup.controllers") : "";
  return judgeCgroups(cgroupsOf(mounts, file && existsSync(file) ? readFileSync(file, "utf8") : ""));
}

export function judgeCgroups(cgroups: Cgroups): Finding {
  const row = { check: "cgroups", title: "cgroups" };
  const found = cgroups.mode === "none" ? "none mounted" : `${cgroups.mode}, ${cgroups.controllers.join(" ")}`;
  const lacking = wanted.filter((name) => !cgroups.controllers.includes(name));
  if (cgroups.mode === "none") {
    const remedy = "mount them: `mount -t cgroup2 none /sys/fs/cgroup`";
    return { ...row, state: "missing", found, meaning: "runc cannot start containers", remedy };
  }
  if (lacking.length > 0) {
    const remedy = "enable them in the parent's cgroup.subtree_control, or boot with cgroup_enable=memory";
    return { ...row, state: "limited", found, meaning: `no limit of ${lacking.join(", ")} can be set`, remedy };
  }
  return { ...row, state: "ok", found, meaning: "cpu, memory and process limits hold" };
}

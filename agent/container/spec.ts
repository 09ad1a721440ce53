// ⑤ What runc is told about a container: its config.json, from the class, the slot and the folders. Pure.

import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { seccompProfile } from "./seccomp.ts";
import { rangeSize, type Slot } from "./slots.ts";

export interface SpecInput {
  id: string;
  cgroupsPath: string;
  root: string;
  /** Folders and files that are shown read-only, in this order. */
  shown: readonly { destination: string; source: string }[];
  /** Shown at /tmp. */
  scratch: string;
  /** Their resolv.conf; undefined without a network. */
  nameFile: string | undefined;
  resourceClass: ResourceClass;
  slot: Slot;
  /** The agent's pid, through which runc finds the slot's namespaces. */
  agentPid: number;
  /** The process whose pid namespace the container gets; one of its own without. */
  firstPid?: number | undefined;
  command: { args: readonly string[]; env: Readonly<Record<string, string>> };
  cwd: string;
  user: ContainerUser;
  /** Within its own user namespace. Functions have none. */
  capabilities: readonly string[];
  /** Whether the kernel counts swap (memory.memsw, or memory.swap.max): then none is allowed. */
  swapLimit: boolean;
  /** This process' own hard limit of open files, which a user namespace cannot go beyond. */
  openFilesMost: number;
}

export interface ContainerUser {
  uid: number;
  gid: number;
  additionalGids: readonly number[];
}

export const rootUser: ContainerUser = { uid: 0, gid: 0, additionalGids: [] };

const MiB = 2 ** 20;
/** Processes and threads of one container. */
export const pidsLimit = 1024;
const openFilesWished = 65_536;
export const oomScoreAdj = 500; // containers before the agent and its FUSE daemon
const cpuPeriodUs = 100_000;
const shmBytes = 64 * MiB;
const writableBytesMost = 1024 * MiB;

/**
 * The most that a container can write into its root and /tmp together. What it writes is memory of the container: half of its limit,
 * so that a disk that is full is an error of the function, and not the end of its process.
 */
export function writableBytes({ memoryBytes }: Pick<ResourceClass, "memoryBytes">): number {
  return memoryBytes > 0 ? Math.min(Math.floor(memoryBytes / 2), writableBytesMost) : writableBytesMost;
}

export const openFilesOf = (most: number): number => Math.min(openFilesWished, most);

const maskedPaths = [
  ...["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi", "kallsyms"].map(
    (name) => `/proc/${name}`,
  ),
  ...["firmware", "devices/virtual/powercap", "kernel/security", "kernel/debug"].map((name) => `/sys/${name}`),
];
const readonlyPaths = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`);

/** An OCI runtime configuration (spec 1.0.2): user namespace, no new privileges, seccomp, bounded everything. */
export function runtimeSpec(input: SpecInput): unknown {
  const { resourceClass, slot } = input;
  const namespaceOf = (fd: number): string => `/proc/${input.agentPid}/fd/${fd}`;
  const mapping = [{ containerID: 0, hostID: slot.uidBase, size: rangeSize }];
  const { capabilities } = input;
  const openFiles = openFilesOf(input.openFilesMost);
  const bind = (destination: string, source: string, access = "ro"): object => ({
    destination,
    source,
    type: "bind",
    options: ["bind", access, "nosuid", "nodev"],
  });
  const tmpfs = (destination: string, ...options: string[]): object => ({
    destination,
    source: "tmpfs",
    type: "tmpfs",
    options: ["nosuid", ...options],
  });
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: input.user,
      args: input.command.args,
      env: Object.entries(input.command.env).map(([name, value]) => `${name}=${value}`),
      cwd: input.cwd,
      capabilities: {
        ...{ bounding: capabilities, effective: capabilities, permitted: capabilities },
        ...{ inheritable: [], ambient: [] }, // programs of another user than root begin without
      },
      noNewPrivileges: true,
      rlimits: [
        { type: "RLIMIT_NOFILE", hard: openFiles, soft: openFiles },
        { type: "RLIMIT_CORE", hard: 0, soft: 0 },
      ],
      oomScoreAdj,
    },
    root: { path: input.root, readonly: false },
    hostname: `hob-${input.id}`,
    mounts: [
      { destination: "/proc", source: "proc", type: "proc", options: ["nosuid", "noexec", "nodev"] },
      tmpfs("/dev", "strictatime", "mode=755", "size=65536k"),
      {
        destination: "/dev/pts",
        source: "devpts",
        type: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      tmpfs("/dev/shm", "noexec", "nodev", "mode=1777", `size=${shmBytes}`),
      { destination: "/sys", source: "sysfs", type: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      bind("/tmp", input.scratch, "rw"),
      ...input.shown.map(({ destination, source }) => bind(destination, source)),
      ...(input.nameFile === undefined ? [] : [bind("/etc/resolv.conf", input.nameFile)]),
    ],
    linux: {
      uidMappings: mapping,
      gidMappings: mapping,
      namespaces: [
        { type: "user", path: namespaceOf(slot.userFd) },
        { type: "network", path: namespaceOf(slot.networkFd) },
        { type: "pid", ...(input.firstPid === undefined ? {} : { path: `/proc/${input.firstPid}/ns/pid` }) },
        ...["ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
      ],
      cgroupsPath: input.cgroupsPath,
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        pids: { limit: pidsLimit },
        ...(resourceClass.memoryBytes > 0
          ? { memory: { limit: resourceClass.memoryBytes, ...(input.swapLimit ? { swap: resourceClass.memoryBytes } : {}) } }
          : {}),
        ...(resourceClass.cpu > 0 ? { cpu: { quota: Math.round(resourceClass.cpu * cpuPeriodUs), period: cpuPeriodUs } } : {}),
      },
      seccomp: seccompProfile(),
      maskedPaths,
      readonlyPaths,
    },
  };
}

// ⑤ The system calls that Node lacks, each as a function that throws a named error. No decisions here.

import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { HobError } from "../../base/errors.ts";

const libc = koffi.load("libc.so.6");

// Numbers that x86_64 and arm64 share: every call since Linux 5.0 has the same number everywhere (include/uapi/asm-generic/unistd.h).
const OPEN_TREE = 428;
const MOVE_MOUNT = 429;
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;
const MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOUNT_ATTR_IDMAP = 0x0010_0000n;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;
const CLOEXEC = 1; // FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC
const MNT_DETACH = 2;
const CLONE_NEWNET = 0x4000_0000;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP_RUNNING = 0x41;

const openTreeCall = libc.func("long syscall(long number, int folder, const char *path, unsigned int flags)");
const moveMountCall = libc.func(
  "long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)",
);
const fsopenCall = libc.func("long syscall(long number, const char *type, unsigned int flags)");
const fsconfigCall = libc.func(
  "long syscall(long number, int fd, unsigned int command, const char *key, const char *value, int aux)",
);
const fsmountCall = libc.func("long syscall(long number, int fd, unsigned int flags, unsigned int attributes)");
const setattrCall = libc.func(
  "long syscall(long number, int fd, const char *path, unsigned int flags, const void *attributes, size_t size)",
);
const mountCall = libc.func(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
);
const umountCall = libc.func("int umount2(const char *target, int flags)");
const setnsCall = libc.func("int setns(int fd, int type)");
const socketCall = libc.func("int socket(int domain, int type, int protocol)");
const ioctlCall = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
const closeCall = libc.func("int close(int fd)");
const prctlCall = libc.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const waitpidCall = libc.func("int waitpid(int pid, _Out_ int *status, int options)");

/** The number, or an error that names the call, its object and the errno. */
function checked(result: number, operation: string): number {
  if (result >= 0) return result;
  const code = getSystemErrorName(-koffi.errno());
  throw new HobError(code === "ENOSPC" ? "exhausted" : "unavailable", `${operation}: ${code}`);
}

/** A detached copy of the mount at `path`, as a descriptor that the caller closes. */
export function cloneMount(path: string): number {
  return checked(openTreeCall(OPEN_TREE, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), `open_tree ${path}`);
}

/** Shows a detached mount's owners through the mapping of a user namespace. Needs a file system with FS_ALLOW_IDMAP. */
export function idmapMount(mountFd: number, userNamespaceFd: number): void {
  const attributes = Buffer.alloc(32); // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
  attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0);
  attributes.writeBigUInt64LE(BigInt(userNamespaceFd), 24);
  checked(setattrCall(MOUNT_SETATTR, mountFd, "", AT_EMPTY_PATH, attributes, 32), "mount_setattr (idmapped mount)");
}

export function attachMount(mountFd: number, target: string): void {
  checked(moveMountCall(MOVE_MOUNT, mountFd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), `move_mount to ${target}`);
}

/** Makes a file system from parameters (strings, or descriptors for those that take one), detached; the caller closes it. */
export function makeFileSystem(type: string, parameters: [key: string, value: string | number][]): number {
  const context = checked(fsopenCall(FSOPEN, type, CLOEXEC), `fsopen ${type}`);
  try {
    for (const [key, value] of parameters) {
      const result =
        typeof value === "number"
          ? fsconfigCall(FSCONFIG, context, FSCONFIG_SET_FD, key, null, value)
          : fsconfigCall(FSCONFIG, context, FSCONFIG_SET_STRING, key, value, 0);
      checked(result, `fsconfig ${type} ${key}`);
    }
    checked(fsconfigCall(FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0), `creating a file system of type ${type}`);
    return checked(fsmountCall(FSMOUNT, context, CLOEXEC, 0), `fsmount ${type}`);
  } finally {
    closeDescriptor(context);
  }
}

export function mount(type: string, target: string, data: string): void {
  checked(mountCall(type, target, type, 0, data), `mounting ${type} at ${target}`);
}

/** Detaches the mount; that there is none is not an error. */
export function unmount(target: string): void {
  if (umountCall(target, MNT_DETACH) === 0) return;
  const code = getSystemErrorName(-koffi.errno());
  if (code !== "EINVAL" && code !== "ENOENT") throw new HobError("unavailable", `unmounting ${target}: ${code}`);
}

export function closeDescriptor(fd: number): void {
  closeCall(fd);
}

/** Does `work` in a network namespace: this thread enters it and comes back before anything else can run, so `work` must not wait. */
export function inNetwork<T>(networkFd: number, ownNetworkFd: number, work: () => T): T {
  checked(setnsCall(networkFd, CLONE_NEWNET), "entering a network namespace");
  try {
    return work();
  } finally {
    checked(setnsCall(ownNetworkFd, CLONE_NEWNET), "leaving a network namespace");
  }
}

/** Brings up an interface ("lo") of the network namespace that this thread is in. */
export function raiseInterface(name: string): void {
  const socket = checked(socketCall(AF_INET, SOCK_DGRAM_CLOEXEC, 0), "opening a socket in a network namespace");
  const request = Buffer.alloc(40); // struct ifreq: 16 bytes of name, then the flags
  request.write(name);
  request.writeInt16LE(IFF_UP_RUNNING, 16);
  const result = ioctlCall(socket, SIOCSIFFLAGS, request);
  closeDescriptor(socket);
  checked(result, `bringing up the interface ${name}`);
}

/** Orphans among our descendants become our children from now on: containers' first processes are then ours to wait for. */
export function adoptOrphans(): void {
  checked(prctlCall(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "becoming the reaper of containers");
}

export type Wait =
  | { state: "running" }
  | { state: "notOurs" }
  | { state: "exited"; code: number }
  | { state: "killed"; signal: number };

/** Collects a child's end without waiting for it. */
export function reap(pid: number): Wait {
  const status = [0];
  const result = waitpidCall(pid, status, WNOHANG) as number;
  if (result === 0) return { state: "running" };
  if (result < 0) return { state: "notOurs" };
  const bits = status[0] ?? 0;
  const signal = bits & 0x7f;
  return signal === 0 ? { state: "exited", code: (bits >> 8) & 0xff } : { state: "killed", signal };
}

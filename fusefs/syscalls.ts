// ⑤ The system calls that Node lacks, through koffi. Each returns what libc returns; errors are errno numbers, read at once.

import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { HobError } from "../base/errors.ts";
import { epoll, MNT_DETACH } from "./wire/constants.ts";

const libc = koffi.load(null); // what the process itself is linked against: glibc or musl

// koffi has no ssize_t. open and ioctl are variadic in C; on x86-64 and arm64 Linux their arguments travel as if they were not.
const rawRead = libc.func("int64_t read(int fd, void *buffer, size_t bytes)");
const rawWrite = libc.func("int64_t write(int fd, const void *buffer, size_t bytes)");
const rawPwrite = libc.func("int64_t pwrite(int fd, const void *buffer, size_t bytes, int64_t offset)");
const rawPidfd = libc.func("long syscall(long number, int first, int second, unsigned int flags)");
const rawPread = libc.func("int64_t pread(int fd, void *buffer, size_t bytes, int64_t offset)");
const rawOpen = libc.func("int open(const char *path, int flags, unsigned int mode)");
const rawClose = libc.func("int close(int fd)");
const rawIoctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
const rawMount = libc.func(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
);
const rawUmount = libc.func("int umount2(const char *target, int flags)");
const rawEpollCreate = libc.func("int epoll_create1(int flags)");
const rawEpollCtl = libc.func("int epoll_ctl(int epfd, int op, int fd, const void *event)");
const rawEpollWait = libc.func("int epoll_wait(int epfd, void *events, int maxEvents, int timeoutMs)");
const rawEventfd = libc.func("int eventfd(unsigned int initial, int flags)");
const rawGetAffinity = libc.func("int sched_getaffinity(int pid, size_t bytes, void *mask)");
const rawSetAffinity = libc.func("int sched_setaffinity(int pid, size_t bytes, const void *mask)");
const rawPoll = libc.func("int poll(void *fds, unsigned long count, int timeoutMs)");

/** The errno of the call just made on this thread. */
export const lastErrno = (): number => koffi.errno();

export const read = (fd: number, buffer: Buffer): number => rawRead(fd, buffer, buffer.length);
export const write = (fd: number, buffer: Buffer, bytes: number): number => rawWrite(fd, buffer, bytes);
export const pread = (fd: number, buffer: Buffer, bytes: number, offset: number): number => rawPread(fd, buffer, bytes, offset);
export const pwrite = (fd: number, buffer: Buffer, offset: number): number => rawPwrite(fd, buffer, buffer.length, offset);
export const open = (path: string, flags: number, mode = 0): number => rawOpen(path, flags, mode);
export const close = (fd: number): number => rawClose(fd);
export const ioctl = (fd: number, request: number, argument: Buffer): number => rawIoctl(fd, request, argument);

/** 0, or an errno. */
export function mount(source: string, target: string, type: string, flags: number, data: string): number {
  return rawMount(source, target, type, flags, data) === 0 ? 0 : koffi.errno();
}

/** umount2(MNT_DETACH): the tree is gone from the folder at once, the mount when its last user ends. 0, or an errno. */
export function detach(target: string): number {
  return rawUmount(target, MNT_DETACH) === 0 ? 0 : koffi.errno();
}

export const eventfd = (flags: number): number => rawEventfd(0, flags);

// struct epoll_event is packed on x86-64 only: arch/x86/include/uapi/asm/… EPOLL_PACKED.
const packed = process.arch === "x64";
const eventBytes = packed ? 12 : 16;
const eventDataOffset = packed ? 4 : 8;

/** One epoll descriptor; every watched descriptor carries a number, and `wait` gives back the numbers of those that are ready. */
export interface Epoll {
  add(fd: number, tag: number, events: number): number;
  remove(fd: number): void;
  /** Blocks the thread until something is ready, or the time is over (-1: never); how many there are. */
  wait(timeoutMs: number): number;
  tag(index: number): number;
  close(): void;
}

const maxEvents = 32;

export function createEpoll(): Epoll {
  const fd = rawEpollCreate(epoll.cloexec) as number;
  const events = Buffer.alloc(eventBytes * maxEvents);
  const event = Buffer.alloc(eventBytes);
  return {
    add(watched, tag, mask) {
      event.writeUInt32LE(mask >>> 0, 0);
      event.writeUInt32LE(tag, eventDataOffset);
      return rawEpollCtl(fd, epoll.ctlAdd, watched, event) === 0 ? 0 : koffi.errno();
    },
    remove(watched) {
      rawEpollCtl(fd, epoll.ctlDel, watched, event);
    },
    wait: (timeoutMs) => rawEpollWait(fd, events, maxEvents, timeoutMs),
    tag: (index) => events.readUInt32LE(index * eventBytes + eventDataOffset),
    close() {
      rawClose(fd);
    },
  };
}

/** For 8,192 processors, which is the kernel's own limit. */
const AFFINITY_BYTES = 1024;

/** The processors that this thread may run on, a bit each; empty where the system does not say. */
export function getAffinity(): Buffer {
  const mask = Buffer.alloc(AFFINITY_BYTES);
  return rawGetAffinity(0, mask.length, mask) < 0 ? Buffer.alloc(0) : mask;
}

/** 0, or -1. */
export const setAffinity = (mask: Buffer): number => rawSetAffinity(0, mask.length, mask);

// The same numbers on every architecture: include/uapi/asm-generic/unistd.h.
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;

/** Descriptors of another process, as descriptors of ours to the same open files. HobError `unavailable` when the system does not give them. */
export function copyDescriptors(pid: number, fds: readonly number[]): number[] {
  const checked = (result: number, call: string): number => {
    if (result >= 0) return result;
    throw new HobError("unavailable", `${call} of process ${pid}: ${getSystemErrorName(-koffi.errno())}`);
  };
  const pidfd = checked(rawPidfd(PIDFD_OPEN, pid, 0, 0), "pidfd_open");
  const copies: number[] = [];
  try {
    for (const fd of fds) copies.push(checked(rawPidfd(PIDFD_GETFD, pidfd, fd, 0), "pidfd_getfd"));
    return copies;
  } catch (error) {
    for (const copy of copies) rawClose(copy);
    throw error;
  } finally {
    rawClose(pidfd);
  }
}

/** Whether `fd` becomes readable within the time. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const one = Buffer.alloc(8); // struct pollfd
  one.writeInt32LE(fd, 0);
  one.writeInt16LE(1, 4); // POLLIN
  return rawPoll(one, 1, timeoutMs) > 0;
}

// ⑤ One FUSE connection: opens /dev/fuse, mounts it and answers INIT, so that a worker only ever sees ordinary requests.

import { closeSync, constants, openSync } from "node:fs";
import { HobError, systemError } from "../base/errors.ts";
import { detach, ioctl, lastErrno, mount, read, waitReadable, write } from "./syscalls.ts";
import { errno, FUSE_MAJOR, FUSE_MINOR, fuseIoctl, initFlag, initFlag2, mountFlag } from "./wire/constants.ts";
import { inHeader, initIn, initOut, outHeader } from "./wire/structs.ts";

/** The type that our mounts have in /proc/self/mountinfo. */
export const FUSE_TYPE = "fuse.hob";
/** One READ's most bytes: 256 pages. Replies have room for that much. */
export const MAX_READ_BYTES = 1 << 20;
/** The kernel refuses shorter reads than this (FUSE_MIN_READ_BUFFER 8 KiB; a request with its names fits well). */
export const REQUEST_BYTES = 64 * 1024;

export interface Session {
  readonly fd: number;
  /** What the kernel offers; whether BACKING_OPEN then works is another question (probe.ts). */
  readonly kernelPassthrough: boolean;
  readonly idmap: boolean;
  /** Whether what a dead daemon has read can be sent to another (Linux 6.9). */
  readonly resend: boolean;
}

export interface SessionOptions {
  passthrough: boolean;
  /** True where directories change: the kernel then asks before it lists one, and nothing is promised for ever. */
  dynamic: boolean;
}

function openDevice(): number {
  try {
    return openSync("/dev/fuse", constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw systemError("opening /dev/fuse", error, "load the kernel's fuse module (modprobe fuse), and run hob's agent as root");
  }
}

/** Mounts at an existing folder, read-only. HobError `precondition` says what the machine lacks. */
export function openSession(mountPoint: string, options: SessionOptions): Session {
  const fd = openDevice();
  try {
    const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
    const failed = mount("hob", mountPoint, FUSE_TYPE, mountFlag.readOnly | mountFlag.noDev, data);
    if (failed === errno.EPERM) {
      throw new HobError("precondition", `mounting ${mountPoint}: the system did not permit it`, {
        remedy: "run hob's agent as root",
      });
    }
    if (failed === errno.ENODEV) {
      throw new HobError("precondition", `mounting ${mountPoint}: this kernel has no FUSE`, { remedy: "modprobe fuse" });
    }
    if (failed !== 0) throw new HobError("unavailable", `mounting ${mountPoint}: errno ${failed}`);
    try {
      return { fd, ...answerInit(fd, options) };
    } catch (error) {
      detach(mountPoint);
      throw error;
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Another descriptor of the same connection, with a queue of its own for the requests that are read from it. */
export function cloneSession(fd: number): number {
  const clone = openDevice();
  const argument = Buffer.alloc(4);
  argument.writeUInt32LE(fd, 0);
  if (ioctl(clone, fuseIoctl.clone, argument) === 0) return clone;
  const failed = lastErrno();
  closeSync(clone);
  throw new HobError("unavailable", `cloning a FUSE connection: errno ${failed}`);
}

// The kernel queues INIT while it mounts; 5 s is for a machine that is out of breath.
const INIT_TIMEOUT_MS = 5000;

function answerInit(fd: number, options: SessionOptions): Omit<Session, "fd"> {
  const request = Buffer.alloc(REQUEST_BYTES);
  if (!waitReadable(fd, INIT_TIMEOUT_MS)) throw new HobError("unavailable", "starting FUSE: the kernel did not say anything");
  const bytes = read(fd, request);
  const isInit = bytes >= inHeader.sizeof + 16 && request.readUInt32LE(inHeader.opcode) === 26;
  if (!isInit) throw new HobError("unavailable", "starting FUSE: the kernel did not begin with INIT");

  const body = inHeader.sizeof;
  const major = request.readUInt32LE(body + initIn.major);
  const minor = request.readUInt32LE(body + initIn.minor);
  if (major !== FUSE_MAJOR || minor < 36) {
    const remedy = "use Linux 5.16 or newer";
    throw new HobError("precondition", `starting FUSE: this kernel speaks version ${major}.${minor}`, { remedy });
  }
  const offered = request.readUInt32LE(body + initIn.flags);
  const offered2 = offered & initFlag.initExt ? request.readUInt32LE(body + initIn.flags2) : 0;
  const kernelPassthrough = (offered2 & initFlag2.passthrough) !== 0;
  const idmap = (offered2 & initFlag2.allowIdmap) !== 0;

  let flags = initFlag.asyncRead | initFlag.doReaddirplus | initFlag.parallelDirops | initFlag.maxPages;
  flags |= initFlag.cacheSymlinks | initFlag.initExt;
  if (!options.dynamic) flags |= initFlag.noOpendirSupport;
  let flags2 = initFlag2.hasResend | initFlag2.allowIdmap;
  if (options.passthrough) flags2 |= initFlag2.passthrough;

  const reply = Buffer.alloc(outHeader.sizeof + initOut.sizeof);
  const at = outHeader.sizeof;
  reply.writeUInt32LE(reply.length, outHeader.len);
  request.copy(reply, outHeader.unique, inHeader.unique, inHeader.unique + 8);
  reply.writeUInt32LE(FUSE_MAJOR, at + initOut.major);
  reply.writeUInt32LE(FUSE_MINOR, at + initOut.minor);
  reply.writeUInt32LE(request.readUInt32LE(body + initIn.maxReadahead), at + initOut.maxReadahead);
  reply.writeUInt32LE((flags & offered) >>> 0, at + initOut.flags);
  reply.writeUInt32LE((flags2 & offered2) >>> 0, at + initOut.flags2);
  reply.writeUInt16LE(64, at + initOut.maxBackground); // readahead of several readers at once
  reply.writeUInt16LE(48, at + initOut.congestionThreshold);
  reply.writeUInt32LE(4096, at + initOut.maxWrite); // nothing is written, but less than a page is refused
  reply.writeUInt32LE(1, at + initOut.timeGran);
  reply.writeUInt16LE(MAX_READ_BYTES / 4096, at + initOut.maxPages);
  // Must be 1: with 2, overlayfs on top of this mount is too deep for the kernel (FILESYSTEM_MAX_STACK_DEPTH).
  reply.writeUInt32LE(kernelPassthrough && options.passthrough ? 1 : 0, at + initOut.maxStackDepth);
  if (write(fd, reply, reply.length) !== reply.length) {
    throw new HobError("unavailable", `starting FUSE: the kernel refused our answer to INIT (errno ${lastErrno()})`);
  }
  return { kernelPassthrough, idmap, resend: (offered2 & initFlag2.hasResend) !== 0 };
}

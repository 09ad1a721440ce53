// ⑤ What this machine's FUSE can do, found out by mounting once: for the daemon's start, and for `hob doctor`.

import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { sentenceOf, systemError } from "../base/errors.ts";
import { openSession } from "./session.ts";
import { close, detach, ioctl, lastErrno } from "./syscalls.ts";
import { errno, fuseIoctl } from "./wire/constants.ts";
import { backingMap } from "./wire/structs.ts";

export interface FuseProbe {
  fuse: boolean;
  passthrough: boolean;
  idmap: boolean;
  /** Why not; "" when everything is there. One sentence. */
  reason: string;
  kernel: string;
}

const refusals: Record<number, string> = {
  [errno.ELOOP]: "the blob store lies on an overlay file system; put it on a plain disk (XDG_CACHE_HOME)",
  [errno.EPERM]: "it needs root",
  [errno.ENOTTY]: "the kernel is older than 6.9, or built without FUSE passthrough",
};

/** Tries passthrough with a file below `folder`. Never throws: what fails is the reason. */
export async function probeFuse(folder: string = tmpdir()): Promise<FuseProbe> {
  const kernel = release();
  try {
    return { ...(await mountOnce(folder)), kernel };
  } catch (error) {
    return { fuse: false, passthrough: false, idmap: false, reason: sentenceOf(error), kernel };
  }
}

async function mountOnce(folder: string): Promise<Omit<FuseProbe, "kernel">> {
  const mountPoint = await mkdtemp(join(tmpdir(), "hob-probe-"));
  const file = join(folder, `probe-${process.pid}-${Math.random().toString(36).slice(2)}`);
  try {
    await writeFile(file, "hob", { flag: "wx", mode: 0o600 }).catch((error) => {
      throw systemError(`probing FUSE passthrough in ${folder}`, error);
    });
    const session = openSession(mountPoint, { passthrough: true, dynamic: false });
    try {
      const reason = session.kernelPassthrough ? tryBacking(session.fd, file) : "the kernel is older than 6.9";
      return { fuse: true, passthrough: reason === "", idmap: session.idmap, reason };
    } finally {
      detach(mountPoint);
      close(session.fd);
    }
  } finally {
    await rm(file, { force: true });
    await rmdir(mountPoint);
  }
}

/** "" or the reason why the kernel does not take the file as a backing file. */
function tryBacking(fuseFd: number, file: string): string {
  const fd = openSync(file, "r");
  const map = Buffer.alloc(backingMap.sizeof);
  map.writeInt32LE(fd, backingMap.fd);
  const id = ioctl(fuseFd, fuseIoctl.backingOpen, map);
  const failed = id > 0 ? 0 : lastErrno();
  closeSync(fd);
  if (failed !== 0) return refusals[failed] ?? `the kernel refused a backing file (errno ${failed})`;
  const argument = Buffer.alloc(4);
  argument.writeInt32LE(id, 0);
  ioctl(fuseFd, fuseIoctl.backingClose, argument);
  return "";
}

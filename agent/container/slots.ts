// ⑤ Uid ranges with the user and network namespaces that belong to them: made once, used by one container at a time, used again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { HobError } from "../../base/errors.ts";
import { raiseLoopback } from "./system-calls.ts";

export interface Slot {
  index: number;
  /** The host's uid and gid of the container's root. */
  uidBase: number;
  userFd: number;
  networkFd: number;
}

export interface Slots extends Disposable {
  acquire(signal: AbortSignal): Promise<Slot>;
  /** Only once every process of the container is gone. */
  release(slot: Slot): void;
}

export const rangeSize = 65_536;

// Below are the ranges that distributions hand out (subuid files, systemd-nspawn ends at 0x6fffffff); above is where uids become
// negative in programs that take them as 32-bit integers.
const firstUid = 0x7000_0000;
const regions = 4;
const slotsPerRegion = 1024;

/** Pools of one machine have different keys and, mostly, different regions. */
export function uidBase(key: string, index: number): number {
  const region = Number.parseInt(key.slice(0, 8), 16) % regions || 0;
  return firstUid + (region * slotsPerRegion + index) * rangeSize;
}

export function createSlots(key: string): Slots {
  const free: Slot[] = [];
  const all: Slot[] = [];
  const ownNetworkFd = openSync("/proc/thread-self/ns/net", "r");

  async function make(index: number, signal: AbortSignal): Promise<Slot> {
    const base = uidBase(key, index);
    // cat keeps the two namespaces alive until we hold them; it echoes a byte once it is inside them.
    const holder = spawn("unshare", ["--user", "--net", "cat"], { stdio: ["pipe", "pipe", "pipe"], signal });
    let complaint = "";
    holder.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    try {
      holder.stdin.on("error", () => {}); // the end of the process tells more
      holder.stdin.write("x");
      const ready = once(holder.stdout, "data");
      await Promise.race([
        ready,
        once(holder, "close").then(() => Promise.reject(new Error(complaint.trim() || "unshare ended"))),
      ]);
      for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${holder.pid}/${map}`, `0 ${base} ${rangeSize}`);
      const userFd = openSync(`/proc/${holder.pid}/ns/user`, "r");
      const networkFd = openSync(`/proc/${holder.pid}/ns/net`, "r");
      raiseLoopback(networkFd, ownNetworkFd);
      return { index, uidBase: base, userFd, networkFd };
    } catch (error) {
      throw new HobError(
        "unavailable",
        `making a user namespace for a container: ${error instanceof Error ? error.message : error}`,
        {
          cause: error,
          remedy: "allow user namespaces (sysctl user.max_user_namespaces and user.max_net_namespaces above 0)",
        },
      );
    } finally {
      holder.stdin.end();
    }
  }

  return {
    async acquire(signal) {
      const kept = free.pop();
      if (kept) return kept;
      const index = all.length;
      if (index >= slotsPerRegion) {
        throw new HobError("exhausted", `this node has ${slotsPerRegion} containers already`, { remedy: "end some containers" });
      }
      const reserved: Slot = { index, uidBase: 0, userFd: -1, networkFd: -1 };
      all.push(reserved); // before the wait: the next caller takes the next index
      try {
        return Object.assign(reserved, await make(index, signal));
      } catch (error) {
        if (all.at(-1) === reserved) all.pop();
        throw error;
      }
    },
    release: (slot) => void free.push(slot),
    [Symbol.dispose]() {
      for (const slot of all) for (const fd of [slot.userFd, slot.networkFd]) if (fd >= 0) closeSync(fd);
      closeSync(ownNetworkFd);
    },
  };
}

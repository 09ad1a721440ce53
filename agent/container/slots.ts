// ⑤ Uid ranges with the user and network namespaces that belong to them: made once, used by one container at a time, used again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { HobError } from "../../base/errors.ts";
import { type Network, openPorts } from "../network/network.ts";
import { inNetwork, raiseInterface } from "./system-calls.ts";

export interface Slot {
  index: number;
  /** The host's uid and gid of the container's root. */
  uidBase: number;
  userFd: number;
  networkFd: number;
  /** "none": its namespace has a loopback device only. */
  network: NetworkKind;
}

type NetworkKind = "internet" | "none";

export interface Slots extends Disposable {
  /** One with the network of that name, or without any where this node has none to give. */
  acquire(network: string, signal: AbortSignal): Promise<Slot>;
  /** Only once every process of the container is gone. */
  release(slot: Slot): void;
}

export const rangeSize = 65_536;

// Below are the ranges that distributions hand out (subuid files, systemd-nspawn ends at 0x6fffffff); above is where uids become
// negative in programs that take them as 32-bit integers.
const firstUid = 0x7000_0000;
const regions = 4;
const slotsPerRegion = 1024;
const opening = -1; // as a uidBase: not there yet

/** Pools of one machine have different keys and, mostly, different regions. */
export function uidBase(key: string, index: number): number {
  const region = Number.parseInt(key.slice(0, 8), 16) % regions || 0;
  return firstUid + (region * slotsPerRegion + index) * rangeSize;
}

/** How many with a network are made ahead of those in use, so that a container's start waits for none. */
const ahead = 4;

export function createSlots(key: string, network?: Pick<Network, "obstacle" | "attach">): Slots {
  const free: Record<NetworkKind, Slot[]> = { internet: [], none: [] };
  const all: Slot[] = [];
  const ownNetworkFd = openSync("/proc/thread-self/ns/net", "r");
  const ending = new AbortController();
  let filling = false;

  async function connect(slot: Slot): Promise<void> {
    if (slot.network === "internet") await network?.attach(slot.index, slot.networkFd, ownNetworkFd);
    else
      inNetwork(slot.networkFd, ownNetworkFd, () => {
        raiseInterface("lo");
        openPorts();
      });
  }

  async function open(slot: Slot, signal: AbortSignal): Promise<void> {
    const base = uidBase(key, slot.index);
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
      slot.userFd = openSync(`/proc/${holder.pid}/ns/user`, "r");
      slot.networkFd = openSync(`/proc/${holder.pid}/ns/net`, "r");
      slot.uidBase = base;
      ending.signal.throwIfAborted();
      await connect(slot);
    } catch (error) {
      close(slot);
      if (error instanceof HobError) throw error;
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

  function close(slot: Slot): void {
    for (const fd of [slot.userFd, slot.networkFd]) if (fd >= 0) closeSync(fd);
    Object.assign(slot, { userFd: -1, networkFd: -1 });
  }

  /** A slot of that index that may have failed before: an index is never given up, for its uids must stay its own. */
  async function make(kind: NetworkKind, signal: AbortSignal): Promise<Slot> {
    const unopened = all.findIndex((slot) => slot.uidBase === 0);
    const index = unopened >= 0 ? unopened : all.length;
    if (index >= slotsPerRegion) {
      throw new HobError("exhausted", `this node has ${slotsPerRegion} containers already`, { remedy: "end some containers" });
    }
    const slot: Slot = { index, uidBase: opening, userFd: -1, networkFd: -1, network: kind };
    all[index] = slot; // before the wait: the next caller takes the next index
    try {
      await open(slot, signal);
      ending.signal.throwIfAborted();
      return slot;
    } catch (error) {
      close(slot);
      slot.uidBase = 0;
      throw error;
    }
  }

  async function fill(): Promise<void> {
    if (filling) return;
    filling = true;
    try {
      while (free.internet.length < ahead && all.length < slotsPerRegion)
        free.internet.push(await make("internet", ending.signal));
    } catch {
      // Whoever needs one tries again, and says why it cannot be made.
    } finally {
      filling = false;
    }
  }

  return {
    async acquire(wish, signal) {
      const kind: NetworkKind = wish === "none" || !network || network.obstacle ? "none" : "internet";
      const slot = free[kind].pop() ?? (await make(kind, signal));
      if (kind === "internet") void fill();
      return slot;
    },
    release: (slot) => void free[slot.network].push(slot),
    [Symbol.dispose]() {
      ending.abort(new HobError("cancelled", "the agent is ending"));
      for (const slot of all) close(slot);
      closeSync(ownNetworkFd);
    },
  };
}

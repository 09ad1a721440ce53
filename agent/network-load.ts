// ⑤ What the machine receives and sends by the interfaces that lead out of it, through kept descriptors: a node has an interface for each container, too.

import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { defaultRoutes } from "./network/uplinks.ts";

interface NetworkRates {
  receivedBytesPerSecond: number;
  sentBytesPerSecond: number;
}

export interface NetworkLoad extends Disposable {
  /** The mean since the last sample. */
  sample(nowMs: number): NetworkRates;
}

/** Over less than this a rate is noise. */
const shortestSampleMs = 100;
/** Interfaces come and go. */
const lookAgainMs = 30_000;

interface Counters {
  received: number;
  sent: number;
  ms: number;
}

const nothing: NetworkRates = { receivedBytesPerSecond: 0, sentBytesPerSecond: 0 };

/** Interfaces of default routes; where there is none, nothing is measured. */
const uplinks = (): string[] => defaultRoutes(readFileSync("/proc/net/route", "latin1"));

function ratesBetween(last: Counters, now: Counters): NetworkRates {
  const perSecond = (after: number, before: number): number => Math.max(0, after - before) / ((now.ms - last.ms) / 1000);
  return {
    receivedBytesPerSecond: perSecond(now.received, last.received),
    sentBytesPerSecond: perSecond(now.sent, last.sent),
  };
}

export function openNetworkLoad(root = "/sys/class/net", names = uplinks): NetworkLoad {
  const buffer = Buffer.alloc(32);
  let open: { received: number[]; sent: number[] } = { received: [], sent: [] };
  let lookedMs = Number.NEGATIVE_INFINITY;
  let before: Counters | undefined;
  let rates = nothing;

  function close(): void {
    for (const fd of [...open.received, ...open.sent]) closeSync(fd);
    open = { received: [], sent: [] };
    before = undefined;
  }

  function look(nowMs: number): void {
    close();
    lookedMs = nowMs;
    for (const name of names()) {
      open.received.push(openSync(`${root}/${name}/statistics/rx_bytes`, "r"));
      open.sent.push(openSync(`${root}/${name}/statistics/tx_bytes`, "r"));
    }
  }

  const read = (fd: number): number => Number(buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, 0)));
  const sum = (fds: readonly number[]): number => fds.reduce((bytes, fd) => bytes + read(fd), 0);

  return {
    sample(nowMs) {
      if (before && nowMs - before.ms < shortestSampleMs) return rates;
      try {
        if (nowMs - lookedMs >= lookAgainMs) look(nowMs);
        if (open.received.length === 0) return nothing;
        const last = before; // undefined after a look: other interfaces have other counters
        before = { received: sum(open.received), sent: sum(open.sent), ms: nowMs };
        if (last) rates = ratesBetween(last, before);
      } catch (error) {
        // An interface has gone (EINVAL, ENODEV), or /sys shows those of another network namespace (ENOENT): no rates until the next look.
        if (errnoOf(error) === undefined) throw error;
        close();
        rates = nothing;
      }
      return rates;
    },
    [Symbol.dispose]: close,
  };
}

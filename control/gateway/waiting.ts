// ⑦ Those who wait for the outcome of a call or a map over HTTP.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import type { Visit } from "./incoming.ts";

/** More than proxies on the way have patience for is of no use. */
export const longestWaitMs = 300_000;

type Ended = CallInfo | MapInfo;

export interface Waiting {
  /** Resolves when that call or map has ended, with it; or when its time is over, or who asks has gone. */
  until(id: string, waitMs: number, visit: Pick<Visit, "response">): Promise<Ended | undefined>;
  ended(info: Ended): void;
}

export function createWaiting(): Waiting {
  const waiting = new Map<string, Set<(info: Ended) => void>>();

  return {
    until(id, waitMs, { response }) {
      return new Promise((resolve) => {
        const mine = waiting.get(id) ?? new Set();
        waiting.set(id, mine);
        const leave = (info?: Ended): void => {
          clearTimeout(timer);
          response.off("close", gone);
          mine.delete(leave);
          if (mine.size === 0) waiting.delete(id);
          resolve(info);
        };
        const gone = (): void => leave();
        const timer = setTimeout(gone, Math.min(waitMs, longestWaitMs));
        response.once("close", gone);
        mine.add(leave);
      });
    },
    ended(info) {
      for (const leave of [...(waiting.get(info.id) ?? [])]) leave(info);
    },
  };
}

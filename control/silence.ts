// ④ Which nodes have fallen silent: no message, and no byte worth the name, for longer than the patience with their link.

/** On the network. With the time between two looks it is under 5 s until a node that is gone is noticed. */
export const networkPatienceMs = 4_000;
/** On control's own machine a death closes the socket at once: only an agent that hangs is silent. */
export const localPatienceMs = 30_000;
export const lookEveryMs = 500;
/** Between two looks; fewer are pings, more a large message that takes its time. */
const worthBytes = 2_048;

export interface Heard {
  readonly patienceMs: number;
  /** When the last message came, by the same clock. */
  heardAtMs: number;
  bytes: number;
  /** Received on its connection until now; NaN where nobody counts. */
  received(): number;
}

export interface Silence {
  /** Those that have been silent for too long. */
  look<Link extends Heard>(links: Iterable<Link>, nowMs: number): Link[];
}

export function createSilence(startMs: number): Silence {
  let lookedAtMs = startMs;

  return {
    look(links, nowMs) {
      const late = nowMs - lookedAtMs > 3 * lookEveryMs; // it is we who did not listen: what came meanwhile has not been read yet
      lookedAtMs = nowMs;
      const silent = [];
      for (const link of links) {
        const bytes = link.received();
        if (late || bytes - link.bytes > worthBytes) link.heardAtMs = nowMs;
        link.bytes = bytes;
        if (nowMs - link.heardAtMs > link.patienceMs) silent.push(link);
      }
      return silent;
    },
  };
}

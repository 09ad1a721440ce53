// ⑥ Which of several calls in a process wrote a line: what goes through process.stdout and stderr is sent under the call it belongs to.

import type { AsyncLocalStorage } from "node:async_hooks";
import type { Heads } from "./frames.ts";
import { createLineCutter, type LineCutter, type Lines } from "./output.ts";

type StreamName = "stdout" | "stderr";

export interface Voices {
  /** From now on. Until then everything goes through the pipes, which is right for one call at a time and costs nothing. */
  separate(): void;
  /** Sends what a call has left without a newline; returns the bytes that its long lines lost. */
  end(call: string): number;
}

export function createVoices(within: AsyncLocalStorage<string>, send: (head: Heads["output"], text: Buffer) => void): Voices {
  const cutters = new Map<string, Record<StreamName, LineCutter>>(); // by call
  const dropped = new Map<string, number>();
  let separated = false;

  function give(call: string, stream: StreamName, groups: Lines[]): void {
    for (const lines of groups) {
      send({ call, stream, timeMs: Date.now(), dropped: lines.dropped }, lines.text);
      dropped.set(call, (dropped.get(call) ?? 0) + lines.dropped);
    }
  }

  function separate(): void {
    if (separated) return;
    separated = true;
    for (const stream of ["stdout", "stderr"] as const) {
      const target = process[stream];
      const whole = target.write.bind(target) as (...args: unknown[]) => boolean;
      target.write = ((data: string | Uint8Array, ...rest: unknown[]): boolean => {
        const call = within.getStore();
        if (call === undefined) return whole(data, ...rest);
        const mine = cutters.get(call) ?? { stdout: createLineCutter(), stderr: createLineCutter() };
        cutters.set(call, mine);
        const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
        give(call, stream, mine[stream].feed(typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data)));
        const done = rest.find((each) => typeof each === "function") as (() => void) | undefined;
        if (done) queueMicrotask(done);
        return true;
      }) as typeof target.write;
    }
  }

  return {
    separate,
    end(call) {
      const mine = cutters.get(call);
      if (!mine) return 0;
      for (const stream of ["stdout", "stderr"] as const) give(call, stream, mine[stream].flush());
      const lost = mine.stdout.takeDropped() + mine.stderr.takeDropped() + (dropped.get(call) ?? 0);
      cutters.delete(call);
      dropped.delete(call);
      return lost;
    },
  };
}

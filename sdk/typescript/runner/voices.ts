// ⑥ Which of several calls in a process wrote a line: what goes through process.stdout and stderr is sent under the call it belongs to.

import type { AsyncLocalStorage } from "node:async_hooks";
import type { Heads } from "./frames.ts";
import { createLineCutter, type LineCutter, type Lines } from "./output.ts";

/** A call, or an input of a map. */
export interface Speaker {
  call: string;
  index?: number;
}

type StreamName = "stdout" | "stderr";

export interface Voices {
  /** From now on. Until then everything goes through the pipes, which is right for one call at a time and costs nothing. */
  separate(): void;
  /** Sends what a call has left without a newline; returns the bytes that its long lines lost. */
  end(speaker: Speaker): number;
}

export function createVoices(within: AsyncLocalStorage<Speaker>, send: (head: Heads["output"], text: Buffer) => void): Voices {
  const cutters = new Map<Speaker, Record<StreamName, LineCutter>>();
  const dropped = new Map<Speaker, number>();
  let separated = false;

  function give(speaker: Speaker, stream: StreamName, groups: Lines[]): void {
    for (const lines of groups) {
      send({ ...speaker, stream, timeMs: Date.now(), dropped: lines.dropped }, lines.text);
      dropped.set(speaker, (dropped.get(speaker) ?? 0) + lines.dropped);
    }
  }

  function separate(): void {
    if (separated) return;
    separated = true;
    for (const stream of ["stdout", "stderr"] as const) {
      const target = process[stream];
      const whole = target.write.bind(target) as (...args: unknown[]) => boolean;
      target.write = ((data: string | Uint8Array, ...rest: unknown[]): boolean => {
        const speaker = within.getStore();
        if (speaker === undefined) return whole(data, ...rest);
        const mine = cutters.get(speaker) ?? { stdout: createLineCutter(), stderr: createLineCutter() };
        cutters.set(speaker, mine);
        const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
        give(speaker, stream, mine[stream].feed(typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data)));
        const done = rest.find((each) => typeof each === "function") as (() => void) | undefined;
        if (done) queueMicrotask(done);
        return true;
      }) as typeof target.write;
    }
  }

  return {
    separate,
    end(speaker) {
      const mine = cutters.get(speaker);
      if (!mine) return 0;
      for (const stream of ["stdout", "stderr"] as const) give(speaker, stream, mine[stream].flush());
      const lost = mine.stdout.takeDropped() + mine.stderr.takeDropped() + (dropped.get(speaker) ?? 0);
      cutters.delete(speaker);
      dropped.delete(speaker);
      return lost;
    },
  };
}

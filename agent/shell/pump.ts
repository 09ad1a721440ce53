// ⑥ Output of a process towards a reader who grants credit in bytes: without credit no more than one piece is read, and the process
// waits in its write.

import type { Readable } from "node:stream";

export interface Pump {
  /** The reader takes so many more bytes. */
  grant(bytes: number): void;
  /** Resolves when all that was written has been sent. */
  drained(): Promise<void>;
}

const mostPiece = 32 * 1024;

interface Source<Kind> {
  kind: Kind;
  stream: Readable;
}

export function createPump<Kind>(
  sources: readonly Source<Kind>[],
  credit: number,
  send: (kind: Kind, data: Buffer) => void,
): Pump {
  const waiting: { kind: Kind; data: Buffer }[] = []; // at most one chunk of each source
  let left = credit;
  let open = sources.length;
  const done = Promise.withResolvers<void>();

  function flush(): void {
    while (left > 0) {
      const first = waiting[0];
      if (!first) break;
      const piece = first.data.subarray(0, Math.min(left, mostPiece));
      left -= piece.length;
      first.data = first.data.subarray(piece.length);
      if (first.data.length === 0) waiting.shift();
      send(first.kind, piece);
    }
    for (const { stream } of sources) {
      if (waiting.length > 0) stream.pause();
      else stream.resume();
    }
    if (open === 0 && waiting.length === 0) done.resolve();
  }

  for (const { kind, stream } of sources) {
    stream.on("data", (data: Buffer) => {
      waiting.push({ kind, data });
      flush();
    });
    stream.on("close", () => {
      open--;
      flush();
    });
  }
  flush();

  return {
    grant(bytes) {
      left += bytes;
      flush();
    },
    drained: () => done.promise,
  };
}

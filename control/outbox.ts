// ⑦ What waits for one client, in order. A slow client loses log lines, counted, and never holds up anybody else.

import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { createGaps, isGap } from "../proto/lost-output.ts";

export interface OutboxLimits {
  /** Log lines that wait; what comes beyond is dropped and counted. */
  lines: number;
  /** Characters in those lines. */
  characters: number;
  /** Other messages that wait, and their bytes; beyond, the client is given up. */
  events: number;
  bytes: number;
}

export const clientLimits: OutboxLimits = { lines: 5_000, characters: 4 << 20, events: 20_000, bytes: 64 << 20 };

const linesInMessage = 500;
const charactersInMessage = 512 << 10;

export interface Outbox<Event> {
  send(event: Event): void;
  lines(lines: readonly LogLine[]): void;
  /** Dropped when anything waits: a newer sample follows anyway. */
  sample(event: Event): void;
  /** The stream has room again. */
  drained(): void;
}

/**
 * `write` hands one message to the stream and answers whether it wants more; `pack` makes a message of log lines; `weigh` says how many bytes
 * a message holds, roughly; `overflow` ends a client that does not read at all.
 */
export function createOutbox<Event>(
  stream: { write(event: Event): boolean; pack(lines: LogLine[]): Event; weigh(event: Event): number; overflow(): void },
  limits: OutboxLimits = clientLimits,
): Outbox<Event> {
  let waiting: ({ event: Event; bytes: number } | { line: LogLine })[] = [];
  const gaps = createGaps(); // after all that waits
  let open = true; // whether the stream takes more
  let held = { events: 0, bytes: 0, lines: 0, characters: 0 };

  function closeGaps(): void {
    for (const line of gaps.take()) waiting.push({ line });
  }

  function packFrom(start: number): { batch: LogLine[]; next: number } {
    const batch: LogLine[] = [];
    let characters = 0;
    let next = start;
    for (; next < waiting.length && batch.length < linesInMessage && characters < charactersInMessage; next++) {
      const item = waiting[next]!;
      if (!("line" in item)) break;
      batch.push(item.line);
      if (isGap(item.line)) continue;
      characters += item.line.text.length;
      held.lines--;
      held.characters -= item.line.text.length;
    }
    return { batch, next };
  }

  function flush(): void {
    closeGaps();
    let next = 0;
    while (open && next < waiting.length) {
      const item = waiting[next]!;
      if ("event" in item) {
        next++;
        held.events--;
        held.bytes -= item.bytes;
        open = stream.write(item.event);
      } else {
        const packed = packFrom(next);
        next = packed.next;
        open = stream.write(stream.pack(packed.batch));
      }
    }
    waiting = next >= waiting.length ? [] : waiting.slice(next);
  }

  function hold(line: LogLine): void {
    if (held.lines < limits.lines && held.characters + line.text.length <= limits.characters) {
      closeGaps();
      waiting.push({ line });
      held.lines++;
      held.characters += line.text.length;
    } else gaps.lose(line);
  }

  return {
    send(event) {
      closeGaps();
      if (open && waiting.length === 0) {
        open = stream.write(event);
        return;
      }
      const bytes = stream.weigh(event);
      if (held.events >= limits.events || held.bytes + bytes > limits.bytes) {
        waiting = [];
        held = { events: 0, bytes: 0, lines: 0, characters: 0 };
        open = false;
        stream.overflow();
        return;
      }
      waiting.push({ event, bytes });
      held.events++;
      held.bytes += bytes;
    },
    lines(lines) {
      for (const line of lines) hold(line);
      if (open) flush();
    },
    sample(event) {
      if (open && waiting.length === 0) open = stream.write(event);
    },
    drained() {
      open = true;
      flush();
    },
  };
}

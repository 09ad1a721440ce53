// ⑦ What waits for one client, in order. A slow client loses log lines, counted, and never holds up anybody else.

import type { LogLine } from "../proto/gen/hob/v1/common.ts";

export interface OutboxLimits {
  /** Log lines that wait; what comes beyond is dropped and counted. */
  lines: number;
  /** Characters in those lines. */
  characters: number;
  /** Other messages that wait; beyond, the client is given up. */
  events: number;
}

const clientLimits: OutboxLimits = { lines: 5_000, characters: 4 << 20, events: 20_000 };

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
 * `write` hands one message to the stream and answers whether it wants more; `pack` makes a message of log lines; `overflow` ends
 * a client that does not read at all.
 */
export function createOutbox<Event>(
  stream: { write(event: Event): boolean; pack(lines: LogLine[]): Event; overflow(): void },
  limits: OutboxLimits = clientLimits,
): Outbox<Event> {
  let waiting: ({ event: Event } | { line: LogLine })[] = [];
  let open = true; // whether the stream takes more
  let events = 0;
  let held = { lines: 0, characters: 0 };
  let dropped = 0;

  function packFrom(start: number): { batch: LogLine[]; next: number } {
    const batch: LogLine[] = [];
    let characters = 0;
    let next = start;
    for (; next < waiting.length && batch.length < linesInMessage && characters < charactersInMessage; next++) {
      const item = waiting[next]!;
      if (!("line" in item)) break;
      batch.push(item.line);
      characters += item.line.text.length;
      held.lines--;
      held.characters -= item.line.text.length;
    }
    return { batch, next };
  }

  function flush(): void {
    let next = 0;
    while (open && next < waiting.length) {
      const item = waiting[next]!;
      if ("event" in item) {
        next++;
        events--;
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
    if (held.lines >= limits.lines || held.characters + line.text.length > limits.characters) {
      dropped += 1 + line.dropped;
      return;
    }
    waiting.push({ line: dropped > 0 ? { ...line, dropped: line.dropped + dropped } : line });
    dropped = 0;
    held.lines++;
    held.characters += line.text.length;
  }

  return {
    send(event) {
      if (open && waiting.length === 0) {
        open = stream.write(event);
        return;
      }
      if (events >= limits.events) {
        waiting = [];
        held = { lines: 0, characters: 0 };
        events = 0;
        open = false;
        stream.overflow();
        return;
      }
      waiting.push({ event });
      events++;
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

// ⑧ Log lines by call, bounded for each call and over all; what had to go is counted.

import type { LogLine } from "../../proto/gen/hob/v1/common.ts";

/** Lines in chunks: a full chunk never changes, so that what was worked out for it can be kept. */
export interface CallLog {
  readonly chunks: readonly (readonly LogLine[])[];
  readonly lines: number;
  readonly characters: number;
  /** Lines that fell out at the front. */
  readonly dropped: number;
}

export interface LogBook {
  readonly byCall: ReadonlyMap<string, CallLog>;
  readonly lines: number;
  /** The lines of all calls as they came. */
  readonly all: CallLog;
}

const chunkLines = 200;
const keptLinesPerCall = 5_000;
const keptLines = 20_000;
// A line can have 64 KiB: so many of them would be more than a gigabyte.
const keptCharacters = 32 * 1024 * 1024;

export const emptyLog: CallLog = { chunks: [], lines: 0, characters: 0, dropped: 0 };
const charactersOf = (lines: readonly LogLine[]): number => lines.reduce((sum, { text }) => sum + text.length, 0);

export const emptyLogBook: LogBook = { byCall: new Map(), lines: 0, all: emptyLog };

export function recordLogs(book: LogBook, lines: readonly LogLine[]): LogBook {
  const byCall = new Map(book.byCall);
  let total = book.lines;
  for (const [call, own] of Map.groupBy(lines, (entry) => entry.call)) {
    const before = byCall.get(call) ?? emptyLog;
    const after = append(before, own, keptLinesPerCall);
    // Set anew, so that the calls with the oldest lines come first.
    byCall.delete(call);
    byCall.set(call, after);
    total += after.lines - before.lines;
  }
  let characters = 0;
  for (const log of byCall.values()) characters += log.characters;
  for (const [call, log] of byCall) {
    if ((total <= keptLines && characters <= keptCharacters) || byCall.size === 1) break;
    byCall.delete(call);
    total -= log.lines;
    characters -= log.characters;
  }
  return { byCall, lines: total, all: append(book.all, lines, keptLines) };
}

function append(log: CallLog, added: readonly LogLine[], most: number): CallLog {
  const chunks = [...log.chunks];
  let rest = added;
  const last = chunks.at(-1);
  if (last && last.length < chunkLines) {
    const room = chunkLines - last.length;
    chunks[chunks.length - 1] = [...last, ...rest.slice(0, room)];
    rest = rest.slice(room);
  }
  for (let start = 0; start < rest.length; start += chunkLines) chunks.push(rest.slice(start, start + chunkLines));
  let lines = log.lines + added.length;
  let characters = log.characters + charactersOf(added);
  let dropped = log.dropped;
  while ((lines > most || characters > keptCharacters) && chunks.length > 1) {
    const gone = chunks.shift() ?? [];
    lines -= gone.length;
    characters -= charactersOf(gone);
    dropped += gone.length;
  }
  return { chunks, lines, characters, dropped };
}

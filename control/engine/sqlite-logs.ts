// ⑦ The log in SQLite: lines in the order in which control heard them.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import type { LogQuery, LogStore, Retention } from "./engine.ts";
import type { EnginePart } from "./sqlite-records.ts";
import { prepareWrites, type Recorder } from "./writes.ts";

const slice = 10_000; // lines forgotten in one transaction
const stuckLimit = 20_000; // lines kept while the disk is full; newer ones are then shown but not recorded
const clockSlackMs = 10_000; // a line's time is the node's, its seq control's: seq order is time order within this much

export type SqliteLogs = EnginePart & { store: LogStore; trim(retention: Retention, nowMs: number): boolean };

export const logWrites = {
  insertLine:
    "insert into logs (seq, call, app, function, container, stream, time_ms, text, dropped, input) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  trimLines: "delete from logs where seq < ? and (time_ms < ? or seq <= ?)",
};

/** `settle` commits what is pending, so that a query sees it. */
export function openSqliteLogs(db: DatabaseSync, settle: () => void, recorder?: Recorder): SqliteLogs {
  const { insertLine, trimLines } = prepareWrites(db, logWrites, recorder);
  const selectLast = db.prepare("select max(seq) as seq from logs");
  const selectFirst = db.prepare("select seq, time_ms from logs order by seq limit 1");
  const selectTime = db.prepare("select time_ms from logs where seq >= ? order by seq limit 1");
  const prepared = new Map<string, StatementSync>();
  let lastSeq = (selectLast.get() as { seq: number | null }).seq ?? 0;
  let pending: LogLine[] = [];

  function statement(sql: string): StatementSync {
    const found = prepared.get(sql) ?? db.prepare(sql);
    prepared.set(sql, found);
    return found;
  }

  function condition(query: LogQuery): { sql: string; values: (string | number)[] } {
    const parts: string[] = [];
    const values: (string | number)[] = [];
    const add = (sql: string, ...more: (string | number)[]) => {
      parts.push(sql);
      values.push(...more);
    };
    if (query.call) add("call = ?", query.call);
    if (query.apps.length > 0) add(`app in (${query.apps.map(() => "?").join(", ")})`, ...query.apps);
    if (query.function) add("function = ?", query.function);
    if (query.sinceMs > 0) add("time_ms >= ?", query.sinceMs);
    return { sql: ["seq >= ?", ...parts].join(" and "), values };
  }

  /** Where lines of that time begin, by bisection: without it a query for the last minute would read the whole log. */
  function seqAt(timeMs: number): number {
    let low = (selectFirst.get() as { seq: number } | undefined)?.seq ?? 0;
    let high = lastSeq;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const row = selectTime.get(middle) as { time_ms: number } | undefined;
      if (row && row.time_ms < timeMs - clockSlackMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    pending: () => pending.length > 0,
    write() {
      for (const line of pending) {
        const { seq, call, app, function: name, container, stream, timeMs, text, dropped, input = null } = line;
        insertLine.run(seq, call, app, name, container, stream, timeMs, text, dropped, input);
      }
    },
    written() {
      pending = [];
    },
    trim(retention, nowMs) {
      const before = nowMs - retention.keepMs;
      const first = selectFirst.get() as { seq: number; time_ms: number } | undefined;
      if (!first || (first.time_ms >= before && first.seq > lastSeq - retention.lines)) return false;
      // The newest line always stays: its seq is where numbering goes on.
      const end = Math.min(first.seq + slice, lastSeq);
      return Number(trimLines.run(end, before, lastSeq - retention.lines).changes) > 0;
    },
    store: {
      append(lines) {
        for (const line of lines) {
          line.seq = ++lastSeq;
          if (pending.length < stuckLimit) pending.push(line);
        }
      },
      tail(query, limit) {
        settle();
        const { sql, values } = condition(query);
        const from = query.sinceMs > 0 ? seqAt(query.sinceMs) : 0;
        const inner = `select seq from logs where ${sql} order by seq desc limit ?`;
        const row = statement(`select min(seq) as seq from (${inner})`).get(from, ...values, limit) as { seq: number | null };
        return row.seq ?? undefined;
      },
      page(query, fromSeq, limit) {
        settle();
        const { sql, values } = condition(query);
        const text = `select seq, call, app, function, container, stream, time_ms as timeMs, text, dropped, input from logs where ${sql} order by seq limit ?`;
        const rows = statement(text).all(fromSeq, ...values, limit) as unknown as (LogLine & { input: number | null })[];
        return rows.map((row) => ({ ...row, input: row.input ?? undefined }));
      },
      lastSeq: () => lastSeq,
    },
  };
}

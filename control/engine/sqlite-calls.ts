// ⑦ Calls in SQLite: the message itself as a blob, beside the columns that queries need. Arguments are written once, on insertion.

import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Arguments } from "../../proto/gen/hob/v1/common.ts";
import type { CallStore, Retention, StoredCall } from "./engine.ts";
import type { EnginePart } from "./sqlite-records.ts";

const slice = 2_000; // calls forgotten in one transaction

export type SqliteCalls = EnginePart & { store: CallStore; trim(retention: Retention, nowMs: number): boolean };

/** `settle` commits what is pending, so that a query sees it. */
export function openSqliteCalls(db: DatabaseSync, settle: () => void): SqliteCalls {
  const insert = db.prepare(
    `insert into calls (number, id, app, function, state, retries, losses, finished_at_ms, arguments, info)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const update = db.prepare("update calls set state = ?, retries = ?, losses = ?, finished_at_ms = ?, info = ? where number = ?");
  const selectUnfinished = db.prepare(
    "select arguments, info, retries, losses from calls where state in ('queued', 'running') order by number",
  );
  const selectById = db.prepare("select arguments, info, retries, losses from calls where id = ?");
  const selectLast = db.prepare("select max(number) as number from calls");
  const selectAll = db.prepare("select arguments, info from calls order by number desc limit ?");
  const selectByApp = db.prepare("select arguments, info from calls where app = ? order by number desc limit ?");
  const selectByFunction = db.prepare(
    "select arguments, info from calls where (? = '' or app = ?) and function = ? order by number desc limit ?",
  );
  // The newest call always stays: its number is where numbering goes on.
  const trimOld = db.prepare(
    `delete from calls where number in (select number from calls where state not in ('queued', 'running')
       and (finished_at_ms < ? or number <= ?) and number < ? order by number limit ${slice})`,
  );
  const oldest = db.prepare("select finished_at_ms from calls order by number limit 1");
  const dirty = new Map<number, StoredCall>();

  /** Calls that have their row. */
  const inserted = new WeakSet<StoredCall>();

  const infoOf = (row: Record<string, SQLOutputValue>): CallInfo => ({
    ...CallInfo.decode(row["info"] as Uint8Array),
    arguments: Arguments.decode(row["arguments"] as Uint8Array),
  });
  const stored = (row: Record<string, SQLOutputValue>): StoredCall => ({
    info: infoOf(row),
    retries: row["retries"] as number,
    losses: row["losses"] as number,
  });
  const lastNumber = (): number => (selectLast.get() as { number: number | null }).number ?? 0;

  return {
    pending: () => dirty.size > 0,
    write() {
      for (const call of dirty.values()) {
        const { info, retries, losses } = call;
        const { number, id, app, function: name, state, finishedAtMs } = info;
        const bytes = CallInfo.encode({ ...info, arguments: undefined }).finish();
        if (inserted.has(call)) update.run(state, retries, losses, finishedAtMs, bytes, number);
        else {
          const given = Arguments.encode(info.arguments ?? Arguments.create()).finish();
          insert.run(number, id, app, name, state, retries, losses, finishedAtMs, given, bytes);
        }
      }
    },
    written() {
      for (const call of dirty.values()) inserted.add(call);
      dirty.clear();
    },
    trim(retention, nowMs) {
      const last = lastNumber();
      const before = nowMs - retention.keepMs;
      const first = oldest.get() as { finished_at_ms: number } | undefined;
      if (!first || (first.finished_at_ms >= before && last <= retention.calls)) return false;
      return Number(trimOld.run(before, last - retention.calls, last).changes) === slice;
    },
    store: {
      save: (call) => void dirty.set(call.info.number, call),
      unfinished: () => selectUnfinished.all().map(stored),
      restored: (call) => void inserted.add(call),
      find(id) {
        for (const call of dirty.values()) if (call.info.id === id) return call;
        const row = selectById.get(id);
        return row && stored(row);
      },
      list(query) {
        settle();
        const { app, function: name, limit } = query;
        const rows = name
          ? selectByFunction.all(app, app, name, limit)
          : app
            ? selectByApp.all(app, limit)
            : selectAll.all(limit);
        return rows.map(infoOf);
      },
      lastNumber,
    },
  };
}

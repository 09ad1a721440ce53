// ⑦ Calls in SQLite: the message itself as a blob, beside the columns that queries need. Arguments are written once, on insertion.

import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Arguments } from "../../proto/gen/hob/v1/common.ts";
import type { CallQuery, CallStore, Retention, StoredCall } from "./engine.ts";
import type { EnginePart } from "./sqlite-records.ts";
import { prepareWrites, type Recorder } from "./writes.ts";

const slice = 2_000; // calls forgotten in one transaction

export type SqliteCalls = EnginePart & { store: CallStore; trim(retention: Retention, nowMs: number): boolean };

export const callWrites = {
  insertCall: `insert into calls (number, id, app, function, state, retries, losses, finished_at_ms, parent, queued_at_ms, large, arguments, info)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateCall: "update calls set state = ?, retries = ?, losses = ?, finished_at_ms = ?, large = ?, info = ? where number = ?",
  // The newest call always stays: its number is where numbering goes on.
  trimCalls: `delete from calls where number in (select number from calls where state not in ('queued', 'running')
       and (finished_at_ms < ? or number <= ?) and number < ? order by number limit ${slice}) returning large`,
};

/** `settle` commits what is pending, so that a query sees it. */
export function openSqliteCalls(db: DatabaseSync, settle: () => void, recorder?: Recorder): SqliteCalls {
  const { insertCall, updateCall, trimCalls } = prepareWrites(db, callWrites, recorder);
  const selectUnfinished = db.prepare(
    "select arguments, info, retries, losses from calls where state in ('queued', 'running') order by number",
  );
  const selectById = db.prepare("select arguments, info, retries, losses from calls where id = ?");
  const selectLast = db.prepare("select max(number) as number from calls");
  const selectByNumber = db.prepare("select arguments, info, retries, losses from calls where number = ?");
  const selectLarge = db.prepare("select large from calls where large <> ''");
  const prepared = new Map<string, StatementSync>();
  const oldest = db.prepare("select finished_at_ms from calls order by number limit 1");
  const dirty = new Map<number, StoredCall>();
  const dirtyById = new Map<string, StoredCall>();
  let forgotten: string[] = [];

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
        const large = [info.arguments?.large, info.result?.large].flatMap((value) => value?.blob ?? []).join(" ");
        if (inserted.has(call)) updateCall.run(state, retries, losses, finishedAtMs, large, bytes, number);
        else {
          const given = Arguments.encode(info.arguments ?? Arguments.create()).finish();
          const { parent, queuedAtMs } = info;
          insertCall.run(number, id, app, name, state, retries, losses, finishedAtMs, parent, queuedAtMs, large, given, bytes);
        }
      }
    },
    written() {
      for (const call of dirty.values()) inserted.add(call);
      dirty.clear();
      dirtyById.clear();
    },
    trim(retention, nowMs) {
      const last = lastNumber();
      const before = nowMs - retention.keepMs;
      const first = oldest.get() as { finished_at_ms: number } | undefined;
      if (!first || (first.finished_at_ms >= before && last <= retention.calls)) return false;
      const gone = trimCalls.all(before, last - retention.calls, last) as { large: string }[];
      forgotten.push(...gone.flatMap(({ large }) => (large === "" ? [] : large.split(" "))));
      return gone.length === slice;
    },
    store: {
      save(call) {
        dirty.set(call.info.number, call);
        dirtyById.set(call.info.id, call);
      },
      unfinished: () => selectUnfinished.all().map(stored),
      restored: (call) => void inserted.add(call),
      find(id) {
        const waiting = dirtyById.get(id);
        if (waiting) return waiting;
        const row = selectById.get(id);
        return row && stored(row);
      },
      numbered(number) {
        const waiting = dirty.get(number);
        if (waiting) return waiting;
        const row = selectByNumber.get(number);
        return row && stored(row);
      },
      list(query) {
        settle();
        const { sql, values } = condition(query);
        const text = `select arguments, info from calls ${sql} order by number desc limit ?`;
        const statement = prepared.get(text) ?? db.prepare(text);
        prepared.set(text, statement);
        return statement.all(...values, query.limit).map(infoOf);
      },
      values: () => (selectLarge.all() as { large: string }[]).flatMap(({ large }) => large.split(" ")),
      forgotten() {
        const digests = forgotten;
        forgotten = [];
        return digests;
      },
      lastNumber,
    },
  };
}

function condition({ app, function: name, state, sinceMs, parent }: CallQuery): { sql: string; values: (string | number)[] } {
  const parts: string[] = [];
  const values: (string | number)[] = [];
  const add = (sql: string, value: string | number): void => {
    if (!value) return;
    parts.push(sql);
    values.push(value);
  };
  add("app = ?", app);
  add("function = ?", name);
  if (state === "queued" || state === "running") parts.push("state in ('queued', 'running')"); // as the index has it
  add("state = ?", state);
  add("queued_at_ms >= ?", sinceMs);
  if (parent) parts.push("parent <> ''"); // as the index has it
  add("parent = ?", parent);
  return { sql: parts.length > 0 ? `where ${parts.join(" and ")}` : "", values };
}

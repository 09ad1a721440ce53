// ④⑦ The embedded engine: one SQLite file that this process alone holds, and a blob folder. Writes gather until commit().

import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { sweepWork } from "../../base/store-work.ts";
import type { Engine, Retention } from "./engine.ts";
import { openSqliteCalls } from "./sqlite-calls.ts";
import { type Database, databaseError, openDatabase } from "./sqlite-database.ts";
import { openSqliteLogs } from "./sqlite-logs.ts";
import { openSqliteMaps } from "./sqlite-maps.ts";
import { openSqliteRecords } from "./sqlite-records.ts";
import { createWriteBack } from "./write-back.ts";
import type { CommitJournal } from "./writes.ts";

/** Commits after which the WAL is written back. */
const restCommits = 200;
/** After a call, of which inputs of maps are none: somebody may make the next. */
const attentionMs = 1_000;

export function openSqliteEngine(state: string, store: string): Engine & Disposable {
  const blobs = openContentFolder(store, { durable: true });
  sweepWork(store);
  const database = openDatabase(state);
  const { pool } = database.db.prepare("select pool from journal").get() as { pool: string };
  if (pool === "") return createSqliteEngine(database, blobs);
  database.db.close();
  database.lock.close();
  throw new HobError("precondition", `opening ${database.file}: it is a copy of a pool on NATS (${pool})`, {
    remedy: "start control with --engine nats://…, or choose another state folder with --state",
  });
}

export function createSqliteEngine(
  { db, lock, file }: Database,
  blobs: ContentFolder,
  journal?: CommitJournal,
): Engine & Disposable {
  const writeBack = createWriteBack(db, file);
  const records = openSqliteRecords(db, journal?.record);
  const calls = openSqliteCalls(db, () => void commit(), journal?.record);
  const logs = openSqliteLogs(db, () => void commit(), journal?.record);
  const maps = openSqliteMaps(db, () => void commit(), journal);
  const parts = [records, calls, logs, maps];
  const begin = db.prepare("begin immediate");
  const end = db.prepare("commit");
  const note = journal && db.prepare("update journal set commits = ?");
  let commits = 0; // since the last checkpoint
  let calledAtMs = Number.NEGATIVE_INFINITY;

  function transaction(work: () => void): void {
    try {
      begin.run();
      work();
      note?.run(journal!.next);
      end.run();
    } catch (error) {
      if (db.isTransaction) db.exec("rollback"); // a full disk may have rolled back already
      journal?.dropped();
      throw databaseError(`recording in ${file}`, error);
    }
    journal?.made();
  }

  function commit(): Promise<void> | undefined {
    if (!parts.some((part) => part.pending())) return journal?.settled();
    if (calls.pending()) calledAtMs = performance.now();
    transaction(() => {
      for (const part of parts) part.write();
    });
    for (const part of parts) part.written();
    commits++;
    return journal?.settled();
  }

  function trim(retention: Retention, nowMs: number): boolean {
    let more = false;
    transaction(() => {
      const callsLeft = calls.trim(retention, nowMs);
      const linesLeft = logs.trim(retention, nowMs);
      const mapsLeft = maps.trim(retention, nowMs);
      more = callsLeft || linesLeft || mapsLeft;
    });
    return more;
  }

  function close(): void {
    try {
      void commit();
    } finally {
      writeBack[Symbol.dispose]();
      db.close();
      lock.close();
    }
  }

  return {
    records: records.store,
    calls: calls.store,
    logs: logs.store,
    maps: maps.store,
    blobs,
    commit,
    rest() {
      if (commits < restCommits) return;
      commits = 0;
      writeBack.run(performance.now() - calledAtMs < attentionMs);
    },
    trim,
    [Symbol.dispose]: close,
    [Symbol.asyncDispose]: async () => close(),
  };
}

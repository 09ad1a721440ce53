// ④⑦ The embedded engine: one SQLite file that this process alone holds, and a blob folder. Writes gather until commit().

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openContentFolder } from "../../base/content-folder.ts";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { sweepWork } from "../../base/store-work.ts";
import type { Engine, Retention } from "./engine.ts";
import { migrate } from "./migrations.ts";
import { openSqliteCalls } from "./sqlite-calls.ts";
import { openSqliteLogs } from "./sqlite-logs.ts";
import { openSqliteMaps } from "./sqlite-maps.ts";
import { openSqliteRecords } from "./sqlite-records.ts";
import { createWriteBack } from "./write-back.ts";

// Primary result codes, https://sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_FULL = 13;

/** Commits after which the WAL is written back. */
const restCommits = 200;
/** After a call, of which inputs of maps are none: somebody may make the next. */
const attentionMs = 1_000;

const primaryCode = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined;

function databaseError(operation: string, error: unknown): HobError {
  const code = primaryCode(error);
  if (code === SQLITE_FULL) {
    return new HobError("exhausted", `${operation}: the disk is full`, {
      cause: error,
      remedy: "free some space; what waits is then recorded and goes on",
    });
  }
  if (code === SQLITE_READONLY)
    return new HobError("unavailable", `${operation}: the file system is read-only`, { cause: error });
  return systemError(operation, error);
}

function holderOf(pidFile: string): string {
  try {
    return `pid ${readFileSync(pidFile, "utf8").trim()}`;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "another process"; // it holds the lock and has not written its pid yet
    throw systemError(`reading ${pidFile}`, error);
  }
}

/** The database below `state`, for this process alone while `lock` is open: two controls never share one state. */
function openDatabase(state: string): { db: DatabaseSync; lock: DatabaseSync; file: string } {
  const file = join(state, "control.db");
  const pidFile = join(state, "control.pid");
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw systemError(`making the state folder ${state}`, error);
  }
  let lock: DatabaseSync | undefined;
  let db: DatabaseSync | undefined;
  try {
    // A database of its own, for the other has two connections: the thread that writes the WAL back has the second.
    lock = new DatabaseSync(join(state, "control.lock"), { timeout: 0 });
    lock.exec("pragma locking_mode = exclusive; begin exclusive; commit"); // kept for the connection's life
    db = new DatabaseSync(file, { timeout: 0 });
    db.exec("pragma journal_mode = wal; pragma synchronous = normal");
    db.exec("pragma wal_autocheckpoint = 0; pragma journal_size_limit = 67108864; pragma cache_size = -4096");
    migrate(db, file);
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
    return { db, lock, file };
  } catch (error) {
    db?.close();
    lock?.close();
    if (primaryCode(error) === SQLITE_BUSY) {
      throw new HobError("precondition", `opening ${file}: a control is running on this state already (${holderOf(pidFile)})`, {
        cause: error,
        remedy: "use that one, end it, or choose another state folder",
      });
    }
    throw databaseError(`opening ${file}`, error);
  }
}

export function openSqliteEngine(state: string, store: string): Engine & Disposable {
  const blobs = openContentFolder(store, { durable: true });
  sweepWork(store);
  const { db, lock, file } = openDatabase(state);
  const writeBack = createWriteBack(db, file);
  const records = openSqliteRecords(db);
  const calls = openSqliteCalls(db, () => commit());
  const logs = openSqliteLogs(db, () => commit());
  const maps = openSqliteMaps(db, () => commit());
  const parts = [records, calls, logs, maps];
  const begin = db.prepare("begin immediate");
  const end = db.prepare("commit");
  let commits = 0; // since the last checkpoint
  let calledAtMs = Number.NEGATIVE_INFINITY;

  function transaction(work: () => void): void {
    try {
      begin.run();
      work();
      end.run();
    } catch (error) {
      if (db.isTransaction) db.exec("rollback"); // a full disk may have rolled back already
      throw databaseError(`recording in ${join(state, "control.db")}`, error);
    }
  }

  function commit(): void {
    if (!parts.some((part) => part.pending())) return;
    if (calls.pending()) calledAtMs = performance.now();
    transaction(() => {
      for (const part of parts) part.write();
    });
    for (const part of parts) part.written();
    commits++;
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
      commit();
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

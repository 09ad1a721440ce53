// ④⑦ Control's database file, for one process alone, and what SQLite's refusals mean.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { migrate } from "./migrations.ts";

// Primary result codes, https://sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_FULL = 13;

const primaryCode = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined;

export function databaseError(operation: string, error: unknown): HobError {
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

export interface Database {
  readonly db: DatabaseSync;
  /** Held for as long as the state is this process's. */
  readonly lock: DatabaseSync;
  readonly file: string;
}

/** The database below `state`, for this process alone while `lock` is open: two controls never share one state. */
export function openDatabase(state: string): Database {
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

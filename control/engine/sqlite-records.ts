// ④ Records in SQLite: all of them fit in memory, so reads and compare-and-set need no query.

import type { DatabaseSync } from "node:sqlite";
import { HobError } from "../../base/errors.ts";
import type { Records, StoredRecord } from "./engine.ts";
import { prepareWrites, type Recorder } from "./writes.ts";

/** A part of the engine: what it gathers is written by `write` inside a transaction, and forgotten by `written` after it. */
export interface EnginePart {
  pending(): boolean;
  write(): void;
  written(): void;
}

export const recordWrites = {
  upsertRecord:
    "insert into records values (?, ?, ?, ?) on conflict (kind, key) do update set revision = excluded.revision, value = excluded.value",
  removeRecord: "delete from records where kind = ? and key = ?",
};

export function openSqliteRecords(db: DatabaseSync, recorder?: Recorder): EnginePart & { store: Records } {
  const { upsertRecord, removeRecord } = prepareWrites(db, recordWrites, recorder);
  const kinds = new Map<string, Map<string, StoredRecord>>();
  const dirty = new Map<string, { kind: string; key: string }>();

  const ofKind = (kind: string): Map<string, StoredRecord> => {
    const records = kinds.get(kind) ?? new Map<string, StoredRecord>();
    kinds.set(kind, records);
    return records;
  };
  const touch = (kind: string, key: string): void => {
    dirty.set(`${kind}\0${key}`, { kind, key });
  };

  for (const row of db.prepare("select kind, key, revision, value from records order by kind, key").iterate()) {
    const { kind, key, revision, value } = row as { kind: string; key: string; revision: number; value: Uint8Array };
    ofKind(kind).set(key, { key, revision, value });
  }

  return {
    pending: () => dirty.size > 0,
    write() {
      for (const { kind, key } of dirty.values()) {
        const record = kinds.get(kind)?.get(key);
        if (record) upsertRecord.run(kind, key, record.revision, record.value);
        else removeRecord.run(kind, key);
      }
    },
    written: () => dirty.clear(),
    store: {
      get: (kind, key) => kinds.get(kind)?.get(key),
      list: (kind) => [...(kinds.get(kind)?.values() ?? [])],
      put(kind, key, value, expected) {
        const records = ofKind(kind);
        const found = records.get(key)?.revision ?? 0;
        if (found !== expected) {
          throw new HobError(
            "precondition",
            `recording ${kind} ${key}: somebody else changed it (revision ${found}, not ${expected})`,
            {
              remedy: "read it again, then try again",
            },
          );
        }
        records.set(key, { key, revision: found + 1, value });
        touch(kind, key);
        return found + 1;
      },
      remove(kind, key) {
        if (kinds.get(kind)?.delete(key)) touch(kind, key);
      },
    },
  };
}

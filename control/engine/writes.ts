// ⑦ The writes of the engine's parts by name: run as they are by the embedded engine, and told to a journal too where there is one.

import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

/** Hears of each write, in order, within the transaction of its commit. */
export type Recorder = (name: string, fields: readonly SQLInputValue[]) => void;

/** Where commits go besides the database, in order. */
export interface CommitJournal {
  readonly record: Recorder;
  /** Of the commit that is being made. */
  readonly next: number;
  /** It is in the database. */
  made(): void;
  /** It is not: what was recorded since the last one is forgotten. */
  dropped(): void;
  /** Resolves when everything made by now is as durable as it becomes; undefined when it is already. */
  settled(): Promise<void> | undefined;
  /** The last that is. */
  readonly durable: { readonly commit: number };
}

export interface Write {
  run(...fields: SQLInputValue[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  all(...fields: SQLInputValue[]): Record<string, SQLOutputValue>[];
}

/** Prepares statements; those of the embedded engine are SQLite's own. */
export function prepareWrites<Name extends string>(
  db: DatabaseSync,
  texts: Readonly<Record<Name, string>>,
  recorder: Recorder | undefined,
): Record<Name, Write> {
  const entries = Object.entries<string>(texts).map(([name, text]): [string, Write] => {
    const statement = db.prepare(text);
    if (!recorder) return [name, statement];
    const run: Write["run"] = (...fields) => {
      recorder(name, fields);
      return statement.run(...fields);
    };
    const all: Write["all"] = (...fields) => {
      recorder(name, fields);
      return statement.all(...fields);
    };
    return [name, { run, all }];
  });
  return Object.fromEntries(entries) as Record<Name, Write>;
}

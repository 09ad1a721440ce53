// ⑦ The writes of the engine's parts by name: run as they are by the embedded engine, and told to a journal too where there is one.

import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

/** Hears of each write, in order, within the transaction of its commit. */
export type Recorder = (name: string, fields: readonly SQLInputValue[]) => void;

export interface Write {
  run(...fields: SQLInputValue[]): { changes: number | bigint };
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

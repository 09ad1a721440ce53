// ⑧ The calls as Runs lists them: the same failure, again and again, is one row with a count.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { type CallRecord, functionKey, newestFirst, stateOf } from "./calls.ts";
import type { Filtered, State } from "./state.ts";

/** A call, or several that failed alike with no other outcome of their function between them: the newest stands for all. */
export interface RunRow {
  readonly record: CallRecord;
  /** Oldest last; more than one only of failures. */
  readonly calls: readonly CallRecord[];
}

const addresses = /\b0x[0-9a-f]{4,}\b/gi;

/** Alike are failures of one function with the same type and sentence at the same line of the project; addresses of objects do not count. */
function failureKey({ failure, app, function: name }: CallInfo): string {
  const at = failure?.frames.findLast(({ own }) => own);
  return [app, name, failure?.kind, failure?.type, failure?.message.replace(addresses, "0x…"), at?.file, at?.line].join("\n");
}

const folded = new WeakMap<readonly CallRecord[], readonly RunRow[]>();

/** `calls` newest first. */
function foldFailures(calls: readonly CallRecord[]): readonly RunRow[] {
  const known = folded.get(calls);
  if (known) return known;
  const rows: { record: CallRecord; calls: CallRecord[] }[] = [];
  const open = new Map<string, { key: string; row: (typeof rows)[number] }>(); // by function: its latest row, while it may grow
  for (const record of calls) {
    const of = functionKey(record.info.app, record.info.function);
    const key = stateOf(record.info) === "failed" ? failureKey(record.info) : "";
    const before = open.get(of);
    if (key !== "" && before?.key === key) {
      before.row.calls.push(record);
      continue;
    }
    const row = { record, calls: [record] };
    rows.push(row);
    open.set(of, { key, row });
  }
  folded.set(calls, rows);
  return rows;
}

const filtered = new WeakMap<readonly CallRecord[], { filter: string; calls: readonly CallRecord[] }>();

/** The calls that pane 3 lists, newest first. */
function listedCalls({
  calls,
  filters,
}: Pick<State, "calls"> & { filters: Readonly<Record<Filtered, string>> }): readonly CallRecord[] {
  const all = newestFirst(calls);
  const filter = filters.runs.toLowerCase();
  if (filter === "") return all;
  const known = filtered.get(all);
  if (known?.filter === filter) return known.calls;
  const listed = all.filter(({ info }) =>
    `#${info.number} ${info.function} ${info.state} ${info.failure?.type ?? ""} ${info.failure?.message ?? ""}`
      .toLowerCase()
      .includes(filter),
  );
  filtered.set(all, { filter, calls: listed });
  return listed;
}

/** The rows of pane 3, newest first. */
export function listedRuns(state: Pick<State, "calls" | "filters">): readonly RunRow[] {
  return foldFailures(listedCalls(state));
}

/** The row that a call is in. */
export function rowOf(rows: readonly RunRow[], id: string | undefined): number {
  return rows.findIndex(({ calls }) => calls.some(({ info }) => info.id === id));
}

/** How often the failure of this call has come in a row; 1 for what did not fail. */
export function repeated(state: Pick<State, "calls">, id: string): readonly CallRecord[] {
  const rows = foldFailures(newestFirst(state.calls));
  return rows[rowOf(rows, id)]?.calls ?? [];
}

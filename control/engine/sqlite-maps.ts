// ⑦ Maps in SQLite: a row a map, a row for some hundred inputs, a row for the results of one commit and block. Bytes are written once and never changed.

import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { HobError } from "../../base/errors.ts";
import { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import type { InputBlock, MapStore, ResultPiece, Retention } from "./engine.ts";
import type { EnginePart } from "./sqlite-records.ts";
import { type CommitJournal, prepareWrites } from "./writes.ts";

interface Made {
  commit: number;
  position: number;
}

const slice = 100; // rows forgotten in one transaction, each up to 1 MiB

export type SqliteMaps = EnginePart & { store: MapStore; trim(retention: Retention, nowMs: number): boolean };

export const mapWrites = {
  upsertMap: `insert into maps (number, id, app, state, finished_at_ms, info) values (?, ?, ?, ?, ?, ?)
     on conflict (number) do update set state = excluded.state, finished_at_ms = excluded.finished_at_ms, info = excluded.info`,
  insertInputs: "insert into map_inputs (map, first, count, bytes) values (?, ?, ?, ?)",
  insertResults: "insert into map_results (map, block, count, bytes) values (?, ?, ?, ?)",
  // In order, so that every copy of the database loses the same rows: positions are what clients go on by.
  trimResults: `delete from map_results where position in (select position from map_results where map = ? order by position limit ${slice})`,
  trimInputs: `delete from map_inputs where rowid in (select rowid from map_inputs where map = ? order by first limit ${slice})`,
  trimMap: "delete from maps where number = ?",
};

/** `settle` commits what is pending, so that a query sees it. */
export function openSqliteMaps(db: DatabaseSync, settle: () => void, journal?: CommitJournal): SqliteMaps {
  const { upsertMap, insertInputs, insertResults, trimResults, trimInputs, trimMap } = prepareWrites(
    db,
    mapWrites,
    journal?.record,
  );
  const selectUnfinished = db.prepare("select info from maps where state = 'running' order by number");
  const selectById = db.prepare("select info from maps where id = ?");
  const selectList = db.prepare("select info from maps where ? in ('', app) order by number desc limit ?");
  const selectLast = db.prepare("select max(number) as number from maps");
  const selectBlocks = db.prepare("select first, count from map_inputs where map = ? and first >= ? order by first limit ?");
  const selectBlockOf = db.prepare(
    "select first, count from map_inputs where map = ? and first <= ? order by first desc limit 1",
  );
  const selectInputs = db.prepare("select bytes from map_inputs where map = ? and first = ?");
  const selectInputBytes = db.prepare("select sum(length(bytes)) as bytes from map_inputs where map = ?");
  const selectCount = db.prepare("select sum(count) as count from map_results where map = ? and block = ?");
  const selectCountUntil = db.prepare("select sum(count) as count from map_results where map = ? and position <= ?");
  const selectAfter = db.prepare(
    "select position, count, bytes from map_results where map = ? and position > ? and position < ? order by position limit 1",
  );
  const selectOfBlock = db.prepare(
    "select position, count, bytes from map_results where map = ? and block = ? and position > ? and position < ? order by position limit 1",
  );
  const selectPiece = db.prepare("select position, count, bytes from map_results where position = ?");
  // The newest map always stays: its number is where numbering goes on.
  const selectOld = db.prepare(
    `select number from maps where state <> 'running' and (finished_at_ms < ? or number <= ?) and number < ? order by number limit 1`,
  );

  const dirty = new Map<number, MapInfo>();
  let inputs: { map: number; block: InputBlock; bytes: Uint8Array }[] = [];
  let results: { map: number; block: number; count: number; bytes: Uint8Array }[] = [];
  // A commit that has results, and the position of its first piece: the one that is being made, and those that are not durable yet.
  let making: Made | undefined;
  let early: Made[] = [];

  const infoOf = (row: Record<string, SQLOutputValue>): MapInfo => MapInfo.decode(row["info"] as Uint8Array);
  const lastNumber = (): number => (selectLast.get() as { number: number | null }).number ?? 0;
  const counted = (row: unknown): number => (row as { count: number | null }).count ?? 0;

  /** Pieces from here on are not durable: had somebody been told of one, another control could put another in its place. */
  function horizon(): number {
    if (early.length > 0) early = early.filter(({ commit }) => commit > journal!.durable.commit);
    return early[0]?.position ?? Number.MAX_SAFE_INTEGER;
  }

  return {
    pending: () => dirty.size > 0 || inputs.length > 0 || results.length > 0,
    write() {
      for (const info of dirty.values()) {
        const { number, id, app, state, finishedAtMs } = info;
        upsertMap.run(number, id, app, state, finishedAtMs, MapInfo.encode(info).finish());
      }
      for (const { map, block, bytes } of inputs) insertInputs.run(map, block.first, block.count, bytes);
      making = undefined;
      for (const { map, block, count, bytes } of results) {
        const { lastInsertRowid } = insertResults.run(map, block, count, bytes);
        if (journal) making ??= { commit: journal.next, position: Number(lastInsertRowid) };
      }
    },
    written() {
      if (making) early.push(making);
      making = undefined;
      dirty.clear();
      inputs = [];
      results = [];
    },
    trim(retention, nowMs) {
      const last = lastNumber();
      const old = selectOld.get(nowMs - retention.keepMs, last - retention.maps, last) as { number: number } | undefined;
      if (!old) return false;
      const rows = Number(trimResults.run(old.number).changes) || Number(trimInputs.run(old.number).changes);
      if (rows === 0) trimMap.run(old.number);
      return true;
    },
    store: {
      save: (info) => void dirty.set(info.number, info),
      unfinished: () => selectUnfinished.all().map(infoOf),
      find(id) {
        for (const info of dirty.values()) if (info.id === id) return info;
        const row = selectById.get(id);
        return row && infoOf(row);
      },
      list({ app, limit }) {
        settle();
        return selectList.all(app, limit).map(infoOf);
      },
      lastNumber,
      addInputs: (map, block, bytes) => void inputs.push({ map, block, bytes }),
      blocks(map, from, limit) {
        const rows = selectBlocks.all(map, from, limit) as unknown as InputBlock[];
        if (rows.length === limit) return rows;
        const fresh = inputs.filter((row) => row.map === map && row.block.first >= from).map(({ block }) => block);
        return [...rows, ...fresh].slice(0, limit);
      },
      blockOf(map, index) {
        const row = selectBlockOf.get(map, index) as InputBlock | undefined;
        return row && index < row.first + row.count ? row : undefined;
      },
      inputs(map, first) {
        const fresh = inputs.find((row) => row.map === map && row.block.first === first);
        if (fresh) return fresh.bytes;
        const row = selectInputs.get(map, first) as { bytes: Uint8Array } | undefined;
        if (!row)
          throw new HobError("corrupt", `reading the inputs of map ${map} from ${first} on: they are not in the database`);
        return row.bytes;
      },
      inputBytes: (map) => (selectInputBytes.get(map) as { bytes: number | null }).bytes ?? 0,
      addResults: (map, block, { count, bytes }) => void results.push({ map, block, count, bytes }),
      resultCount: (map, block) => counted(selectCount.get(map, block)),
      resultsAfter(map, position, block) {
        const until = horizon();
        const row = block === undefined ? selectAfter.get(map, position, until) : selectOfBlock.get(map, block, position, until);
        return row as ResultPiece | undefined;
      },
      piece: (position) => selectPiece.get(position) as ResultPiece | undefined,
      countUntil: (map, position) => counted(selectCountUntil.get(map, position)),
    },
  };
}

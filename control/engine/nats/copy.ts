// ⑦ This control's own copy of what the journal has written: a database that follows it, made from a snapshot where the journal no longer reaches back.

import { createWriteStream, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pipeline } from "node:stream/promises";
import { DeliverPolicy } from "@nats-io/jetstream";
import { HobError, sentenceOf, systemError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { type JournalCommit, JournalPart, StoredSnapshot } from "../../../proto/gen/hob/v1/journal.ts";
import { schema } from "../migrations.ts";
import { callWrites } from "../sqlite-calls.ts";
import { type Database, databaseError, openDatabase } from "../sqlite-database.ts";
import { logWrites } from "../sqlite-logs.ts";
import { mapWrites } from "../sqlite-maps.ts";
import { recordWrites } from "../sqlite-records.ts";
import { prepareWrites } from "../writes.ts";
import { createAssembly, sqlValueOf } from "./entries.ts";
import type { NatsLink } from "./link.ts";

export const snapshotKey = "snapshot";
const againMs = 500;
/** Of NATS while nothing is recorded; two that do not come, and another of its servers is asked. */
const heartbeatMs = 1_000;

/**
 * All writes there are. A name is what journals say: its text has one meaning for ever, and gives the same rows wherever it is run on the
 * same database. Another meaning is another name, and a step of migrations.ts, so that an older control refuses what it does not know.
 */
const allWrites = { ...recordWrites, ...callWrites, ...logWrites, ...mapWrites };

interface Place {
  commit: number;
  sequence: number;
}

export interface Copy extends AsyncDisposable {
  readonly database: Database;
  /** What it has of the journal. */
  readonly at: Place;
  /** Who wrote the last message that it has seen; "" when it has seen none. */
  readonly writer: string;
  /** Follows no more, reads what the journal has beyond it one by one, and resolves with the number of its last message. */
  catchUp(): Promise<number>;
  /** Resolves with what ended the following, should anything. */
  readonly failed: Promise<unknown>;
  /** Until it is marked clean, another start makes it anew: what is written to it may not have reached the journal. */
  markServed(): void;
  /** What is in it is what the journal has up to there. */
  markClean(at: Place): void;
}

interface Position extends Place {
  clean: boolean;
  pool: string;
}

function positionOf(db: DatabaseSync): Position {
  const row = db.prepare("select commits, sequence, clean, pool from journal").get() as Record<string, number> & { pool: string };
  return { commit: row["commits"]!, sequence: row["sequence"]!, clean: row["clean"] === 1, pool: row.pool };
}

function refuseEmbedded({ db, file }: Database): void {
  const { count } = db.prepare("select (select count(*) from records) + (select count(*) from calls) as count").get() as {
    count: number;
  };
  if (count === 0) return;
  throw new HobError("precondition", `opening ${file}: it is the database of an embedded pool`, {
    remedy: "choose another folder with --state; `hob control export` and `import` move a pool to NATS",
  });
}

/** A database in which a pool was served to no good end may have what the journal lacks: it is made anew. */
async function prepareDatabase(state: string, link: NatsLink): Promise<Database> {
  const manager = await link.stream.jetstreamManager(false);
  const { state: journal, created } = await manager.streams.info(link.journal.stream);
  const pool = `${link.journal.stream} of ${created}`;
  const database = openDatabase(state);
  const { sequence, clean, pool: known } = positionOf(database.db);
  try {
    if (known === "") refuseEmbedded(database);
    const follows = known === pool && sequence + 1 >= journal.first_seq && sequence <= journal.last_seq;
    if (clean && follows) return database;
    database.db.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${database.file}${suffix}`, { force: true });
    const found = await link.records.get(snapshotKey);
    if (found?.operation === "PUT") await fetchSnapshot(state, link, StoredSnapshot.decode(found.value));
    else if (journal.first_seq > 1) {
      throw new HobError(
        "corrupt",
        `the journal of NATS at ${link.name} begins at ${journal.first_seq}, and no snapshot has what was before`,
        {
          remedy: "restore the streams from a backup, or import an export into another pool: --engine nats://…/NAME",
        },
      );
    }
  } catch (error) {
    if (database.db.isOpen) database.db.close();
    database.lock.close();
    throw error;
  }
  database.lock.close();
  return adopt(openDatabase(state), pool);
}

function adopt(database: Database, pool: string): Database {
  database.db.prepare("update journal set pool = ?").run(pool);
  return database;
}

async function fetchSnapshot(state: string, link: NatsLink, { name, commit, sequence }: StoredSnapshot): Promise<void> {
  const object = await link.objects.get(name);
  if (!object)
    throw new HobError("corrupt", `snapshot ${name} of the pool is not in NATS's object store`, {
      remedy: "restore it from a backup",
    });
  const file = join(state, "control.db");
  try {
    await pipeline(object.data, createWriteStream(`${file}.new`, { mode: 0o600 }));
    const failure = await object.error;
    if (failure) throw failure;
    const db = new DatabaseSync(`${file}.new`);
    db.prepare("update journal set commits = ?, sequence = ?, clean = 1").run(commit, sequence);
    db.close();
    renameSync(`${file}.new`, file);
  } catch (error) {
    throw systemError(`fetching snapshot ${name} of the pool`, error);
  } finally {
    if (existsSync(`${file}.new`)) rmSync(`${file}.new`);
  }
}

export async function openCopy(state: string, link: NatsLink, log: Log): Promise<Copy> {
  const database = await prepareDatabase(state, link);
  const { db } = database;
  const writes = prepareWrites(db, allWrites, undefined);
  const note = db.prepare("update journal set commits = ?, sequence = ?, clean = ?");
  db.exec("pragma wal_autocheckpoint = 1000");
  const assembly = createAssembly();
  const stop = new AbortController();
  let at: Place = positionOf(db);
  const failed = Promise.withResolvers<unknown>();
  let seen = at.sequence; // in parts too
  let writer = "";

  function apply(commits: JournalCommit[], sequence: number): void {
    db.exec("begin immediate");
    try {
      let { commit } = at;
      for (const { number, writes: made } of commits) {
        if (number <= commit) continue; // the snapshot had it
        for (const { name, fields } of made) writes[name as keyof typeof allWrites].run(...fields.map(sqlValueOf));
        commit = number;
      }
      note.run(commit, sequence, 1);
      db.exec("commit");
      at = { commit, sequence };
    } catch (error) {
      if (db.isTransaction) db.exec("rollback");
      throw databaseError(`following the journal in ${database.file}`, error);
    }
  }

  function take(data: Uint8Array, sequence: number): void {
    const part = JournalPart.decode(data);
    if (part.schema > schema) {
      throw new HobError("precondition", `the pool is served by a newer hob (schema ${part.schema}, here ${schema})`, {
        remedy: "update this hob",
      });
    }
    const commits = assembly.take(part);
    if (commits) apply(commits, sequence);
    seen = sequence;
    writer = part.owner;
  }

  async function follow(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        const from = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: seen + 1 };
        const consumer = await link.stream.consumers.get(link.journal.stream, from);
        const messages = await consumer.consume({ max_messages: 200, expires: 4 * heartbeatMs, idle_heartbeat: heartbeatMs });
        const end = (): void => messages.stop();
        stop.signal.addEventListener("abort", end, { once: true });
        if (stop.signal.aborted) end();
        try {
          for await (const message of messages) {
            if (stop.signal.aborted) break;
            if (message.seq <= seen) continue;
            if (message.seq !== seen + 1)
              throw new HobError("corrupt", `the journal goes on at ${message.seq}, and this control has ${seen}`);
            take(message.data, message.seq);
          }
        } finally {
          stop.signal.removeEventListener("abort", end);
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof HobError && error.kind !== "unavailable") throw error;
        log.warn({ error: sentenceOf(error) }, "following the journal failed; trying again");
        await new Promise((resolve) => setTimeout(resolve, againMs));
      }
    }
  }

  const following = follow().catch((error: unknown) => {
    failed.resolve(error);
  });

  async function leave(): Promise<void> {
    stop.abort();
    await following;
    if (db.isOpen) db.exec("pragma wal_autocheckpoint = 0"); // a thread does that for whoever serves
  }

  return {
    database,
    get at() {
      return at;
    },
    get writer() {
      return writer;
    },
    async catchUp() {
      await leave();
      const manager = await link.stream.jetstreamManager(false);
      const { state: journal } = await manager.streams.info(link.journal.stream);
      while (seen < journal.last_seq) {
        const message = await manager.streams.getMessage(link.journal.stream, { seq: seen + 1 });
        if (!message) throw new HobError("corrupt", `the journal of NATS at ${link.name} has no message ${seen + 1}`);
        take(message.data, message.seq);
      }
      return seen;
    },
    failed: failed.promise,
    markServed: () => void note.run(at.commit, at.sequence, 0),
    markClean: ({ commit, sequence }) => void note.run(commit, sequence, 1),
    async [Symbol.asyncDispose]() {
      await leave();
      if (db.isOpen) db.close();
      if (database.lock.isOpen) database.lock.close();
    },
  };
}

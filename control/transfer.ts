// ④ A pool as a folder: what `hob control export` writes, and `import` takes. It is laid out as a state folder, so a control can serve it as it is.

import { constants, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { backup, type DatabaseSync } from "node:sqlite";
import { type ContentFolder, openContentFolder } from "../base/content-folder.ts";
import { HobError, systemError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { mirrorBlobs, storeBlobs } from "./engine/nats/blobs.ts";
import { openCopy } from "./engine/nats/copy.ts";
import { takeJournal } from "./engine/nats/journal.ts";
import { type NatsPlace, openNatsLink } from "./engine/nats/link.ts";
import { storeSnapshot } from "./engine/nats/snapshot.ts";
import { openDatabase } from "./engine/sqlite-database.ts";
import { keyFiles } from "./pool-keys.ts";

const databaseName = "control.db";
const blobsName = "blobs";
const allPages = 2 ** 31 - 1;

/** Where an embedded pool lies. */
export interface PoolFolder {
  state: string;
  /** Blob folder. */
  store: string;
}

function makeEmpty(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (readdirSync(folder).length === 0) return;
  } catch (error) {
    throw systemError(`making ${folder}`, error);
  }
  throw new HobError("precondition", `${folder} is not empty`, { remedy: "name a folder that is, or that does not exist" });
}

function refuseCopy(db: DatabaseSync, state: string): void {
  const { pool } = db.prepare("select pool from journal").get() as { pool: string };
  if (pool === "") return;
  throw new HobError("precondition", `${state} has a control's copy of a pool on NATS`, {
    remedy: "export that one: `hob control export FOLDER --engine nats://… --state FOLDER`",
  });
}

function copyKeys(from: string, to: string): void {
  for (const file of Object.values(keyFiles).flat()) {
    if (existsSync(join(from, file))) cpSync(join(from, file), join(to, file), { mode: constants.COPYFILE_FICLONE });
  }
}

async function copyBlobs(from: ContentFolder, to: ContentFolder): Promise<number> {
  let count = 0;
  for await (const digest of from.list()) {
    await to.putFile(from.path(digest));
    count++;
  }
  return count;
}

/** Of one that no control serves at the moment, into an empty folder. Resolves with the number of its blobs. */
export async function exportEmbedded({ state, store }: PoolFolder, to: string): Promise<number> {
  if (!existsSync(join(state, databaseName)))
    throw new HobError("notFound", `there is no pool in ${state}`, { remedy: "name its folder with --state" });
  makeEmpty(to);
  const { db, lock } = openDatabase(state);
  try {
    refuseCopy(db, state);
    await backup(db, join(to, databaseName), { rate: allPages });
  } finally {
    db.close();
    lock.close();
  }
  copyKeys(state, to);
  return copyBlobs(openContentFolder(store, { durable: false }), openContentFolder(join(to, blobsName), { durable: true }));
}

/** Of one on NATS, as it is at this moment, whoever serves it. `state`: of one of its controls, for the keys. */
export async function exportShared(
  place: NatsPlace,
  { state, to, log }: { state: string; to: string; log: Log },
): Promise<number> {
  makeEmpty(to);
  await using link = await openNatsLink(place, log);
  {
    await using copy = await openCopy(to, link, log);
    await copy.catchUp();
    copy.database.db.exec("update journal set commits = 0, sequence = 0, clean = 1, pool = ''; pragma wal_checkpoint(truncate)");
  }
  copyKeys(state, to);
  const blobs = openContentFolder(join(to, blobsName), { durable: true });
  return (await mirrorBlobs(blobs, link.objects, new AbortController().signal)).size;
}

/** Into a pool on NATS that has nothing yet. Until the last step it has nothing still. */
export async function importShared(from: string, place: NatsPlace, { state, log }: { state: string; log: Log }): Promise<number> {
  if (!existsSync(join(from, databaseName))) throw new HobError("notFound", `there is no export in ${from}`);
  await using link = await openNatsLink(place, log);
  const manager = await link.stream.jetstreamManager(false);
  const taken = new HobError("precondition", `the pool of NATS at ${link.name} has a state already`, {
    remedy: "import into another: --engine nats://…/NAME",
  });
  if ((await manager.streams.info(link.journal.stream)).state.last_seq > 0) throw taken;
  const blobs = openContentFolder(join(from, blobsName), { durable: false });
  const count = await storeBlobs(blobs, link.objects);
  const file = join(from, `${databaseName}.import`);
  const { db, lock } = openDatabase(from);
  try {
    refuseCopy(db, from);
    await backup(db, file, { rate: allPages });
    await storeSnapshot(link, { name: "snapshot-imported", commit: 0, sequence: 1 }, file);
    if (!(await takeJournal(link, "import", 0))) throw taken;
  } finally {
    db.close();
    lock.close();
    rmSync(file, { force: true });
  }
  mkdirSync(state, { recursive: true, mode: 0o700 });
  copyKeys(from, state);
  return count;
}

// ④⑦ The engine of a pool with several controls: the embedded one on this control's copy of the journal, of which each commit goes to NATS before
// anybody hears of it.

import { setTimeout as after } from "node:timers/promises";
import { openContentFolder } from "../../../base/content-folder.ts";
import { HobError, sentenceOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { sweepWork } from "../../../base/store-work.ts";
import type { Engine } from "../engine.ts";
import { createSqliteEngine } from "../sqlite.ts";
import { mirrorBlobs, shareBlobs } from "./blobs.ts";
import type { Copy } from "./copy.ts";
import { openJournal, takeJournal } from "./journal.ts";
import type { NatsLink } from "./link.ts";
import { createSnapshots } from "./snapshot.ts";

const snapshotLookMs = 1_000;
const againMs = 200;
const moveAfter = 3; // failures: another server is asked
const snapshotBytes = 64 << 20; // of journal

interface EngineParts {
  link: NatsLink;
  copy: Copy;
  /** Of this control's time with the pool; no other has had it. */
  owner: string;
  /** Blob folder. */
  store: string;
  log: Log;
  signal: AbortSignal;
  /** A snapshot is kept after so much journal: 64 MiB. */
  snapshotBytes?: number;
  delayed(error: HobError | undefined): void;
  lost(error: HobError): void;
}

/** Takes the pool, whoever has it: nothing that another control writes is taken from now on. */
export async function openNatsEngine(parts: EngineParts): Promise<Engine> {
  const { link, copy, owner, log } = parts;
  const from = await take(parts);
  const folder = openContentFolder(parts.store, { durable: true });
  sweepWork(parts.store);
  const stored = await mirrorBlobs(folder, link.objects, parts.signal);
  copy.markServed();
  const journal = openJournal({ link, owner, from, log, delayed: parts.delayed, lost: parts.lost });
  const engine = createSqliteEngine(copy.database, shareBlobs(folder, link.objects, stored), journal);
  const snapshots = createSnapshots(link, journal, {
    file: copy.database.file,
    everyBytes: parts.snapshotBytes ?? snapshotBytes,
  });
  const looking = setInterval(() => {
    snapshots
      .keep()
      .catch((error: unknown) => log.warn({ error: sentenceOf(error) }, "keeping a snapshot of the pool failed; trying again"));
  }, snapshotLookMs);
  return {
    ...engine,
    async [Symbol.asyncDispose]() {
      clearInterval(looking);
      try {
        void engine.commit();
      } finally {
        await journal[Symbol.asyncDispose]();
        if (journal.settled() === undefined) copy.markClean(journal.durable);
        await engine[Symbol.asyncDispose]();
      }
    },
  };
}

async function take({ link, copy, owner, signal, log }: EngineParts): Promise<{ commit: number; sequence: number }> {
  for (let failures = 0; ; ) {
    signal.throwIfAborted();
    try {
      const last = await copy.catchUp();
      if (copy.writer === owner) return { commit: copy.at.commit, sequence: last };
      await takeJournal(link, owner, last);
    } catch (error) {
      if (error instanceof HobError) throw error;
      // No answer, and yet it may have been taken: then the former owner can write no more, and nobody must leave it at that.
      log.info({ error: sentenceOf(error) }, "taking the pool: NATS did not answer; asking again");
      if (++failures % moveAfter === 0) await link.connection.reconnect().catch(() => {}); // its server may be cut off from the others
      await after(againMs);
    }
  }
}

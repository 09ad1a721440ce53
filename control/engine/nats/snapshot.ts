// ⑦ Snapshots: a copy of the owner's database in the object store, so that the journal before it can go and a control that begins needs not read all of it.

import { rmSync } from "node:fs";
import { backup, DatabaseSync } from "node:sqlite";
import { StoredSnapshot } from "../../../proto/gen/hob/v1/journal.ts";
import { storeFile } from "./blobs.ts";
import { snapshotKey } from "./copy.ts";
import type { Journal } from "./journal.ts";
import type { NatsLink } from "./link.ts";

const allPages = 2 ** 31 - 1;

/** Whoever begins from now on begins with it; the journal before it goes. */
export async function storeSnapshot(link: NatsLink, snapshot: StoredSnapshot, from: string): Promise<void> {
  await storeFile(link.objects, snapshot.name, from);
  const entry = await link.records.get(snapshotKey);
  const former = entry?.operation === "PUT" ? StoredSnapshot.decode(entry.value) : undefined;
  if (former && former.sequence > snapshot.sequence) return; // another control has the pool, and kept a newer one
  // Only in the place of that one: the journal before a newer one may have gone.
  await link.records.put(snapshotKey, StoredSnapshot.encode(snapshot).finish(), { previousSeq: entry?.revision ?? 0 });
  const manager = await link.stream.jetstreamManager(false);
  await manager.streams.purge(link.journal.stream, { seq: snapshot.sequence });
  if (former && former.name !== snapshot.name) await link.objects.delete(former.name);
}

/** Keeps one when enough has been written since the last; called now and then. */
export function createSnapshots(
  link: NatsLink,
  journal: Journal,
  { file, everyBytes }: { file: string; everyBytes: number },
): { keep(): Promise<void> } {
  let keptBytes = 0;
  let keeping: Promise<void> | undefined;

  async function keepOne(): Promise<void> {
    const target = `${file}.snapshot`;
    const { sequence } = journal.durable; // what follows it in the journal and is in the copy already is passed over by its number
    try {
      rmSync(target, { force: true });
      // A connection of its own, in one step: a thread copies what the WAL has at that moment while control goes on writing.
      using source = new DatabaseSync(file, { readOnly: true });
      await backup(source, target, { rate: allPages });
      using copy = new DatabaseSync(target);
      const { commits } = copy.prepare("select commits from journal").get() as { commits: number };
      if (journal.durable.commit < commits) await journal.settled();
      await storeSnapshot(link, { name: `snapshot-${sequence}-${commits}`, commit: commits, sequence }, target);
    } finally {
      rmSync(target, { force: true });
    }
  }

  return {
    async keep() {
      if (keeping || journal.bytes - keptBytes < everyBytes) return;
      const { bytes } = journal;
      keeping = keepOne().finally(() => {
        keeping = undefined;
      });
      await keeping;
      keptBytes = bytes;
    },
  };
}

// ④ The snapshots that control knows: tables in memory, their text in the blob folder, and new content until it has settled there.

import { type ContentFolder, type Digest, sha256 } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Rest } from "../base/rest.ts";
import type { Blob, SnapshotDelta } from "../proto/gen/hob/v1/common.ts";
import { Publish } from "../proto/gen/hob/v1/registry.ts";
import type { Records } from "./engine/engine.ts";
import { applyDelta, deltaBetween, parseTable, type SnapshotTable, tableText } from "./snapshot-table.ts";

const tablesKept = 64; // neighbours share their lines, so a table costs a few words a file
const contentKept = 4 << 20; // bytes of recent blobs held for messages to nodes
const contentsKept = 256; // nor more of them: after a day of saves it would be full of versions that no node is behind by
const inlineBlob = 1 << 20; // common.proto, SnapshotDelta.blobs
const inlineTotal = 2 << 20;
const listedFiles = 20_000; // in one message
const nothing = Publish.create();
const settleRetryMs = 1_000;
const longestUnsettledMs = 1_000; // where control never rests

export interface Snapshots extends AsyncDisposable {
  /** Of a snapshot in memory or in the blob folder; undefined when control has never had it. */
  table(digest: Digest): SnapshotTable | undefined;
  /**
   * Takes in what a publish carries. Answers the digests that are lacking (the base's among them: then the whole snapshot is
   * wanted) and takes nothing in when there are any. Content that is not what its digest says throws `corrupt`.
   */
  accept(delta: SnapshotDelta, bundles: Blob[], needed: Digest[]): Digest[];
  /** The message that takes a runner from `base` ("" none) to `target`, recent contents inline. */
  delta(base: Digest, target: Digest): SnapshotDelta;
  /** A blob's bytes, from memory or the folder; undefined when control lacks it. */
  content(digest: Digest): Buffer | undefined;
  has(digest: Digest): boolean;
  /** Resolves when everything accepted lies in the blob folder. */
  settled(): Promise<void>;
}

interface SnapshotsHost {
  /** What is recorded has changed. */
  changed(): void;
  rest: Pick<Rest, "once">;
  log: Log;
}

export function createSnapshots(blobs: ContentFolder, records: Records, { changed, rest, log }: SnapshotsHost): Snapshots {
  const tables = new Map<Digest, SnapshotTable>();
  const recent = new Map<Digest, Buffer>();
  const unsettled = new Map<Digest, Buffer>();
  const settling = new Set<Promise<void>>();
  const hurries = new Set<() => void>();
  const stop = new AbortController();
  let recentBytes = 0;
  let latest: SnapshotDelta | undefined; // as published: what most messages to nodes ask for

  function keepTable(table: SnapshotTable): SnapshotTable {
    tables.delete(table.digest);
    tables.set(table.digest, table);
    if (tables.size > tablesKept) tables.delete(tables.keys().next().value as Digest);
    return table;
  }

  function keepContent(digest: Digest, data: Buffer): void {
    if (recent.has(digest)) return;
    // A copy of its own: `data` is a view of what came from the socket, and would keep 64 KiB for each of a few.
    const own = Buffer.allocUnsafeSlow(data.byteLength);
    data.copy(own);
    recent.set(digest, own);
    recentBytes += data.byteLength;
    for (const [oldest, bytes] of recent) {
      if (recentBytes <= contentKept && recent.size <= contentsKept) break;
      recent.delete(oldest);
      recentBytes -= bytes.byteLength;
    }
  }

  const has = (digest: Digest): boolean => unsettled.has(digest) || recent.has(digest) || blobs.has(digest);

  function content(digest: Digest): Buffer | undefined {
    const held = unsettled.get(digest) ?? recent.get(digest);
    if (held || !blobs.has(digest)) return held;
    return blobs.read(digest);
  }

  function table(digest: Digest): SnapshotTable | undefined {
    const known = tables.get(digest);
    if (known) return keepTable(known);
    const text = content(digest);
    if (!text) return undefined;
    const parsed = parseTable(text.toString("utf8"));
    if (parsed.digest !== digest) throw new HobError("corrupt", `snapshot ${digest.slice(0, 12)}: its table has another digest`);
    return keepTable(parsed);
  }

  /** The contents reach the folder once what the publish asks for has most likely been answered: until then the record "unsettled" holds them. */
  async function settle(snapshot: Digest, contents: Map<Digest, Buffer>): Promise<void> {
    await hurried(longestUnsettledMs, rest.once);
    for (;;) {
      try {
        for (const [digest, data] of contents) await blobs.put(data, digest);
        break;
      } catch (error) {
        if (stop.signal.aborted) return;
        log.error(
          { snapshot, error: error instanceof Error ? error.message : String(error) },
          "keeping a snapshot failed; trying again",
        );
        await hurried(settleRetryMs);
      }
    }
    for (const digest of contents.keys()) unsettled.delete(digest);
    records.remove("unsettled", snapshot);
    changed();
  }

  /** Sleeps, but not while somebody waits for everything to be settled; `sooner` may end it, too. */
  function hurried(ms: number, sooner?: Rest["once"]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    hurries.add(resolve);
    const forget = sooner?.(resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      forget?.();
      hurries.delete(resolve);
    });
  }

  function startSettling(snapshot: Digest, contents: Map<Digest, Buffer>): void {
    for (const [digest, data] of contents) unsettled.set(digest, data);
    const work = settle(snapshot, contents).finally(() => settling.delete(work));
    settling.add(work);
  }

  function take(delta: SnapshotDelta, bundles: Blob[], base: SnapshotTable | undefined): void {
    const next = applyDelta(base, delta.changed, delta.removed);
    if (next.digest !== delta.digest) {
      throw new HobError(
        "corrupt",
        `snapshot ${delta.digest.slice(0, 12)}: its files give the digest ${next.digest.slice(0, 12)}`,
      );
    }
    keepTable(next);
    const contents = new Map<Digest, Buffer>();
    for (const { digest, data } of [...delta.blobs, ...bundles]) {
      keepContent(digest, data);
      contents.set(digest, data);
    }
    contents.set(next.digest, Buffer.from(tableText(next)));
    startSettling(next.digest, contents);
    latest = delta;
  }

  function accept(delta: SnapshotDelta, bundles: Blob[], needed: Digest[]): Digest[] {
    const inline = new Set<Digest>();
    for (const { digest, data } of [...delta.blobs, ...bundles]) {
      const found = sha256(data);
      if (found !== digest)
        throw new HobError("corrupt", `blob ${digest.slice(0, 12)}: what arrived has digest ${found.slice(0, 12)}`);
      inline.add(digest);
    }
    const base = delta.base ? table(delta.base) : undefined;
    const wanted = new Set([...delta.changed.map((entry) => entry.digest), ...needed]);
    const missing = [...wanted].filter((digest) => !inline.has(digest) && !has(digest));
    if (delta.base && !base) missing.push(delta.base);
    if (missing.length > 0) return missing;
    take(delta, bundles, base);
    const held = Publish.encode({ ...nothing, snapshot: delta, bundles }).finish();
    records.put("unsettled", delta.digest, held, records.get("unsettled", delta.digest)?.revision ?? 0);
    return [];
  }

  function delta(baseDigest: Digest, targetDigest: Digest): SnapshotDelta {
    if (latest?.digest === targetDigest && latest.base === baseDigest) return latest;
    const target = table(targetDigest);
    if (!target) throw new HobError("notFound", `snapshot ${targetDigest.slice(0, 12)} is not in control's store`);
    const base = baseDigest ? table(baseDigest) : undefined;
    // Too long for one message: a delta from itself, of which the receiver fetches the table by Content.
    if (!base && target.entries.length > listedFiles) {
      return { digest: targetDigest, base: targetDigest, changed: [], removed: [], blobs: [] };
    }
    const { changed, removed } = base ? deltaBetween(base, target) : { changed: target.entries, removed: [] };
    const inline: Blob[] = [];
    let bytes = 0;
    for (const { digest } of changed) {
      const data = recent.get(digest) ?? unsettled.get(digest);
      if (!data || data.byteLength > inlineBlob || bytes + data.byteLength > inlineTotal) continue;
      inline.push({ digest, data });
      bytes += data.byteLength;
    }
    return { digest: targetDigest, base: base ? baseDigest : "", changed, removed, blobs: inline };
  }

  // What a control that died had accepted, but not yet kept in the folder. In order: one may be the base of the next.
  const left = records.list("unsettled").map((record) => Publish.decode(record.value));
  for (let progress = true; progress && left.length > 0; ) {
    progress = false;
    for (const publish of left.splice(0)) {
      const { snapshot, bundles } = publish;
      if (!snapshot) continue;
      const base = snapshot.base ? table(snapshot.base) : undefined;
      if (snapshot.base && !base) {
        left.push(publish);
        continue;
      }
      take(snapshot, bundles, base);
      progress = true;
    }
  }

  async function settled(): Promise<void> {
    for (const hurry of hurries) hurry();
    await Promise.all(settling);
  }

  return {
    table,
    accept,
    delta,
    content,
    has,
    settled,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await settled();
    },
  };
}

// ⑤ Images that have not arrived: what their mounts miss, what is fetched ahead of it, and the trace of their first start.

import { setImmediate as nextTurn } from "node:timers/promises";
import { type ContentFolder, isDigest } from "../../base/content-folder.ts";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { PartialBlobs } from "../../base/partial-blob.ts";
import type { Manifest } from "../../fusefs/image/manifest.ts";
import type { SeenRead } from "../../fusefs/read-log.ts";
import { type Ahead, createAhead } from "./ahead.ts";
import { type ImageContents, isZeros, readContents } from "./contents.ts";
import type { Fetcher } from "./fetcher.ts";
import { createForesight, type Foresight } from "./foresight.ts";
import type { Held } from "./held.ts";
import { createHere } from "./here.ts";
import type { Priority } from "./jobs.ts";
import { encodeTrace, type Read, type TracedRead } from "./trace.ts";
import { askTrace } from "./traced.ts";

interface ImageFigures {
  localBytes: number;
  storedBytes: number;
  firstReadBlobs: number;
  firstReadBytes: number;
  firstReadHits: number;
  firstFetchedBytes: number;
}

export interface LazyImages {
  /** Resolves when the image's manifest is here. What its first start will read is being fetched by then, where control knows it. */
  begin(image: string): Promise<void>;
  /** A Python interpreter of the image, where it has one, is about to run source with these imports. Never rejects. */
  foretellPython(image: string, find: (manifest: Manifest) => string | undefined, imports: string): Promise<void>;
  /** For a read that waits. HobError that names image, file and reason. */
  fetch(digest: string, chunk?: number): Promise<void>;
  /** A call in a container of that image has been answered: its start is over. Never rejects. */
  answered(image: string): Promise<void>;
  /** It is mounted no more, and what is here of it may go: nothing of it is fetched until it begins again. */
  forget(image: string): void;
  /** Undefined for an image that was never fetched. */
  figures(image: string): ImageFigures | undefined;
  /** Contents that are not here, of images that have begun, in the order of their trees; counts what has come meanwhile. */
  missing(): AsyncGenerator<{ bytes: number; fetch(): Promise<void> }>;
  /** Of an image that has begun here, or of which the manifest is in the store; else undefined. */
  contentsOf(image: string): ImageContents | undefined;
}

export interface LazyHost {
  store: ContentFolder;
  fetcher: Fetcher;
  partial: Pick<PartialBlobs, "arrived" | "put">;
  held: Held;
  /** Reads of what is in the store are not seen. */
  readsPastUs(): boolean;
  /** The trace that control has; empty for none. */
  trace(image: string): Promise<Buffer>;
  seen(image: string): Promise<SeenRead[]>;
  /** A first start has been traced. */
  traced(image: string, trace: Buffer): void;
  /** A read of that image failed. */
  trouble(image: string, sentence: string): void;
  log: Log;
}

interface Lazy {
  readonly contents: ImageContents;
  readonly ahead: Ahead;
  readonly foresight: Foresight;
  /** One for each content that is here. */
  readonly local: Uint8Array;
  readonly figures: ImageFigures;
  /** No trace of it was known when it began. */
  untraced: boolean;
  answered: boolean;
  /** Reads that had to wait, by content. */
  readonly missed: Set<number>;
  readonly fetchedBefore: number;
  /** It is known whether there is a trace. */
  readonly looked: Promise<void>;
  counted: boolean;
}

const checkedInOneTurn = 500;
const keptContents = 4;
/** Where no call tells that the start is over. */
const countLateMs = 10_000;

export function createLazyImages(host: LazyHost): LazyImages {
  const { store, fetcher, log } = host;
  const here = createHere({ store, partial: host.partial, held: host.held });
  const images = new Map<string, { arrived: Promise<void>; lazy: Promise<Lazy> }>();
  const ready: Lazy[] = [];
  const others = new Map<string, ImageContents>(); // that were asked about and have not begun, oldest first

  /** `arrived`: the manifest is here. What waits for that alone goes on before the manifest is looked at, which takes some tens of milliseconds. */
  async function manifestContents(image: string, arrived: () => void): Promise<ImageContents> {
    if (!store.has(image)) await fetcher.fetch({ digest: image, image, bytes: 0 }, "foreground");
    arrived();
    await nextTurn();
    return readContents(image, store.read(image));
  }

  async function start(image: string, arrived: () => void): Promise<Lazy> {
    const fetchedBefore = fetcher.fetchedBytes;
    const reading = manifestContents(image, arrived);
    const trace = askTrace({ fetcher, has: here.has, trace: host.trace, log }, image, reading);
    const contents = await reading;
    const figures = {
      localBytes: 0,
      storedBytes: contents.bytes,
      firstReadBlobs: 0,
      firstReadBytes: 0,
      firstReadHits: 0,
      firstFetchedBytes: 0,
    };
    const foresight = createForesight({
      contents,
      want: (read) => (read.chunk === undefined ? company(lazy, read.index) : request(lazy, read, "prefetch")),
      bytesOf: (index, range) => here.bytesOf(contents, index, range),
    });
    const looked = trace.then((reads) => replay(lazy, reads));
    const lazy: Lazy = {
      looked,
      ...{ contents, foresight, ahead: createAhead(), local: new Uint8Array(contents.count), figures, untraced: true },
      ...{ answered: false, missed: new Set(), fetchedBefore, counted: false },
    };
    ready.push(lazy);
    setTimeout(() => count(lazy), countLateMs).unref();
    return lazy;
  }

  /** Fetches what the first start elsewhere has read, in that order. */
  function replay(lazy: Lazy, traced: readonly TracedRead[]): void {
    const { contents } = lazy;
    const reads = traced.filter(({ index, digest }) => index < contents.count && contents.digestAt(index) === digest);
    if (reads.length === 0) return;
    lazy.untraced = false;
    for (const read of reads) void request(lazy, read, "traced").catch(() => {}); // who reads it asks again, and is told
    log.info({ image: contents.image, reads: reads.length }, "fetching what its first start read");
  }

  function mark(lazy: Lazy, index: number, bytes: number): void {
    if (lazy.local[index]) return;
    lazy.local[index] = 1;
    lazy.figures.localBytes += bytes;
  }

  /** What of it is here. Looking at each content takes longer than a first start may. */
  async function count(lazy: Lazy): Promise<void> {
    if (lazy.counted) return;
    lazy.counted = true;
    const { contents } = lazy;
    for (let index = 0; index < contents.count; index++) {
      if (index % checkedInOneTurn === checkedInOneTurn - 1) await nextTurn();
      const { digest, bytes } = contents.wanted(index);
      if (bytes === 0 || store.has(digest)) mark(lazy, index, bytes);
    }
  }

  /** A content, or a chunk of it; a large one that is wanted whole comes chunk by chunk. */
  async function request(lazy: Lazy, { index, chunk }: Read, priority: Priority, isAbsent = false): Promise<void> {
    const { contents } = lazy;
    const chunks = contents.pieces(index).chunks;
    const whole = contents.wanted(index);
    if (whole.bytes === 0) return;
    if (chunk === undefined && chunks > 0) {
      await Promise.all(Array.from({ length: chunks }, (_, each) => request(lazy, { index, chunk: each }, priority)));
    } else {
      const wanted = chunk === undefined ? whole : contents.wanted(index, chunk);
      const { digest, bytes } = wanted;
      if (typeof wanted.chunk?.digest === "string" && isZeros(bytes, wanted.chunk.digest))
        await host.partial.put({ digest, size: whole.bytes }, chunk ?? 0, "zeros");
      else if (isAbsent || !here.has(wanted)) await fetcher.fetch(wanted, priority);
    }
    if (chunks === 0 || store.has(whole.digest)) mark(lazy, index, whole.bytes);
  }

  function fetchAhead(lazy: Lazy, { index, chunk }: Read): void {
    const { contents, ahead } = lazy;
    const quietly = (read: Read): void => void request(lazy, read, "prefetch").catch(() => {});
    if (chunk !== undefined) {
      for (const next of ahead.missedChunk(index, chunk, contents.pieces(index))) quietly({ index, chunk: next });
      return;
    }
    const { folder, indexes } = contents.neighbours(index);
    const absent = indexes.flatMap((other) => {
      const { digest, bytes } = contents.wanted(other);
      return lazy.local[other] || fetcher.underWay(digest) ? [] : [{ index: other, bytes }];
    });
    for (const other of ahead.missed(folder, absent)) company(lazy, other).catch(() => {}); // who reads it asks again, and is told
  }

  /** What comes along: until the first start is over, somebody has to ask for it to get it. */
  async function company(lazy: Lazy, index: number): Promise<void> {
    if (lazy.local[index]) return;
    await request(lazy, { index, chunk: undefined }, "prefetch");
    if (lazy.untraced && !lazy.answered && !lazy.missed.has(index) && host.readsPastUs())
      host.held.hold(lazy.contents.digestAt(index));
  }

  async function fetch(digest: string, chunk?: number): Promise<void> {
    const wasHeld = host.held.release(digest);
    const isOf = ({ contents }: Lazy): boolean => contents.indexOf(digest) >= 0;
    if (images.size > ready.length) await Promise.allSettled([...images.values()].map(({ lazy }) => lazy));
    const lazy = ready.find(isOf);
    if (!lazy) return fetcher.fetch({ digest, image: "", bytes: 0 }, "foreground");
    const { contents } = lazy;
    const index = contents.indexOf(digest);
    if (!wasHeld) lazy.missed.add(index);
    const foretold = chunk === undefined && (wasHeld || fetcher.underWay(digest) !== undefined);
    const fetched = request(lazy, { index, chunk }, "foreground", chunk !== undefined); // of chunks the daemon knows which are here
    if (lazy.untraced) lazy.foresight.begun(index);
    if (!foretold) fetchAhead(lazy, { index, chunk });
    try {
      await fetched;
    } catch (error) {
      const what = chunk === undefined ? `blob ${digest.slice(0, 12)}` : `chunk ${chunk} of blob ${digest.slice(0, 12)}`;
      const sentence = `image ${contents.image.slice(0, 12)}: file ${contents.path(index)}: ${what} could not be fetched: ${sentenceOf(error)}`;
      host.trouble(contents.image, sentence);
      throw new HobError(error instanceof HobError ? error.kind : "unavailable", sentence, { cause: error });
    }
  }

  function contentsOf(image: string): ImageContents | undefined {
    const begun = ready.find(({ contents }) => contents.image === image)?.contents ?? others.get(image);
    if (begun || !isDigest(image) || !store.has(image)) return begun;
    const contents = readContents(image, store.read(image));
    others.set(image, contents);
    if (others.size > keptContents) others.delete(others.keys().next().value as string);
    return contents;
  }

  async function answered(image: string): Promise<void> {
    const lazy = await images.get(image)?.lazy;
    if (!lazy || lazy.answered) return;
    lazy.answered = true;
    if (ready.every(({ answered: over, untraced }) => over || !untraced)) host.held.releaseAll();
    const { contents, figures, missed } = lazy;
    figures.firstFetchedBytes = fetcher.fetchedBytes - lazy.fetchedBefore;
    const seen = await host.seen(image).catch((error) => {
      log.info({ image, error: sentenceOf(error) }, "looking what an image's start has read");
      return [];
    });
    const reads = seen.flatMap(({ digest, chunk }) => {
      const index = contents.indexOf(digest);
      const { bytes } = index < 0 ? { bytes: 0 } : contents.wanted(index);
      return index < 0 ? [] : [{ index, chunk: contents.pieces(index).chunks > 0 ? chunk : undefined, digest, bytes }];
    });
    const read = new Set(reads.map(({ index }) => index));
    figures.firstReadBlobs = read.size;
    for (const index of read) if (!missed.has(index)) figures.firstReadHits++;
    for (const { index, chunk } of reads) figures.firstReadBytes += contents.wanted(index, chunk).bytes;
    if (lazy.untraced && reads.length > 0) host.traced(image, encodeTrace(image, reads));
    log.info({ image, ...figures, misses: missed.size }, "the first response in an image");
    await count(lazy);
  }

  return {
    async begin(image) {
      let begun = images.get(image);
      if (!begun) {
        const arrived = Promise.withResolvers<void>();
        begun = { arrived: arrived.promise, lazy: start(image, arrived.resolve) };
        images.set(image, begun);
        begun.lazy.catch((error) => {
          images.delete(image);
          arrived.reject(error);
        });
      }
      await begun.arrived;
    },
    async foretellPython(image, find, imports) {
      const lazy = await images.get(image)?.lazy.catch(() => undefined);
      await lazy?.looked;
      if (!lazy?.untraced || lazy.answered) return;
      const path = find(lazy.contents.manifest);
      if (path !== undefined) lazy.foresight.python(path, imports);
    },
    fetch,
    answered,
    forget(image) {
      images.delete(image);
      const at = ready.findIndex(({ contents }) => contents.image === image);
      if (at >= 0) ready.splice(at, 1);
    },
    figures: (image) => ready.find(({ contents }) => contents.image === image)?.figures,
    async *missing() {
      for (const lazy of [...ready]) {
        const { contents } = lazy;
        for (let index = 0; index < contents.count; index++) {
          if (index % checkedInOneTurn === checkedInOneTurn - 1) await nextTurn();
          if (lazy.local[index]) continue;
          const whole = contents.wanted(index);
          if (store.has(whole.digest)) mark(lazy, index, whole.bytes);
          for (let chunk = 0; !lazy.local[index] && chunk < Math.max(1, contents.pieces(index).chunks); chunk++) {
            const read: Read = { index, chunk: contents.pieces(index).chunks > 0 ? chunk : undefined };
            const wanted = contents.wanted(index, read.chunk);
            if (!here.has(wanted)) yield { bytes: wanted.bytes, fetch: () => request(lazy, read, "backfill") };
          }
        }
      }
    },
    contentsOf,
  };
}

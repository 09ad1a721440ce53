// ⑤ The one way of blobs onto this node: asked for once however many want them, from control or whom it names, checked, tried elsewhere when wrong.

import type { Clock } from "../../base/clock.ts";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { FetchElsewhere } from "../../proto/gen/hob/v1/content.ts";
import { type Assembly, createAssembly, type Keep, type Wanted } from "./assembly.ts";
import { hasMore, isMoreUrgent, type Job, nextSlices, type Priority, type Slice, weightOf } from "./jobs.ts";
import type { Asked, Source } from "./source.ts";
import { createWindow } from "./window.ts";

export interface Fetcher extends Disposable {
  /** Resolves once it is in the store, checked. Concurrent fetches of one content are one; the most urgent counts. */
  fetch(wanted: Wanted, priority: Priority): Promise<void>;
  /** A fetch of it that goes on; undefined when there is none. */
  underWay(digest: string, chunk?: number): Promise<void> | undefined;
  /** Control has answered something small after so long. */
  measured(delayMs: number): void;
  /** Since when no read has waited, in clock time; undefined while one does. */
  readonly quietSinceMs: number | undefined;
  /** Bytes that have come over links, ever. */
  readonly fetchedBytes: number;
}

export interface FetcherHost {
  keep: Keep;
  control: Source;
  /** The stream to another node, for one image. */
  peer(where: FetchElsewhere, image: string): Source;
  clock: Clock;
  log: Log;
}

/** Wrong content from control itself: so often is it asked for again. */
const corruptTries = 2;
/** Streams to control that broke with a content on its way. */
const brokenTries = 5;
/** A node that sends nothing for so long, not of anything, is left for control; it may itself be waiting for another. */
const peerPatienceMs: Readonly<Record<Priority, number>> = {
  foreground: 5_000,
  traced: 20_000,
  prefetch: 20_000,
  backfill: 20_000,
};
/** A node that sent something wrong is not asked any more. */
const distrustMs = 10 * 60_000;
/** Nor one that did not answer, for a while. */
const unreachableMs = 30_000;

interface Fetch extends Job {
  readonly wanted: Wanted;
  readonly done: PromiseWithResolvers<void>;
  assembly: Assembly;
  source: Source;
  /** Control is not to send it elsewhere any more. */
  direct: boolean;
  asked: Map<number, Asked>; // by offset
  tries: { corrupt: number; broken: number };
  /** Each new try has another number: what still arrives of the one before is let go of. */
  round: number;
  timer: NodeJS.Timeout | undefined;
}

const keyOf = (digest: string, chunk: number | undefined): string => (chunk === undefined ? digest : `${digest}:${chunk}`);

export function createFetcher(host: FetcherHost): Fetcher {
  const { keep, control, clock, log } = host;
  const fetches = new Map<string, Fetch>();
  const queue = (): Set<Fetch> => new Set();
  const waiting = { foreground: queue(), traced: queue(), prefetch: queue(), backfill: queue() };
  const shunned = new Map<string, { why: string; untilMs: number }>(); // by source; clock time
  const heardAtMs = new Map<string, number>(); // by source, of other nodes; clock time
  const window = createWindow();
  let inFlightBytes = 0;
  let fetchedBytes = 0;
  let reads = 0; // that wait
  let quietSinceMs: number | undefined = clock.now();
  let pumping = false;
  let ended = false;

  function begin(wanted: Wanted, priority: Priority): Fetch {
    const job: Fetch = {
      ...{
        key: keyOf(wanted.digest, wanted.chunk?.index),
        bytes: wanted.bytes,
        wanted,
        priority,
        askedBytes: 0,
        inFlightBytes: 0,
      },
      ...{ done: Promise.withResolvers<void>(), assembly: createAssembly(wanted, keep), source: control, direct: false },
      ...{ asked: new Map(), tries: { corrupt: 0, broken: 0 }, round: 0, timer: undefined },
    };
    job.done.promise.catch(() => {}); // what nobody waits for may fail
    watch(job);
    fetches.set(job.key, job);
    waiting[priority].add(job);
    return job;
  }

  /** What the assembly of this round comes to. */
  function watch(job: Fetch): void {
    const { assembly, round } = job;
    assembly.kept.then(
      () => job.round === round && finish(job),
      (error) => job.round === round && wrong(job, error),
    );
  }

  function finish(job: Fetch, error?: unknown): void {
    letGo(job);
    fetches.delete(job.key);
    waiting[job.priority].delete(job);
    if (error === undefined) job.done.resolve();
    else job.done.reject(error);
    if (job.priority === "foreground" && --reads === 0) quietSinceMs = clock.now();
    pump();
  }

  /** Nothing of it is on its way any more. */
  function letGo(job: Fetch): void {
    clearTimeout(job.timer);
    for (const asked of job.asked.values()) asked.cancel();
    job.asked.clear();
    inFlightBytes -= job.inFlightBytes;
    job.inFlightBytes = 0;
  }

  /** From the beginning, from that source. */
  function again(job: Fetch, source: Source): void {
    letGo(job);
    job.round++;
    job.assembly.abandon();
    job.assembly = createAssembly(job.wanted, keep);
    job.askedBytes = 0;
    job.source = source;
    waiting[job.priority].add(job);
    watch(job);
    pump();
  }

  function shun({ name }: Source, why: string, forMs: number): void {
    shunned.set(name, { why, untilMs: clock.now() + forMs });
  }

  function fromControl(job: Fetch, why: string): void {
    log.info({ blob: job.key, from: job.source.name, why }, "fetching from control instead");
    job.direct = true;
    again(job, control);
  }

  function wrong(job: Fetch, error: unknown): void {
    if (!(error instanceof HobError && error.kind === "corrupt")) return void finish(job, error);
    log.warn({ blob: job.key, from: job.source.name, error: sentenceOf(error) }, "wrong content arrived");
    if (job.source !== control) {
      shun(job.source, "it sent something wrong before", distrustMs);
      return void fromControl(job, "it sent something wrong");
    }
    job.tries.corrupt++;
    if (job.tries.corrupt > corruptTries) return void finish(job, error);
    again(job, control);
  }

  function broken(job: Fetch, error: HobError): void {
    if (ended) return void finish(job, error);
    if (job.source !== control) {
      if (error.kind === "unavailable") shun(job.source, "it did not answer before", unreachableMs);
      return void fromControl(job, error.sentence);
    }
    job.tries.broken++;
    if (job.tries.broken > brokenTries) return void finish(job, error);
    again(job, control);
  }

  function elsewhere(job: Fetch, where: FetchElsewhere): void {
    const name = `node ${where.node}`;
    const known = shunned.get(name);
    if (known && known.untilMs > clock.now()) return void fromControl(job, `${name}: ${known.why}`);
    let peer: Source;
    try {
      peer = host.peer(where, job.wanted.image);
    } catch (error) {
      return void fromControl(job, sentenceOf(error));
    }
    again(job, peer);
    bePatient(job, clock.now(), peerPatienceMs[job.priority]);
  }

  /** A node that is asked for much by many answers all of it in turn. */
  function bePatient(job: Fetch, askedAtMs: number, waitMs: number): void {
    job.timer = setTimeout(() => {
      const heardMs = Math.max(askedAtMs, heardAtMs.get(job.source.name) ?? 0);
      const leftMs = heardMs + peerPatienceMs[job.priority] - clock.now();
      if (leftMs > 0) bePatient(job, askedAtMs, leftMs);
      else fromControl(job, "it does not answer");
    }, waitMs);
  }

  function ask({ job, offset, length }: Slice<Fetch>): void {
    const { wanted, round, source } = job;
    const weight = weightOf(length);
    const atMs = clock.now();
    let at = offset;
    let pending = weight;
    job.askedBytes = offset + weight;
    if (!hasMore(job)) waiting[job.priority].delete(job);
    job.inFlightBytes += weight;
    inFlightBytes += weight;
    const current = (): boolean => job.round === round;
    /** So much of the slice is not on its way any more. */
    function landed(bytes: number): void {
      const count = Math.min(bytes, pending);
      pending -= count;
      job.inFlightBytes -= count;
      inFlightBytes -= count;
    }
    const item = {
      ...{ digest: wanted.digest, offset: (wanted.chunk?.offset ?? 0) + offset, length, image: wanted.image },
      ...{ urgent: job.priority === "foreground", direct: job.direct, squeezed: source === control && window.slow },
    };
    const asked = source.ask(item, {
      data(data, last, carried) {
        if (!current()) return;
        const nowMs = clock.now();
        if (at === offset && source === control) window.answered(nowMs - atMs, nowMs); // a neighbour says nothing of how far control is
        window.arrived(data.length, nowMs);
        fetchedBytes += carried;
        if (source !== control) heardAtMs.set(source.name, nowMs);
        clearTimeout(job.timer);
        landed(last ? pending : data.length);
        if (last) job.asked.delete(offset);
        const from = at;
        at += data.length;
        if (last && length > 0 && at !== offset + length) {
          return wrong(job, new HobError("corrupt", `blob ${wanted.digest.slice(0, 12)}: it ended too early`));
        }
        job.assembly.add(data, from, last);
        pump();
      },
      lacking(why) {
        if (!current()) return;
        if (source !== control) fromControl(job, why);
        else finish(job, new HobError("notFound", why));
      },
      elsewhere: (where) => current() && elsewhere(job, where),
      failed: (error) => current() && broken(job, error),
    });
    job.asked.set(offset, asked);
  }

  /** Asks for what there is room for; at the end of the turn, when all that wants something has said so. */
  function pump(): void {
    if (pumping || ended) return;
    pumping = true;
    queueMicrotask(() => {
      pumping = false;
      if (ended) return;
      for (const slice of nextSlices(waiting, inFlightBytes, window.bytes)) ask(slice);
    });
  }

  return {
    fetch(wanted, priority) {
      if (ended)
        return Promise.reject(new HobError("cancelled", `fetching blob ${wanted.digest.slice(0, 12)}: the node is ending`));
      const known = fetches.get(keyOf(wanted.digest, wanted.chunk?.index));
      const job = known ?? begin(wanted, priority);
      if (priority === "foreground" && !(known && known.priority === "foreground")) {
        reads++;
        quietSinceMs = undefined;
        for (const asked of job.asked.values()) asked.hurry();
      }
      if (isMoreUrgent(priority, job.priority)) {
        if (waiting[job.priority].delete(job)) waiting[priority].add(job);
        job.priority = priority;
      }
      pump();
      return job.done.promise;
    },
    measured: (delayMs) => window.answered(delayMs, clock.now()),
    underWay: (digest, chunk) => fetches.get(keyOf(digest, chunk))?.done.promise,
    get quietSinceMs() {
      return quietSinceMs;
    },
    get fetchedBytes() {
      return Math.round(fetchedBytes); // of what came squeezed each content has its share
    },
    [Symbol.dispose]() {
      ended = true;
      for (const job of [...fetches.values()]) {
        job.round++;
        job.assembly.abandon();
        finish(job, new HobError("cancelled", `fetching blob ${job.wanted.digest.slice(0, 12)}: the node is ending`));
      }
    },
  };
}

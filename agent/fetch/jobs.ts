// ⑤ What is wanted and not here yet, and what to ask for next: reads that wait, then what a trace or the files foretell, then the rest. Pure.

/** "traced": the image's first start elsewhere has read it, so this one will. */
export type Priority = "foreground" | "traced" | "prefetch" | "backfill";

const order: readonly Priority[] = ["foreground", "traced", "prefetch", "backfill"];
export const isMoreUrgent = (one: Priority, other: Priority): boolean => order.indexOf(one) < order.indexOf(other);

/** Larger contents are asked for in slices: at 100 Mbit/s one takes 10 ms. */
const sliceBytes = 128 << 10;
/** Of what will certainly be read more may be on its way than the link holds: who sends it keeps it in order, and has it read and squeezed in time. */
const tracedBytes = 16 << 20;
/** What a content of unknown size counts. */
const unknownBytes = 64 << 10;

export interface Job {
  readonly key: string;
  /** 0: not known. */
  readonly bytes: number;
  priority: Priority;
  /** Bytes asked for, from the beginning. */
  askedBytes: number;
  /** Of these, on their way. */
  inFlightBytes: number;
}

export interface Slice<J extends Job> {
  readonly job: J;
  readonly offset: number;
  /** 0: all of a content of unknown size. */
  readonly length: number;
}

export const weightOf = (length: number): number => length || unknownBytes;

export const hasMore = (job: Job): boolean => (job.bytes > 0 ? job.askedBytes < job.bytes : job.askedBytes === 0);

/** Jobs of which something is still to be asked for, in the order wanted. */
export type Waiting<J extends Job> = Readonly<Record<Priority, ReadonlySet<J>>>;

/**
 * The slices to ask for now. `window`: bytes that may be on their way ahead of reads, unless a trace foretells them. Each read that waits has one slice on its way at
 * least, whatever else is; together they may fill the window twice.
 */
export function nextSlices<J extends Job>(waiting: Waiting<J>, inFlightBytes: number, window: number): Slice<J>[] {
  const slices: Slice<J>[] = [];
  const asked = new Map<J, number>();
  let onTheWay = inFlightBytes;

  function ask(job: J): boolean {
    const offset = asked.get(job) ?? job.askedBytes;
    if (job.bytes > 0 ? offset >= job.bytes : offset > 0) return false;
    const length = job.bytes > 0 ? Math.min(sliceBytes, job.bytes - offset) : 0;
    slices.push({ job, offset, length });
    asked.set(job, offset + weightOf(length));
    onTheWay += weightOf(length);
    return true;
  }

  for (const job of waiting.foreground) if (job.inFlightBytes === 0) ask(job);
  for (let more = true; more && onTheWay < 2 * window; ) {
    more = false;
    for (const job of waiting.foreground) if (onTheWay < 2 * window && ask(job)) more = true;
  }
  for (const job of waiting.traced) while (onTheWay < Math.max(window, tracedBytes) && ask(job));
  for (const jobs of [waiting.prefetch, waiting.backfill]) {
    for (const job of jobs) {
      while (onTheWay < window && ask(job));
      if (onTheWay >= window) return slices;
    }
  }
  return slices;
}

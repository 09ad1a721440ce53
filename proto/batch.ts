// What is said on a stream within one turn of the event loop goes as one message: each write wakes the other side, and waits for the one before.

/** A message is written at once when it has reached either. */
const mostItems = 500;
const mostBytes = 256 << 10;
/** What is patient waits this long for company. */
const patienceMs = 5;

export interface Batch<T> {
  /**
   * Answers whether the stream has room, as far as is known. `bytes`: how large it is, where it may be large. `patient`:
   * what follows within milliseconds matters more to the other side, and it may come with that.
   */
  add(item: T, bytes?: number, patient?: boolean): boolean;
  /** The stream has room again. */
  drained(): void;
  /** Writes what has been added. */
  flush(): void;
  /** The stream has ended: what is added from now on is let go of. */
  close(): void;
}

/** `write` hands one message to the stream, and answers whether it wants more. */
export function createBatch<T>(write: (items: T[]) => boolean): Batch<T> {
  let items: T[] = [];
  let weight = 0;
  let open = true;
  let closed = false;
  let grouped: NodeJS.Immediate | undefined; // the end of an iteration in which something has been written already
  let late: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(late);
    late = undefined;
    if (items.length === 0) return;
    const batch = items;
    items = [];
    weight = 0;
    open = write(batch);
  }

  /** What the first callback of an event-loop iteration adds goes at that callback's end, what the others add at the iteration's. */
  function soon(): void {
    if (grouped) return;
    grouped = setImmediate(() => {
      grouped = undefined;
      flush();
    });
    process.nextTick(flush);
  }

  return {
    add(item, bytes = 0, patient = false) {
      if (closed) return true;
      items.push(item);
      weight += bytes;
      if (items.length >= mostItems || weight >= mostBytes) flush();
      else if (patient) late ??= setTimeout(flush, patienceMs);
      else soon();
      return open;
    },
    drained() {
      open = true;
    },
    flush,
    close() {
      closed = true;
      items = [];
      clearImmediate(grouped);
      clearTimeout(late);
    },
  };
}

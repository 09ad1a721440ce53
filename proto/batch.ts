// What is said on a stream within one turn of the event loop goes as one message: each write wakes the other side, and waits for the one before.

/** A message is written at once when it has reached either. */
const mostItems = 500;
const mostBytes = 256 << 10;

export interface Batch<T> {
  /** Answers whether the stream has room, as far as is known. `bytes`: how large it is, where it may be large. */
  add(item: T, bytes?: number): boolean;
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
  let due: NodeJS.Immediate | undefined;

  function flush(): void {
    clearImmediate(due);
    due = undefined;
    if (items.length === 0) return;
    const batch = items;
    items = [];
    weight = 0;
    open = write(batch);
  }

  return {
    add(item, bytes = 0) {
      if (closed) return true;
      items.push(item);
      weight += bytes;
      if (items.length >= mostItems || weight >= mostBytes) flush();
      else due ??= setImmediate(flush);
      return open;
    },
    drained() {
      open = true;
    },
    flush,
    close() {
      closed = true;
      items = [];
      clearImmediate(due);
    },
  };
}

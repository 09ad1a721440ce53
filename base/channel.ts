// A bounded queue between a producer and one consumer; what does not fit is refused or waits, never kept without limit.

export interface Channel<T> extends AsyncIterable<T> {
  /** False when full or closed; the item is then not kept. */
  offer(item: T): boolean;
  /** Resolves once there is room; rejects with the cause when the channel was closed. */
  send(item: T): Promise<void>;
  /** The consumer sees what is queued, then the end, or `cause` as a rejection. */
  close(cause?: Error): void;
  readonly size: number;
  readonly closed: boolean;
}

export function createChannel<T>(capacity: number): Channel<T> {
  const items: T[] = [];
  const senders: { item: T; resolve: () => void; reject: (cause: Error) => void }[] = [];
  let waiting: { resolve: (result: IteratorResult<T>) => void; reject: (cause: Error) => void } | undefined;
  let closed = false;
  let failure: Error | undefined;

  function offer(item: T): boolean {
    if (closed) return false;
    if (waiting) {
      const { resolve } = waiting;
      waiting = undefined;
      resolve({ value: item, done: false });
      return true;
    }
    if (items.length >= capacity) return false;
    items.push(item);
    return true;
  }

  function send(item: T): Promise<void> {
    if (offer(item)) return Promise.resolve();
    if (closed) return Promise.reject(failure ?? new Error("channel closed"));
    return new Promise((resolve, reject) => senders.push({ item, resolve, reject }));
  }

  function next(): Promise<IteratorResult<T>> {
    if (items.length > 0) {
      const value = items.shift() as T;
      const sender = senders.shift();
      if (sender) {
        items.push(sender.item);
        sender.resolve();
      }
      return Promise.resolve({ value, done: false });
    }
    if (closed) return failure ? Promise.reject(failure) : Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      waiting = { resolve, reject };
    });
  }

  function close(cause?: Error): void {
    if (closed) return;
    closed = true;
    failure = cause;
    for (const sender of senders.splice(0)) sender.reject(cause ?? new Error("channel closed"));
    if (!waiting) return;
    const { resolve, reject } = waiting;
    waiting = undefined;
    if (cause) reject(cause);
    else resolve({ value: undefined, done: true });
  }

  return {
    offer,
    send,
    close,
    get size() {
      return items.length;
    },
    get closed() {
      return closed;
    },
    [Symbol.asyncIterator]: () => ({
      next,
      return: () => {
        close();
        return Promise.resolve({ value: undefined, done: true });
      },
    }),
  };
}

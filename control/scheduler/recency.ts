// ④ Items in the order in which they were added last, walked from either end; adding and removing cost the same at any length.

export interface Recency<T> {
  readonly size: number;
  has(item: T): boolean;
  /** As the newest; one that is here already moves there. */
  add(item: T): void;
  remove(item: T): void;
  readonly first: T | undefined;
  /** From the first on. */
  oldest(): Iterable<T>;
  newest(): Iterable<T>;
}

interface Link<T> {
  item: T;
  older: Link<T> | undefined;
  newer: Link<T> | undefined;
}

export function createRecency<T>(): Recency<T> {
  const links = new Map<T, Link<T>>();
  let first: Link<T> | undefined;
  let last: Link<T> | undefined;

  function remove(item: T): void {
    const link = links.get(item);
    if (!link) return;
    links.delete(item);
    if (link.older) link.older.newer = link.newer;
    else first = link.newer;
    if (link.newer) link.newer.older = link.older;
    else last = link.older;
  }

  return {
    get size() {
      return links.size;
    },
    get first() {
      return first?.item;
    },
    has: (item) => links.has(item),
    add(item) {
      remove(item);
      const link: Link<T> = { item, older: last, newer: undefined };
      if (last) last.newer = link;
      else first = link;
      last = link;
      links.set(item, link);
    },
    remove,
    *oldest() {
      for (let link = first; link; link = link.newer) yield link.item;
    },
    *newest() {
      for (let link = last; link; link = link.older) yield link.item;
    },
  };
}

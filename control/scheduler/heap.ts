// ④ A binary heap: the least item is at hand, and adding or taking costs the logarithm of the length.

export interface Heap<T> {
  peek(): T | undefined;
  pop(): T | undefined;
  push(item: T): void;
  /** The least item has changed: it finds its place again. */
  sink(): void;
}

/** `compare` is below zero where `a` comes before `b`. */
export function createHeap<T>(compare: (a: T, b: T) => number, items: T[] = []): Heap<T> {
  function down(from: number): void {
    const item = items[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && compare(items[child + 1]!, items[child]!) < 0) child++;
      if (compare(items[child]!, item) >= 0) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
  for (let i = (items.length >> 1) - 1; i >= 0; i--) down(i);

  return {
    peek: () => items[0],
    pop() {
      const least = items[0];
      const last = items.pop();
      if (items.length > 0) {
        items[0] = last!;
        down(0);
      }
      return least;
    },
    push(item) {
      let at = items.length;
      items.push(item);
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (compare(items[parent]!, item) <= 0) break;
        items[at] = items[parent]!;
        at = parent;
      }
      items[at] = item;
    },
    sink() {
      if (items.length > 1) down(0);
    },
  };
}

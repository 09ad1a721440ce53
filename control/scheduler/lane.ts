// ④ A first-in first-out queue of waiting calls; taking from its front costs the same at any length.

export interface Lane<T> extends Iterable<T> {
  readonly size: number;
  push(item: T): void;
  /** False when it is not here. Fast for items near the front. */
  remove(item: T): boolean;
}

const compactAt = 1_024;

export function createLane<T>(): Lane<T> {
  let items: (T | undefined)[] = [];
  let head = 0;

  return {
    get size() {
      return items.length - head;
    },
    push: (item) => void items.push(item),
    remove(item) {
      const index = items.indexOf(item, head);
      if (index < 0) return false;
      if (index === head)
        items[head++] = undefined; // a call that has left must not live on here, with its arguments and result
      else items.splice(index, 1);
      if (head === items.length || (head >= compactAt && head * 2 >= items.length)) {
        items = items.slice(head);
        head = 0;
      }
      return true;
    },
    *[Symbol.iterator]() {
      for (let i = head; i < items.length; i++) yield items[i]!;
    },
  };
}

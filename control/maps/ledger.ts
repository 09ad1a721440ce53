// ⑦ Which inputs of one map wait, are out, have their result. Holds only blocks that are worked on, whatever the number of inputs. Pure, but for its own state.

import type { InputBlock } from "../engine/engine.ts";

/** Inputs in a row, of one block. */
export interface Range {
  readonly block: number; // its first input
  readonly first: number;
  readonly count: number;
}

/** A block and, where an earlier control has recorded some, its inputs that have a result. */
export interface KnownBlock extends InputBlock {
  done: readonly number[] | "all";
}

interface Block extends InputBlock {
  readonly done: Uint8Array; // 1 for each input with a result
  readonly out: Uint8Array; // 1 for each that a batch has
  left: number; // without a result
}

export interface Ledger {
  /** Inputs that could be cut now. */
  readonly waiting: number;
  readonly out: number;
  /** These blocks follow the ones before. */
  accepted(inputs: number): void;
  /** The next that wait, at most so many: they are out then. */
  cut(most: number): Range | undefined;
  /** Marks these as out, all of them that have no result; false, and nothing changes, where some are out already. */
  claim(first: number, count: number): boolean;
  /** True for the first result of that input. */
  record(index: number): boolean;
  isDone(index: number): boolean;
  /** The batch has ended: what has no result waits again, before all others, but for `held`. `alone`: the first of it is cut alone. */
  returned(range: Range, options?: { held?: ReadonlySet<number>; alone?: boolean }): void;
  /** Of a range that is out, the first without a result. */
  firstUndone(range: Range): number | undefined;
  /** A held input waits again. */
  released(index: number): void;
  /** Of the block in which it lies, the first input; undefined when nothing of it is worked on. */
  blockOf(index: number): number | undefined;
}

/** `next` answers with some blocks from that input on, in order; none when there are no more yet. `recorded`: results by an earlier control. */
export function createLedger(next: (from: number) => KnownBlock[], recorded = 0): Ledger {
  const blocks = new Map<number, Block>(); // with inputs that have no result; rising
  const queue: Range[] = []; // the first is cut next
  let loadedUntil = 0;
  let accepted = 0;
  let done = recorded;
  let out = 0;
  let held = 0;
  let last: Block | undefined;

  const holds = (block: Block, index: number): boolean => index >= block.first && index < block.first + block.count;

  function find(index: number): Block | undefined {
    if (last && holds(last, index) && last.left > 0) return last;
    for (const block of blocks.values()) {
      if (!holds(block, index)) continue;
      last = block;
      return block;
    }
    return undefined;
  }

  /** Stretches of inputs for which `wanted` holds. */
  function runs(block: Block, first: number, count: number, wanted: (offset: number) => boolean): Range[] {
    const list: Range[] = [];
    let start = -1;
    for (let index = first; index <= first + count; index++) {
      const inside = index < first + count && wanted(index - block.first);
      if (inside && start < 0) start = index;
      if (inside || start < 0) continue;
      list.push({ block: block.first, first: start, count: index - start });
      start = -1;
    }
    return list;
  }

  function load(): boolean {
    const more = next(loadedUntil);
    for (const { first, count, done: known } of more) {
      loadedUntil = first + count;
      if (known === "all") continue;
      const block: Block = { first, count, done: new Uint8Array(count), out: new Uint8Array(count), left: count - known.length };
      for (const index of known) block.done[index - first] = 1;
      if (block.left === 0) continue;
      blocks.set(first, block);
      queue.push(...runs(block, first, count, (offset) => block.done[offset] === 0));
    }
    return more.length > 0;
  }

  function cut(most: number): Range | undefined {
    for (;;) {
      const range = queue.shift();
      if (!range) {
        if (loadedUntil >= accepted || !load()) return undefined;
        continue;
      }
      const block = blocks.get(range.block);
      if (!block) continue;
      const [free, ...others] = runs(block, range.first, range.count, (o) => block.done[o] === 0 && block.out[o] === 0);
      if (!free) continue;
      const count = Math.min(most, free.count);
      if (others.length > 0) queue.unshift(...others);
      if (count < free.count) queue.unshift({ block: free.block, first: free.first + count, count: free.count - count });
      block.out.fill(1, free.first - block.first, free.first - block.first + count);
      out += count;
      return { block: free.block, first: free.first, count };
    }
  }

  return {
    get waiting() {
      return accepted - done - out - held;
    },
    get out() {
      return out;
    },
    accepted(inputs) {
      accepted = inputs;
    },
    cut,
    claim(first, count) {
      while (first >= loadedUntil) if (!load()) return false;
      const block = find(first);
      if (!block || first + count > block.first + block.count) return false;
      const from = first - block.first;
      for (let offset = from; offset < from + count; offset++) if (block.out[offset] === 1) return false;
      for (let offset = from; offset < from + count; offset++) {
        if (block.done[offset] === 1) continue;
        block.out[offset] = 1;
        out++;
      }
      return true;
    },
    record(index) {
      const block = find(index);
      const offset = block ? index - block.first : 0;
      if (!block || block.done[offset] === 1) return false;
      block.done[offset] = 1;
      done++;
      if (block.out[offset] === 1) {
        block.out[offset] = 0;
        out--;
      }
      if (--block.left === 0) blocks.delete(block.first);
      return true;
    },
    isDone(index) {
      const block = find(index);
      return block ? block.done[index - block.first] === 1 : index < loadedUntil;
    },
    firstUndone(range) {
      const block = blocks.get(range.block);
      if (!block) return undefined;
      for (let index = range.first; index < range.first + range.count; index++) {
        if (block.done[index - block.first] === 0) return index;
      }
      return undefined;
    },
    returned(range, { held: kept, alone = false } = {}) {
      const block = blocks.get(range.block);
      if (!block) return;
      const back = runs(block, range.first, range.count, (o) => block.out[o] === 1 && !kept?.has(block.first + o));
      for (let offset = range.first - block.first; offset < range.first - block.first + range.count; offset++) {
        if (block.out[offset] === 0) continue;
        block.out[offset] = 0;
        out--;
        if (kept?.has(block.first + offset)) held++;
      }
      const [suspect] = back;
      if (alone && suspect && suspect.count > 1) {
        const { first, count } = suspect;
        back.splice(0, 1, { ...suspect, count: 1 }, { ...suspect, first: first + 1, count: count - 1 });
      }
      queue.unshift(...back);
    },
    released(index) {
      held--;
      const block = find(index);
      if (block && block.done[index - block.first] === 0) queue.unshift({ block: block.first, first: index, count: 1 });
    },
    blockOf: (index) => find(index)?.first,
  };
}

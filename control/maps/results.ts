// ⑦ Results of a map as its client wants them, read from the store piece by piece: as they were recorded, or in the order of the inputs.

import type { InputBlock, MapStore, ResultPiece } from "../engine/engine.ts";
import { eachItem } from "./items.ts";
import { blockInputs } from "./sizes.ts";

/** Of one answer, unless one result alone is larger. */
const someBytes = 512 << 10;

export interface Some {
  bytes: Uint8Array;
  count: number;
  /** Where a later reader of the same order goes on. */
  position: number;
}

export interface Cursor {
  /** What follows, if it is recorded. */
  next(): Some | undefined;
}

/** A position is that of a piece. */
export function openUnordered(store: MapStore, map: number, position: number): Cursor {
  return {
    next() {
      const piece = store.resultsAfter(map, position);
      if (piece) position = piece.position;
      return piece;
    },
  };
}

/** A position is the index of the result that is wanted next. Holds where the results of one block lie, not the results, and in tables that are used again. */
export function openOrdered(store: MapStore, map: number, position: number): Cursor {
  let block: InputBlock | undefined;
  let scanned = 0; // position of the last piece of the block that has been looked through
  let piece: ResultPiece | undefined; // the one at hand
  // Of each input of the block: the piece that has its result (0: none yet), and where in it.
  let pieces = new Float64Array(blockInputs);
  let starts = new Uint32Array(blockInputs);
  let ends = new Uint32Array(blockInputs);

  function begin(next: InputBlock): void {
    block = next;
    scanned = 0;
    if (next.count > pieces.length) {
      pieces = new Float64Array(next.count);
      starts = new Uint32Array(next.count);
      ends = new Uint32Array(next.count);
    } else pieces.fill(0);
  }

  function scan({ first, count }: InputBlock): void {
    for (;;) {
      const more = store.resultsAfter(map, scanned, first);
      if (!more) return;
      piece = more;
      scanned = more.position;
      eachItem(more.bytes, "results", (index, start, end) => {
        const at = index - first;
        if (index < position || at >= count) return;
        pieces[at] = more.position;
        starts[at] = start;
        ends[at] = end;
      });
    }
  }

  /** The results from `position` on that lie in a row in one piece, one after the other; moves `position` behind them. */
  function stretch({ first, count }: InputBlock): Uint8Array {
    const from = position - first;
    const number = pieces[from]!;
    if (piece?.position !== number) piece = store.piece(number)!;
    let at = from + 1;
    while (at < count && pieces[at] === number && starts[at] === ends[at - 1] && ends[at]! - starts[from]! <= someBytes) at++;
    position = first + at;
    return piece.bytes.subarray(starts[from], ends[at - 1]);
  }

  const isFound = ({ first, count }: InputBlock): boolean => position < first + count && pieces[position - first] !== 0;

  return {
    next() {
      if (!block || position >= block.first + block.count) {
        const next = store.blockOf(map, position);
        block = undefined;
        if (!next) return undefined;
        begin(next);
      }
      const here = block!;
      if (!isFound(here)) scan(here);
      const from = position;
      const slices: Uint8Array[] = [];
      let held = 0;
      while (isFound(here) && held < someBytes) {
        const slice = stretch(here);
        slices.push(slice);
        held += slice.byteLength;
      }
      if (slices.length === 0) return undefined;
      return { bytes: slices.length === 1 ? slices[0]! : Buffer.concat(slices), count: position - from, position };
    },
  };
}

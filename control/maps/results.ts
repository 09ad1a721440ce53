// ⑦ Results of a map as its client wants them, read from the store piece by piece: as they were recorded, or in the order of the inputs.

import type { InputBlock, MapStore, ResultPiece } from "../engine/engine.ts";
import { eachItem } from "./items.ts";

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

interface Found {
  piece: number;
  start: number;
  end: number;
}

/** A position is the index of the result that is wanted next. Holds where the results of one block lie, not the results. */
export function openOrdered(store: MapStore, map: number, position: number): Cursor {
  let block: InputBlock | undefined;
  let scanned = 0; // position of the last piece of the block that has been looked through
  let found = new Map<number, Found>();
  let piece: ResultPiece | undefined; // the one at hand

  function scan(first: number): void {
    for (;;) {
      const more = store.resultsAfter(map, scanned, first);
      if (!more) return;
      piece = more;
      scanned = more.position;
      eachItem(more.bytes, "results", (index, start, end) => {
        if (index >= position) found.set(index, { piece: more.position, start, end });
      });
    }
  }

  function bytesOf({ piece: number, start, end }: Found): Uint8Array {
    if (piece?.position !== number) piece = store.piece(number)!;
    return piece.bytes.subarray(start, end);
  }

  /** The results from `position` on that lie in a row in one piece, one after the other. */
  function stretch(first: Found): { last: number; end: number } {
    let end = first.end;
    let last = position;
    for (let next = found.get(last + 1); next; next = found.get(last + 1)) {
      if (next.piece !== first.piece || next.start !== end || next.end - first.start > someBytes) break;
      end = next.end;
      last++;
    }
    return { last, end };
  }

  return {
    next() {
      if (!block || position >= block.first + block.count) {
        block = store.blockOf(map, position);
        if (!block) return undefined;
        scanned = 0;
        found = new Map();
      }
      if (!found.has(position)) scan(block.first);
      const from = position;
      const slices: Uint8Array[] = [];
      let held = 0;
      for (let first = found.get(position); first && held < someBytes; first = found.get(position)) {
        const { last, end } = stretch(first);
        const slice = bytesOf({ ...first, end });
        slices.push(slice);
        held += slice.byteLength;
        for (; position <= last; position++) found.delete(position);
      }
      if (slices.length === 0) return undefined;
      return { bytes: slices.length === 1 ? slices[0]! : Buffer.concat(slices), count: position - from, position };
    },
  };
}

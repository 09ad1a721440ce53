// ⑤ What to fetch ahead of reads that no trace foretells: the neighbours of a file that was missed, and the following chunks of a large one. Pure.

/** After the first miss in a folder so much of it comes along; four times as much after each further one. */
const firstBytes = 256 << 10;
/** A larger neighbour is no company. */
const neighbourBytes = 256 << 10;
/** Where the small files come to more, they are no package: a folder of a system's libraries. */
const folderBytes = 8 << 20;
/** Reading a file in order: 4 MiB each. */
const mostChunks = 4;

interface Neighbour {
  readonly index: number;
  readonly bytes: number;
}

export interface Ahead {
  /** A file in `folder` was missed; `neighbours`: its contents that are not here, in the order of preference, with their sizes. */
  missed(folder: number, neighbours: readonly Neighbour[]): number[];
  /** A chunk was missed, of `count`; answers those to fetch with it: more, the longer the file has been read in order. */
  missedChunk(index: number, chunk: number, count: number): number[];
}

export function createAhead(): Ahead {
  const misses = new Map<number, number>(); // by folder
  const streaks = new Map<number, { next: number; length: number }>(); // by content

  return {
    missed(folder, neighbours) {
      const before = misses.get(folder) ?? 0;
      misses.set(folder, before + 1);
      const company = neighbours.filter(({ bytes }) => bytes <= neighbourBytes);
      if (company.reduce((sum, { bytes }) => sum + bytes, 0) > folderBytes) return [];
      const room = firstBytes * 4 ** before;
      let taken = 0;
      const fits = ({ bytes }: Neighbour): boolean => {
        taken += bytes;
        return taken <= room;
      };
      return company.filter(fits).map(({ index }) => index);
    },
    missedChunk(index, chunk, count) {
      const streak = streaks.get(index);
      // With readahead under way the next miss comes somewhere within or just behind it.
      const inOrder = streak !== undefined && chunk > streak.next - streak.length - 2 && chunk <= streak.next + 1;
      const length = inOrder ? Math.min(mostChunks, streak.length * 2) : chunk === 0 ? 1 : 0;
      streaks.set(index, { next: chunk + 1 + length, length: Math.max(1, length) });
      return Array.from({ length: Math.min(length, count - chunk - 1) }, (_, step) => chunk + 1 + step);
    },
  };
}

// ⑤ What to fetch ahead of reads that no trace foretells: the neighbours of a file that was missed, and the following chunks of a large one. Pure.

/** After the first miss in a folder so much of it comes along; four times as much after each further one. */
const firstBytes = 256 << 10;
/** A larger neighbour is no company. */
const neighbourBytes = 256 << 10;
/** Where the small files come to more, they are no package: a folder of a system's libraries. */
const folderBytes = 8 << 20;
/** Reading a large file in order. */
const mostInOrderBytes = 16 << 20;
/** With so much of it for each miss a file comes whole, unless it is large: by then a link carries the rest in the time of the misses to come. */
const bytesPerMiss = 2 << 20;
const denseBytes = 8 << 20;
/** Around a miss anywhere in a large file: what a link of 100 Mbit/s carries in the 20 ms that the next miss would take. */
const aroundBytes = 512 << 10;

interface Neighbour {
  readonly index: number;
  readonly bytes: number;
}

export interface Ahead {
  /** A file in `folder` was missed; `neighbours`: its contents that are not here, in the order of preference, with their sizes. */
  missed(folder: number, neighbours: readonly Neighbour[]): number[];
  /** A chunk was missed; answers those to fetch with it: those around it, and more behind it, the longer the file has been read in order. */
  missedChunk(index: number, chunk: number, file: { chunks: number; chunkBytes: number }): number[];
}

export function createAhead(): Ahead {
  const misses = new Map<number, number>(); // by folder
  const streaks = new Map<number, { next: number; length: number; misses: number }>(); // by content

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
    missedChunk(index, chunk, { chunks, chunkBytes }) {
      const streak = streaks.get(index);
      // With readahead under way the next miss comes somewhere within or just behind it.
      const inOrder = streak !== undefined && chunk > streak.next - streak.length - 2 && chunk <= streak.next + 1;
      const around = Math.max(1, aroundBytes / chunkBytes);
      const first = chunk - (chunk % around);
      const length = inOrder ? Math.min(mostInOrderBytes / chunkBytes, streak.length * 2) : around;
      const end = Math.min(chunks, inOrder ? chunk + 1 + length : first + around);
      const count = (streak?.misses ?? 0) + 1;
      streaks.set(index, { next: end, length, misses: count });
      const bytes = chunks * chunkBytes;
      if (count === Math.ceil(bytes / bytesPerMiss) && bytes <= denseBytes)
        return Array.from({ length: chunks }, (_, step) => (first + step) % chunks).filter((each) => each !== chunk);
      return Array.from({ length: end - first }, (_, step) => first + step).filter((each) => each !== chunk);
    },
  };
}

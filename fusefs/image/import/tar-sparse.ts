// ⑤ Sparse files in a tar: where their data lie. Old GNU headers, and pax 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").

import { HobError } from "../../../base/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { BLOCK_BYTES, numberField } from "./tar-header.ts";
import { type PaxRecords, paxNumber, paxValue } from "./tar-pax.ts";

interface Segment {
  offset: number;
  bytes: number;
}

/** What a sparse file is: its size with holes, and where data lie; `mapBytes` of what is archived are the map itself. */
export interface SparseFile {
  size: number;
  segments: Segment[];
  mapBytes: number;
}

const mostSegments = 1 << 20;
/** A hole costs as much hashing as data do: no archive of some bytes keeps a machine busy for hours. */
const mostHoleBytes = 2 ** 38;

const corrupt = (what: string): HobError => new HobError("corrupt", `its map of holes ${what}`);

/** Checks that data lie in order, inside, and are what is archived. */
export function checkSparse({ size, segments, mapBytes }: SparseFile, archivedBytes: number): void {
  let end = 0;
  let data = 0;
  if (size < 0) throw corrupt("says an impossible size");
  for (const { offset, bytes } of segments) {
    if (bytes < 0 || offset < end || offset + bytes > size) throw corrupt("is not in order, or leads out of the file");
    end = offset + bytes;
    data += bytes;
  }
  if (data !== archivedBytes - mapBytes) throw corrupt("does not fit what is archived");
  if (size - data > mostHoleBytes) throw corrupt(`speaks of ${size - data} bytes, which is more than hob takes`);
}

function headerSegments(block: Buffer, from: number, count: number, segments: Segment[]): void {
  for (let at = from; at < from + count * 24; at += 24) {
    if (block[at] === 0 && block[at + 12] === 0) return;
    segments.push({
      offset: numberField(block, [at, 12], "map of holes"),
      bytes: numberField(block, [at + 12, 12], "map of holes"),
    });
    if (segments.length > mostSegments) throw corrupt("has too many entries");
  }
}

/** Type 'S': four entries in the header, 21 in each block that follows it. */
export async function oldGnuSparse(header: Buffer, source: ByteSource): Promise<SparseFile> {
  const segments: Segment[] = [];
  headerSegments(header, 386, 4, segments);
  for (let more = header[482] !== 0; more; ) {
    const block = await source.read(BLOCK_BYTES);
    if (!block) throw corrupt("is cut off");
    headerSegments(block, 0, 21, segments);
    more = block[504] !== 0;
  }
  return { size: numberField(header, [483, 12], "size"), segments, mapBytes: 0 };
}

function pairs(numbers: number[]): Segment[] {
  if (numbers.length % 2 === 1 || numbers.length > 2 * mostSegments) throw corrupt("has half an entry or too many");
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({
    offset: numbers[2 * index] as number,
    bytes: numbers[2 * index + 1] as number,
  }));
}

function whole(text: string): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw corrupt("holds something that is no number");
  return value;
}

/** 1.0: decimal lines before the data, padded to whole blocks: how many entries, then offset and bytes of each. */
async function mapBeforeData(source: ByteSource, archivedBytes: number): Promise<{ segments: Segment[]; mapBytes: number }> {
  const numbers: number[] = [];
  let mapBytes = 0;
  let line = "";
  for (let wanted = 1; numbers.length < wanted; ) {
    if (mapBytes + BLOCK_BYTES > archivedBytes) throw corrupt("is longer than the file");
    const block = await source.read(BLOCK_BYTES);
    if (!block) throw corrupt("is cut off");
    mapBytes += BLOCK_BYTES;
    for (const byte of block) {
      if (numbers.length >= wanted) break;
      if (byte !== 0x0a) {
        line += String.fromCharCode(byte);
        if (line.length > 20) throw corrupt("holds something that is no number");
        continue;
      }
      numbers.push(whole(line));
      line = "";
      if (numbers.length === 1) wanted = 1 + 2 * Math.min(numbers[0] as number, mostSegments + 1);
    }
  }
  return { segments: pairs(numbers.slice(1)), mapBytes };
}

/** What pax records say of holes; undefined for an ordinary file. Reads the map of version 1.0 from the source. */
export async function paxSparse(records: PaxRecords, source: ByteSource, archivedBytes: number): Promise<SparseFile | undefined> {
  const major = paxNumber(records, "GNU.sparse.major");
  const size = paxNumber(records, "GNU.sparse.realsize") ?? paxNumber(records, "GNU.sparse.size");
  const map = paxValue(records, "GNU.sparse.map")?.toString("latin1");
  const offsets = records.get("GNU.sparse.offset");
  if (major === undefined && map === undefined && offsets === undefined) return undefined;
  if (size === undefined) throw corrupt("says no size");
  if (major !== undefined) {
    if (major !== 1 || paxNumber(records, "GNU.sparse.minor") !== 0) throw corrupt("has a version that hob does not know");
    return { size, ...(await mapBeforeData(source, archivedBytes)) };
  }
  if (map !== undefined) return { size, segments: pairs(map.split(",").map(whole)), mapBytes: 0 };
  const lengths = records.get("GNU.sparse.numbytes") ?? [];
  if (lengths.length !== offsets?.length) throw corrupt("has half an entry");
  const numbers = offsets.flatMap((offset, index) => [offset.toString("latin1"), (lengths[index] as Buffer).toString("latin1")]);
  return { size, segments: pairs(numbers.map(whole)), mapBytes: 0 };
}

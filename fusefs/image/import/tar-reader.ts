// ⑤ Reads a tar as a stream of entries: v7, ustar, GNU and pax. No package does: tar-stream 3 and tar 7 decode pax values as UTF-8, which
// destroys file capabilities and names that are bytes, and lose their place in archives with old GNU sparse files.

import { textOfBytes } from "../../../base/byte-text.ts";
import { HobError } from "../../../base/errors.ts";
import { type ByteSource, CUT_OFF, createByteSource } from "./byte-source.ts";
import { BLOCK_BYTES, isZeroBlock, parseHeader, type TarHeader } from "./tar-header.ts";
import { type PaxRecords, parsePax, paxNumber, paxTime, paxValue, paxXattrs } from "./tar-pax.ts";
import { checkSparse, oldGnuSparse, paxSparse, type SparseFile } from "./tar-sparse.ts";

const kinds = {
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardLink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory",
  "6": "fifo",
} as const;

export interface TarEntry {
  /** As the archive has it: perhaps with "./" before and "/" behind. */
  path: string;
  kind: (typeof kinds)[keyof typeof kinds];
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  xattrs: ReadonlyMap<string, Buffer> | undefined;
  /** Of a symlink its target, of a hard link the path of the other name. */
  link: string;
  major: number;
  minor: number;
  /** Bytes of a file, holes included. */
  size: number;
  /** A file's bytes, holes as zeros; once, before the next entry is asked for. Its errors do not name the entry. */
  content(): AsyncGenerator<Buffer, void, undefined>;
}

/** Headers that speak of the next entry: names up to a path's length, pax with the xattrs of one file. */
const mostExtensionBytes = 16 << 20;
const zeros = Buffer.alloc(1 << 20);
const mostId = 0xffff_ffff;

const corrupt = (what: string): HobError => new HobError("corrupt", what);

/** What headers before an entry say of it. */
interface Extension {
  pax: Map<string, Buffer[]>;
  longName?: Buffer;
  longLink?: Buffer;
}

async function readExtension(source: ByteSource, header: TarHeader): Promise<Buffer> {
  if (header.size > mostExtensionBytes) throw corrupt(`a header of ${header.size} bytes is more than hob reads`);
  if (header.size === 0) return Buffer.alloc(0);
  const padded = Math.ceil(header.size / BLOCK_BYTES) * BLOCK_BYTES;
  const data = await source.read(padded);
  if (!data) throw corrupt("it is cut off");
  return data.subarray(0, header.size);
}

const beforeNul = (data: Buffer): Buffer => {
  const end = data.indexOf(0);
  return end < 0 ? data : data.subarray(0, end);
};

/** Whoever repeats global headers fills no memory. */
function mergeGlobal(global: PaxRecords, more: PaxRecords): PaxRecords {
  const merged = mergePax(global, more);
  let bytes = 0;
  for (const [key, values] of merged) for (const value of values) bytes += key.length + value.length;
  if (bytes > mostExtensionBytes) throw corrupt(`its global headers have more than ${mostExtensionBytes} bytes`);
  return merged;
}

function mergePax(global: PaxRecords, own: PaxRecords): PaxRecords {
  if (global.size === 0) return own;
  return new Map([...global, ...own]);
}

async function* withHoles(data: AsyncIterable<Buffer>, { size, segments }: SparseFile): AsyncGenerator<Buffer, void, undefined> {
  let at = 0;
  function* holeTo(end: number): Generator<Buffer> {
    while (at < end) {
      const piece = zeros.subarray(0, Math.min(zeros.length, end - at));
      at += piece.length;
      yield piece;
    }
  }
  let index = 0;
  let left = 0; // bytes of the segment before `index`
  for await (let piece of data) {
    while (piece.length > 0) {
      for (; left === 0; index++) {
        const { offset, bytes } = segments[index] as { offset: number; bytes: number };
        yield* holeTo(offset);
        left = bytes;
      }
      const part = piece.subarray(0, left);
      piece = piece.subarray(part.length);
      left -= part.length;
      at += part.length;
      yield part;
    }
  }
  yield* holeTo(size);
}

function describe(
  header: TarHeader,
  { longName, longLink }: Extension,
  pax: PaxRecords,
): Omit<TarEntry, "kind" | "size" | "content"> {
  const name = paxValue(pax, "GNU.sparse.name") ?? paxValue(pax, "path") ?? longName ?? header.name;
  const link = paxValue(pax, "linkpath") ?? longLink ?? header.linkName;
  const time = paxTime(pax, "mtime");
  const uid = paxNumber(pax, "uid") ?? header.uid;
  const gid = paxNumber(pax, "gid") ?? header.gid;
  if (uid < 0 || uid > mostId || gid < 0 || gid > mostId) throw corrupt(`its owner ${uid}:${gid} is impossible`);
  return {
    path: textOfBytes(name),
    mode: header.mode,
    uid,
    gid,
    mtimeSeconds: time?.seconds ?? header.mtimeSeconds,
    mtimeNanoseconds: time?.nanoseconds ?? 0,
    xattrs: paxXattrs(pax),
    link: textOfBytes(link),
    major: header.major,
    minor: header.minor,
  };
}

/** What an error is about: the entry by its name, once that is known. */
function named(name: string, error: unknown): unknown {
  if (!(error instanceof HobError)) return error;
  return new HobError(error.kind, `entry "${name}": ${error.message}`, {
    cause: error,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
  });
}

/**
 * The entries in their order; the stream is read to its end. Errors are HobErrors that name the entry: `corrupt` for what is no tar or is
 * damaged, `precondition` for kinds of entries that hob does not know. Memory is bounded by one header and the pieces of the stream.
 */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const source = createByteSource(stream);
  let globalPax: PaxRecords = new Map();
  let extension: Extension = { pax: new Map() };
  let before = ""; // the entry before, for what goes wrong between two
  try {
    for (;;) {
      let block: Buffer | undefined;
      let header: TarHeader;
      try {
        block = await source.read(BLOCK_BYTES);
        if (!block || isZeroBlock(block)) break;
        header = parseHeader(block);
        if (header.size < 0) throw corrupt(`its size is impossible (${header.size})`);
      } catch (error) {
        if (!(error instanceof HobError)) throw error;
        if (before) throw new HobError(error.kind, `after entry "${before}": ${error.message}`, { cause: error });
        throw block || error.message !== CUT_OFF ? error : corrupt("it is no tar, or it is cut off before its first entry");
      }
      const name = textOfBytes(extension.longName ?? header.name);
      if ("xgLK".includes(header.type)) {
        try {
          const data = await readExtension(source, header);
          if (header.type === "x") extension.pax = parsePax(data);
          else if (header.type === "g") globalPax = mergeGlobal(globalPax, parsePax(data));
          else if (header.type === "L") extension.longName = beforeNul(data);
          else extension.longLink = beforeNul(data);
        } catch (error) {
          throw named(name, error);
        }
        continue;
      }
      yield* entryOf(block, header, extension);
      extension = { pax: new Map() };
    }
    // To the end: whoever checks the stream's digest must see all of it.
    for await (const _ of source.rest());
  } finally {
    await source.close();
  }

  async function* entryOf(block: Buffer, header: TarHeader, own: Extension): AsyncGenerator<TarEntry, void, undefined> {
    const pax = mergePax(globalPax, own.pax);
    const described = describe(header, own, pax);
    before = described.path;
    try {
      if (header.type === "V") return; // the volume's label
      const kind = kinds[header.type as keyof typeof kinds];
      if (!kind) {
        const remedy = "pack it anew with an ordinary tar";
        throw new HobError("precondition", `it is of a kind that hob does not know ("${header.type}")`, { remedy });
      }
      // Links and the like carry no data, whatever their size says; GNU's listings of directories do.
      const hasData = kind === "file" || header.type === "D";
      const archived = hasData ? (paxNumber(pax, "size") ?? header.size) : 0;
      const padding = (BLOCK_BYTES - (archived % BLOCK_BYTES)) % BLOCK_BYTES;
      let sparse: SparseFile | undefined;
      if (header.type === "S") sparse = await oldGnuSparse(block, source);
      else if (kind === "file") sparse = await paxSparse(pax, source, archived);
      if (sparse) checkSparse(sparse, archived);
      let unread = archived - (sparse?.mapBytes ?? 0);
      async function* data(): AsyncGenerator<Buffer, void, undefined> {
        for await (const piece of source.pieces(unread)) {
          unread -= piece.length;
          yield piece;
        }
      }
      const content = () => (sparse ? withHoles(data(), sparse) : data());
      yield { ...described, kind, size: kind === "file" ? (sparse?.size ?? archived) : 0, content };
      for await (const _ of source.pieces(unread + padding));
    } catch (error) {
      throw named(described.path, error);
    }
  }
}

// ⑤ What starting a program, or loading a library, reads of its file before any of its code runs, and which libraries it asks for. Pure.
// Of ELF (System V gABI, chapters 4 and 5) 64 bits and little-endian only, which is what hob's nodes run.

/** A range of a file. */
export interface Range {
  readonly offset: number;
  readonly bytes: number;
}

export interface ElfLayout {
  /** Symbols and relocations, which are walked, and the data that are relocated. */
  readonly loaded: readonly Range[];
  /** Where the file says what it needs; undefined for a program without libraries. */
  readonly dynamic: Range | undefined;
  /** File offset of an address, or -1. */
  offsetOf(address: number): number;
}

/** What `readLayout` looks at. */
export const elfHeadBytes = 4096;
/** More than that of one segment is no symbols. */
const mostLoaded = 4 << 20;

const segment = { load: 1, dynamic: 2 } as const;
const flag = { executable: 1, writable: 2 } as const;

const u64 = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;

/** Undefined for what is no such file. */
export function readLayout(head: Buffer): ElfLayout | undefined {
  if (head.length < 64 || head.readUInt32LE(0) !== 0x46_4c_45_7f || head[4] !== 2 || head[5] !== 1) return undefined;
  const [first, size, count] = [u64(head, 32), head.readUInt16LE(54), head.readUInt16LE(56)];
  if (size < 56 || first + size * count > head.length) return undefined;
  const segments = Array.from({ length: count }, (_, index) => {
    const at = first + index * size;
    const [type, flags] = [head.readUInt32LE(at), head.readUInt32LE(at + 4)];
    return { type, flags, offset: u64(head, at + 8), address: u64(head, at + 16), bytes: u64(head, at + 32) };
  });
  const loads = segments.filter(({ type }) => type === segment.load);
  const beforeCode = loads.findIndex(({ flags }) => (flags & flag.executable) !== 0);
  const loaded = loads.filter(({ flags, bytes }, index) => {
    return bytes > 0 && bytes <= mostLoaded && (index < beforeCode || (flags & flag.writable) !== 0);
  });
  return {
    loaded: loaded.map(({ offset, bytes }) => ({ offset, bytes })),
    dynamic: segments.find(({ type, bytes }) => type === segment.dynamic && bytes > 0 && bytes < 64 << 10),
    offsetOf(address) {
      const found = loads.find((load) => address >= load.address && address < load.address + load.bytes);
      return found ? found.offset + address - found.address : -1;
    },
  };
}

const tag = { end: 0, needed: 1, strings: 5, stringsBytes: 10, rpath: 15, runpath: 29 } as const;
const mostStringsBytes = 4 << 20;

export interface ElfNeeds {
  /** Names of libraries. */
  readonly libraries: readonly string[];
  /** Folders to look for them in; `$ORIGIN` is the file's own. */
  readonly folders: readonly string[];
}

/** `dynamic`: the bytes of that section; `read`: bytes of the file. */
export function readNeeds(layout: ElfLayout, dynamic: Buffer, read: (range: Range) => Buffer | undefined): ElfNeeds {
  const found: { tag: number; value: number }[] = [];
  for (let at = 0; at + 16 <= dynamic.length; at += 16) {
    const entry = { tag: u64(dynamic, at), value: u64(dynamic, at + 8) };
    if (entry.tag === tag.end) break;
    found.push(entry);
  }
  const valueAt = (wanted: number): number => found.find((entry) => entry.tag === wanted)?.value ?? 0;
  const offset = layout.offsetOf(valueAt(tag.strings));
  const bytes = Math.min(mostStringsBytes, valueAt(tag.stringsBytes));
  const strings = offset < 0 || bytes === 0 ? undefined : read({ offset, bytes });
  const textsOf = (wanted: number): string[] =>
    found.flatMap(({ tag: is, value }) => {
      const end = is === wanted && strings ? strings.indexOf(0, value) : -1;
      return end > value ? [strings?.toString("utf8", value, end) ?? ""] : [];
    });
  return {
    libraries: textsOf(tag.needed),
    folders: [...textsOf(tag.runpath), ...textsOf(tag.rpath)].flatMap((text) => text.split(":")),
  };
}

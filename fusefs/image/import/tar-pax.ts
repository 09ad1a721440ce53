// ⑤ Records of a pax header: "LENGTH KEY=VALUE\n". Values stay bytes: a file capability or a name need not be UTF-8.

import { textOfBytes } from "../../../base/byte-text.ts";
import { HobError } from "../../../base/errors.ts";

/** A key may come more than once (GNU.sparse.offset does); the last counts where only one can. */
export type PaxRecords = ReadonlyMap<string, readonly Buffer[]>;

const corrupt = (what: string): HobError => new HobError("corrupt", `its pax header ${what}`);
const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

export function parsePax(data: Buffer): Map<string, Buffer[]> {
  const records = new Map<string, Buffer[]>();
  for (let at = 0; at < data.length; ) {
    if (data[at] === 0) break; // padding that some writers count as content
    const space = data.indexOf(SPACE, at);
    const digits = space < 0 || space - at > 10 ? "" : data.toString("latin1", at, space);
    const end = at + Number.parseInt(digits, 10);
    if (!/^[0-9]+$/.test(digits) || end > data.length || end <= space) throw corrupt("holds a record of impossible length");
    const equals = data.indexOf(EQUALS, space);
    if (equals < 0 || equals >= end || data[end - 1] !== NEWLINE) throw corrupt("holds a record without key or end");
    const key = textOfBytes(data.subarray(space + 1, equals));
    const value = data.subarray(equals + 1, end - 1);
    const present = records.get(key);
    if (present) present.push(value);
    else records.set(key, [value]);
    at = end;
  }
  return records;
}

/** The value; undefined where there is none, and for an empty one, which says that the header's own counts. */
export function paxValue(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.get(key)?.at(-1);
  return value && value.length > 0 ? value : undefined;
}

/** A whole number that is not negative. */
export function paxNumber(records: PaxRecords, key: string): number | undefined {
  const text = paxValue(records, key)?.toString("latin1");
  if (text === undefined) return undefined;
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw corrupt(`says an impossible ${key}`);
  return value;
}

/** Seconds and nanoseconds since 1970; what lies between two nanoseconds is cut towards the past. */
export function paxTime(records: PaxRecords, key: string): { seconds: number; nanoseconds: number } | undefined {
  const text = paxValue(records, key)?.toString("latin1");
  if (text === undefined) return undefined;
  const parts = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
  if (!parts) throw corrupt(`says an impossible ${key}`);
  const seconds = Number(parts[2]);
  const nanoseconds = Number((parts[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (parts[1] === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

const XATTR = "SCHILY.xattr.";

export function paxXattrs(records: PaxRecords): ReadonlyMap<string, Buffer> | undefined {
  const xattrs = new Map<string, Buffer>();
  for (const [key, values] of records) {
    // A copy: the record's bytes belong to a larger piece.
    if (key.startsWith(XATTR) && key.length > XATTR.length)
      xattrs.set(key.slice(XATTR.length), Buffer.from(values.at(-1) as Buffer));
  }
  return xattrs.size > 0 ? xattrs : undefined;
}

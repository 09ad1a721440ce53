// ⑦ Commits as the journal's messages, and back: writes by name with their fields, in parts that NATS takes. Pure.

import type { SQLInputValue } from "node:sqlite";
import { HobError } from "../../../base/errors.ts";
import {
  type JournalCommit,
  JournalCommits,
  type JournalField,
  JournalPart,
  type JournalWrite,
} from "../../../proto/gen/hob/v1/journal.ts";

function fieldOf(value: SQLInputValue): JournalField {
  if (value === null) return { value: undefined };
  if (typeof value === "string") return { value: { $case: "text", value } };
  if (typeof value === "number") return { value: { $case: "number", value } };
  if (value instanceof Uint8Array) return { value: { $case: "bytes", value: value as Buffer } };
  throw new HobError("internal", `a write has a field that the journal does not know: ${typeof value}`);
}

export const sqlValueOf = ({ value }: JournalField): SQLInputValue => value?.value ?? null;

export const writeOf = (name: string, fields: readonly SQLInputValue[]): JournalWrite => ({ name, fields: fields.map(fieldOf) });

/** Parts of at most so many bytes of data: the last says that nothing follows. */
export function partsOf(
  commits: JournalCommit[],
  { owner, schema, mostBytes }: { owner: string; schema: number; mostBytes: number },
): Uint8Array[] {
  const data = Buffer.from(JournalCommits.encode({ commits }).finish());
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < data.length; at += mostBytes) {
    const more = at + mostBytes < data.length;
    parts.push(JournalPart.encode({ owner, schema, data: data.subarray(at, at + mostBytes), more }).finish());
  }
  return parts;
}

/** Puts parts together again. What an owner left unfinished is dropped when the next one writes: nobody was told of it. */
export function createAssembly(): { take(part: JournalPart): JournalCommit[] | undefined } {
  let pieces: Buffer[] = [];
  let owner = "";
  return {
    take(part) {
      if (part.owner !== owner) pieces = [];
      owner = part.owner;
      pieces.push(part.data);
      if (part.more) return undefined;
      const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
      pieces = [];
      return JournalCommits.decode(data).commits;
    },
  };
}

// ⑧ The files of `hob map`: inputs read line by line as they are wanted, results as lines, and what a killed command had written.

import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  ftruncateSync,
  openSync,
  readSync,
  type WriteStream,
} from "node:fs";
import type { Readable } from "node:stream";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { MapResult } from "../proto/gen/hob/v1/maps.ts";

const newline = 10;
const pieceBytes = 1 << 20;
const readBytes = 64 << 10;

export interface InputLine {
  positional: Buffer;
  keywords?: Buffer;
}

/**
 * The lines of a file, some at a time as it is read: each is made when it is asked for. A line is an input; empty ones are none. With `star` it is a
 * list of arguments, or an object of them by name. Throws `usage` with the line's number.
 */
export async function* inputLines(file: string, star: boolean): AsyncGenerator<Iterable<InputLine>> {
  const source: Readable = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: readBytes });
  let rest = ""; // of a line that is not all there
  let number = 0;
  function* parse(line: string): Generator<InputLine> {
    number++;
    if (line.trim() !== "") yield inputOf(line, star, `${file === "-" ? "stdin" : file}:${number}`);
  }
  function* linesOf(piece: string): Generator<InputLine> {
    let from = 0;
    for (let end = piece.indexOf("\n"); end >= 0; end = piece.indexOf("\n", from)) {
      const line = rest + piece.slice(from, end);
      rest = "";
      from = end + 1;
      yield* parse(line);
    }
    rest += piece.slice(from);
  }
  try {
    source.setEncoding("utf8");
    for await (const piece of source as AsyncIterable<string>) yield linesOf(piece);
    yield parse(rest);
  } catch (error) {
    if (error instanceof HobError) throw error;
    throw new HobError("usage", `the inputs cannot be read: ${sentenceOf(error)}`, { cause: error });
  }
}

function inputOf(line: string, star: boolean, place: string): InputLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new HobError("usage", `${place} is not JSON`, { remedy: "write one JSON value a line" });
  }
  const text = line.trim();
  if (!star) return { positional: Buffer.from(`[${text}]`) };
  if (Array.isArray(value)) return { positional: Buffer.from(text) };
  if (typeof value === "object" && value !== null) return { positional: Buffer.from("[]"), keywords: Buffer.from(text) };
  throw new HobError("usage", `${place} is no list of arguments`, { remedy: "with --star a line is a JSON array or object" });
}

/** {"index", "value"} or {"index", "error"}. */
export function resultLine({ index, value, failure }: MapResult): string {
  if (!failure) return `{"index":${index},"value":${value?.json.toString("utf8") || "null"}}\n`;
  const { kind, type, message, traceback } = failure;
  return `${JSON.stringify({ index, error: { kind, type, message, traceback } })}\n`;
}

export interface ResultFile {
  /** Which results it has already. */
  has(index: number): boolean;
  readonly count: number;
  /** `done` is called when the text has been handed to the system. */
  write(text: string, done: () => void): void;
  close(): Promise<void>;
}

/** With `keep` the lines that it has stay, but for a last one that was cut. */
export function openResultFile(file: string, keep: boolean): ResultFile {
  if (file === "-") return resultFileOn(process.stdout, new Set(), false);
  const kept = keep && existsSync(file) ? keepWhole(file) : new Set<number>();
  let stream: WriteStream;
  try {
    stream = createWriteStream(file, { fd: openSync(file, keep ? "a" : "w") });
  } catch (error) {
    throw new HobError("usage", `the results cannot be written: ${sentenceOf(error)}`, { cause: error });
  }
  return resultFileOn(stream, kept, true);
}

function resultFileOn(stream: NodeJS.WritableStream, kept: Set<number>, own: boolean): ResultFile {
  return {
    has: (index) => kept.has(index),
    count: kept.size,
    write: (text, done) => void stream.write(text, () => done()),
    close: () => new Promise((resolve) => (own ? stream.end(() => resolve()) : stream.write("", () => resolve()))),
  };
}

/** The indexes of its whole lines; what follows the last newline is cut off. */
function keepWhole(file: string): Set<number> {
  const found = new Set<number>();
  const fd = openSync(file, "r+");
  try {
    const piece = Buffer.alloc(pieceBytes);
    let rest = Buffer.alloc(0);
    let at = 0; // of what is read
    let whole = 0; // up to the last newline
    for (;;) {
      const size = readSync(fd, piece, 0, pieceBytes, at);
      if (size === 0) break;
      at += size;
      const text = Buffer.concat([rest, piece.subarray(0, size)]);
      const end = text.lastIndexOf(newline) + 1;
      for (const [, index] of text.toString("utf8", 0, end).matchAll(/^\{"index":(\d+),/gm)) found.add(Number(index));
      whole += end;
      rest = Buffer.from(text.subarray(end));
    }
    ftruncateSync(fd, whole);
    return found;
  } finally {
    closeSync(fd);
  }
}

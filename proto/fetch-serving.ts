// ④⑤ Answers Content.Fetch, in control and in agents: urgent wants before the others, in turns; small blobs share a message.

import { once } from "node:events";
import { closeSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { FetchElsewhere, FetchPiece, FetchPieces, FetchWant, FetchWants } from "./gen/hob/v1/content.ts";
import { createSqueezer, type Squeezer } from "./squeeze.ts";
import { toServiceError } from "./status.ts";

/** One message: at 100 Mbit/s what is urgent waits 4 ms for it where it is squeezed. */
const messageBytes = 128 << 10;
/** Blobs read at once for a message of small ones. */
const mostInMessage = 32;

/** A chunk of a library, and less. */
const smallBytes = 128 << 10;
/** Where a blob can be read; `bytes` is the whole of it. */
export interface ServedContent {
  readonly bytes: number;
  read(offset: number, length: number): Promise<Buffer>;
  close?(): Promise<void>;
}

export type FetchAnswer = { content: ServedContent } | { lacking: string } | { elsewhere: FetchElsewhere };

export type FetchStream = ServerDuplexStream<FetchWants, FetchPieces>;

interface Job {
  readonly want: FetchWant;
  urgent: boolean;
  readonly content: ServedContent;
  at: number;
  readonly end: number;
  open: boolean;
}

/** `answer` says for each want where its content is; it may take its time, others go on meanwhile. */
export function serveFetch(stream: FetchStream, answer: (want: FetchWant) => Promise<FetchAnswer> | FetchAnswer): void {
  const gone = new AbortController();
  const jobs = new Map<number, Job>();
  const named = new Map<number, { urgent: boolean }>(); // wants that `answer` is still thinking about
  const ready: FetchPiece[] = []; // answers without content
  let squeezer: Squeezer | undefined;
  let writing = false;
  let ended = false;

  function leave(): void {
    gone.abort(new HobError("cancelled", "the asker left"));
    named.clear();
    for (const id of jobs.keys()) drop(id);
    if (!writing) squeezer?.[Symbol.dispose]();
  }
  stream.once("cancelled", leave);
  stream.on("error", leave);
  stream.on("end", () => {
    ended = true;
    void write();
  });
  stream.on("data", ({ wants, cancelled, hurried }: FetchWants) => {
    for (const want of wants) void take(want);
    for (const id of hurried) {
      const known = jobs.get(id) ?? named.get(id);
      if (known) known.urgent = true;
    }
    for (const id of cancelled) {
      named.delete(id);
      drop(id);
    }
    void write();
  });

  function drop(id: number): void {
    const job = jobs.get(id);
    jobs.delete(id);
    if (job) close(job);
  }

  async function take(want: FetchWant): Promise<void> {
    const naming = { urgent: want.urgent };
    named.set(want.id, naming);
    try {
      const found = await answer(want);
      const content = "content" in found ? found.content : undefined;
      const end = want.length > 0 ? want.offset + want.length : (content?.bytes ?? 0);
      const isCancelled = !named.delete(want.id);
      const isOutside = content !== undefined && (end > content.bytes || want.offset > end);
      if (isCancelled || isOutside) void content?.close?.();
      if (isCancelled) return;
      if (isOutside) ready.push(endOf(want.id, { lacking: `it has ${content.bytes} bytes only` }));
      else if (content) jobs.set(want.id, { want, urgent: naming.urgent, content, at: want.offset, end, open: true });
      else ready.push(endOf(want.id, found as Exclude<FetchAnswer, { content: unknown }>));
    } catch (error) {
      named.delete(want.id);
      ready.push(endOf(want.id, { lacking: sentenceOf(error) }));
    }
    void write();
  }

  /** Takes turns: what gets a slice goes to the end of its kind. The patient are served one after the other, in the order asked. */
  function nextSlices(): { job: Job; offset: number; length: number }[] {
    const slices: { job: Job; offset: number; length: number }[] = [];
    let room = messageBytes;
    for (const urgent of [true, false]) {
      for (const job of [...jobs.values()].filter((candidate) => candidate.urgent === urgent)) {
        if (room <= 0 || slices.length === mostInMessage) return slices;
        const length = Math.min(room, job.end - job.at);
        slices.push({ job, offset: job.at, length });
        job.at += length;
        room -= length;
        if (job.at === job.end) jobs.delete(job.want.id);
        else if (urgent) {
          jobs.delete(job.want.id);
          jobs.set(job.want.id, job);
        }
      }
      if (slices.length > 0) return slices; // nothing patient in a message that somebody waits for
    }
    return slices;
  }

  async function pieceOf({ job, offset, length }: { job: Job; offset: number; length: number }): Promise<FetchPiece> {
    const { id } = job.want;
    const last = offset + length === job.end;
    try {
      const data = await job.content.read(offset, length);
      if (data.length !== length) throw new HobError("corrupt", `${length} bytes were to be read, ${data.length} came`);
      if (last) close(job);
      return { id, data, last, lacking: "", elsewhere: undefined, squeezedFrom: job.want.squeezed ? length : 0 };
    } catch (error) {
      jobs.delete(id);
      close(job);
      return endOf(id, { lacking: sentenceOf(error) });
    }
  }

  async function squeezed(pieces: FetchPiece[]): Promise<FetchPieces> {
    const data = Buffer.concat(pieces.flatMap((piece) => (piece.squeezedFrom > 0 ? [piece.data] : [])));
    if (data.length === 0 || gone.signal.aborted) return { pieces, squeezed: Buffer.alloc(0) };
    squeezer ??= createSqueezer();
    const bare = pieces.map((piece) => (piece.squeezedFrom > 0 ? { ...piece, data: Buffer.alloc(0) } : piece));
    return { pieces: bare, squeezed: await squeezer.squeeze(data) };
  }

  async function write(): Promise<void> {
    if (writing || gone.signal.aborted) return;
    writing = true;
    try {
      for (;;) {
        const slices = nextSlices();
        if (slices.length === 0 && ready.length === 0) break;
        const pieces = [...ready.splice(0), ...(await Promise.all(slices.map(pieceOf)))];
        const message = await squeezed(pieces);
        if (gone.signal.aborted) break;
        if (!stream.write(message)) await once(stream, "drain", { signal: gone.signal });
      }
      if (ended && jobs.size === 0 && named.size === 0) {
        squeezer?.[Symbol.dispose]();
        stream.end();
      }
    } catch (error) {
      if (!gone.signal.aborted) stream.emit("error", toServiceError(error));
    } finally {
      writing = false;
      if (gone.signal.aborted) squeezer?.[Symbol.dispose]();
    }
  }
}

function close(job: Job): void {
  if (job.open) void job.content.close?.();
  job.open = false;
}

function endOf(id: number, { lacking = "", elsewhere }: { lacking?: string; elsewhere?: FetchElsewhere }): FetchPiece {
  return { id, data: Buffer.alloc(0), last: true, lacking, elsewhere, squeezedFrom: 0 };
}

/** A blob's file, of which `length` bytes are wanted, 0 for all. Little is read at once; otherwise the file stays open until the last piece. */
export async function fileContent(path: string, bytes: number, length: number): Promise<ServedContent> {
  if ((length || bytes) <= smallBytes) return { bytes, read: async (offset, count) => readSmall(path, offset, count) };
  const file = await open(path, "r");
  return {
    bytes,
    async read(offset, count) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(count), 0, count, offset);
      return buffer.subarray(0, bytesRead);
    },
    close: () => file.close(),
  };
}

/** A quarter of what another thread costs. */
function readSmall(path: string, offset: number, count: number): Buffer {
  const fd = openSync(path, "r");
  try {
    const data = Buffer.allocUnsafe(count);
    return data.subarray(0, readSync(fd, data, 0, count, offset));
  } finally {
    closeSync(fd);
  }
}

export const memoryContent = (data: Buffer): ServedContent => ({
  bytes: data.length,
  read: async (offset, length) => data.subarray(offset, offset + length),
});

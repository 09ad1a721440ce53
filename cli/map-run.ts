// ⑧ A map between two files: inputs go out as control wants them, results are written as they come, and neither are ever all in memory.

import { setFlagsFromString } from "node:v8";
import { yieldProcess } from "../base/background.ts";
import { HobError } from "../base/errors.ts";
import { garbageCollector } from "../base/rest.ts";
import { newCallId } from "../project/calls.ts";
import { type MapInfo, MapResults } from "../proto/gen/hob/v1/maps.ts";
import { type MapStream, type MapStreamOptions, openMapStream } from "../proto/map-stream.ts";
import { greatestValueBytes } from "../proto/transport.ts";
import { type InputLine, inputLines, openResultFile, resultLine } from "./map-files.ts";
import type { MapReport } from "./map-report.ts";
import { failureExitCode, failureText } from "./outcome.ts";

export interface MapWork {
  /** The id of a map that is gone on with; "" for a new one of this function. */
  resume: string;
  app: string;
  function: string;
  inputs: string;
  out: string;
  star: boolean;
  ordered: boolean;
  report: MapReport;
  /** How many inputs there are, once all have been read. */
  counted(inputs: number): void;
  signal: AbortSignal;
  interruptedBy(): NodeJS.Signals | undefined;
}

/** Inputs go out when they are so many or so large, or when the first of them has waited so long. */
const chunkInputs = 512;
const chunkBytes = 512 << 10;
const chunkMs = 10;
/** Results that may be on their way, or on their way into the file. */
const window = 8192;
/** Results after which garbage is collected, for 5 ms: what lies in buffers V8 leaves until there are 64 MiB more of it. */
const collectEvery = 6 * 1024;
/** An embedded control that was killed is there again in a second or two, another of several in ten; a machine that starts anew takes longer. */
const patienceMs = 120_000;

/** Sets the exit code. Throws what is not the function's fault. */
export async function runMap(work: MapWork, dial: (id: string) => ReturnType<MapStreamOptions["dial"]>): Promise<void> {
  const { report, signal } = work;
  // Lines are garbage at once, and V8 would take that for a reason to grow its space for young objects and never give it back.
  setFlagsFromString("--semi-space-growth-factor=1");
  yieldProcess();
  const file = openResultFile(work.out, work.resume !== "");
  const id = work.resume || newCallId();
  const ended = Promise.withResolvers<MapInfo>();
  const sending = createSending(work);
  const collect = garbageCollector();
  let written = 0;
  let collectAt = collectEvery;
  let alone = false; // it has been said that there is no connection
  let fault: unknown; // why the map was cancelled, where nobody asked for that

  const open = { id, resume: work.resume !== "", app: work.app, function: work.function, version: "", parent: "", origin: "cli" };
  const stream = openMapStream(
    { dial: () => dial(id), patienceMs, open: { ...open, detached: true, ordered: work.ordered, position: 0 } },
    {
      opened(info) {
        alone = false;
        if (!sending.begun) report.opened(info);
        sending.begin(stream, info).catch((error: unknown) => {
          fault = error;
          stream.cancel(); // without all of its inputs it is not what was asked for
        });
      },
      credit: ({ until }) => sending.allow(until),
      results({ results, count }) {
        const lines = MapResults.decode(results).results.filter(({ index }) => !file.has(index));
        file.write(lines.map(resultLine).join(""), () => {
          written += count;
          stream.take(written + window);
          if (written < collectAt) return;
          collectAt = written + collectEvery;
          collect();
        });
      },
      progress: report.progress,
      finished: (info) => (fault === undefined ? ended.resolve(info) : ended.reject(fault)),
      lost(cause) {
        if (!alone) report.write(`hob: the connection to control is lost: ${cause.sentence}; dialling again\n`);
        alone = true;
      },
      failed: (cause) => ended.reject(cause.kind === "unavailable" && sending.begun ? goOnLater(cause, id) : cause),
    },
  );
  stream.take(window);
  const interrupted = (): void => {
    if (work.interruptedBy() === "SIGINT") stream.cancel();
    else ended.reject(new HobError("cancelled", `the command was ended and the map goes on: go on with --resume ${id}`));
  };
  signal.addEventListener("abort", interrupted, { once: true });
  if (signal.aborted) interrupted();
  try {
    const info = await ended.promise;
    await file.close();
    report.finished(info);
    conclude(info, `${work.app || info.app}/${info.function}`);
  } finally {
    signal.removeEventListener("abort", interrupted);
    sending.stop();
    stream.close();
  }
}

const goOnLater = (cause: HobError, id: string): HobError =>
  new HobError("unavailable", cause.message, {
    cause,
    remedy: `the map goes on where control is: fetch the rest with --resume ${id}`,
  });

interface Sending {
  readonly begun: boolean;
  /** Once: sends what control does not have. Ends when all has been sent, or when it is stopped. */
  begin(stream: MapStream, info: MapInfo): Promise<void>;
  /** Inputs below this index may be sent. */
  allow(until: number): void;
  stop(): void;
}

function createSending({ inputs, star, counted }: MapWork): Sending {
  let begun = false;
  let stopped = false;
  let until = 0;
  let room = Promise.withResolvers<void>();

  async function send(stream: MapStream, recorded: number): Promise<void> {
    let next = 0; // index of the line that is read
    let chunk: InputLine[] = [];
    let bytes = 0;
    let timer: NodeJS.Timeout | undefined;
    const flush = (last: boolean): void => {
      clearTimeout(timer);
      timer = undefined;
      stream.send(next - chunk.length, chunk, last);
      chunk = [];
      bytes = 0;
    };
    try {
      for await (const lines of inputLines(inputs, star)) {
        for (const line of lines) {
          if (stopped) return;
          if (next < recorded) {
            next++;
            continue;
          }
          const size = line.positional.byteLength + (line.keywords?.byteLength ?? 0);
          if (size > greatestValueBytes)
            throw new HobError("usage", `input ${next} is more than ${greatestValueBytes >> 20} MiB`, {
              remedy: "pass its path",
            });
          while (next >= until) {
            if (chunk.length > 0) flush(false);
            await room.promise;
            if (stopped) return;
          }
          chunk.push(line);
          next++;
          bytes += size;
          if (chunk.length >= chunkInputs || bytes >= chunkBytes) flush(false);
          else timer ??= setTimeout(() => flush(false), chunkMs);
        }
      }
      counted(next);
      if (next < recorded) throw new HobError("usage", `the map has ${recorded} inputs and the file ${next}: it is another file`);
      flush(true);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    get begun() {
      return begun;
    },
    async begin(stream, { inputs: recorded, closed }) {
      if (begun) return;
      begun = true;
      if (!closed) await send(stream, recorded);
    },
    allow(index) {
      until = Math.max(until, index);
      room.resolve();
      room = Promise.withResolvers<void>();
    },
    stop() {
      stopped = true;
      room.resolve();
    },
  };
}

function conclude({ state, failure, failed, id }: MapInfo, name: string): void {
  if (state === "cancelled") throw new HobError("cancelled", `map ${id} was cancelled`);
  if (failure) {
    process.stderr.write(failureText(name, failure));
    process.exitCode = failureExitCode(failure);
  } else if (failed > 0) process.exitCode = 1;
}

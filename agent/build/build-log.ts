// ⑤ What a step prints, on its way to control: cut to lines, batched, and bounded, so that no flood of it can fill a queue.

import { StringDecoder } from "node:string_decoder";

export interface BuildOutput {
  /** Bytes as they come, of one stream ("stdout", "stderr"). */
  write(stream: string, bytes: Uint8Array): void;
  line(text: string): void;
  /** Ends unfinished lines and sends what waits. */
  flush(): void;
  /** The last lines, oldest first. */
  last(): string[];
}

const batchMs = 100;
const linesOfBatch = 200;
const lineCharacters = 1000; // at most 4 KiB as UTF-8
const linesKept = 60;
/** Of one step; what comes beyond is counted. */
const linesOfStep = 20_000;

/** `send` gets lines without newlines. Progress bars that return to the line's beginning show as their last state. */
export function createBuildOutput(send: (lines: string[]) => void): BuildOutput {
  const decoders = new Map<string, { decoder: StringDecoder; rest: string }>();
  let waiting: string[] = [];
  const kept: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let said = 0;
  let left = 0;

  function sendWaiting(): void {
    clearTimeout(timer);
    timer = undefined;
    if (left > 0) waiting.push(`hob: ${left} lines were left out here`);
    if (waiting.length > 0) send(waiting);
    [waiting, left] = [[], 0];
  }

  function line(text: string): void {
    const shown = text.slice(text.lastIndexOf("\r", text.length - 2) + 1).replace(/\r$/, "");
    const cut = shown.length > lineCharacters ? `${shown.slice(0, lineCharacters)}…` : shown;
    kept.push(cut);
    if (kept.length > linesKept) kept.shift();
    if (waiting.length >= linesOfBatch || said >= linesOfStep) left++;
    else {
      waiting.push(cut);
      said++;
    }
    timer ??= setTimeout(sendWaiting, batchMs);
  }

  return {
    line,
    write(stream, bytes) {
      const state = decoders.get(stream) ?? { decoder: new StringDecoder("utf8"), rest: "" };
      decoders.set(stream, state);
      const lines = (state.rest + state.decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))).split("\n");
      state.rest = (lines.pop() ?? "").slice(-lineCharacters * 8); // a line without an end is cut from its beginning
      for (const text of lines) line(text);
    },
    flush() {
      for (const state of decoders.values()) {
        const rest = state.rest + state.decoder.end();
        state.rest = "";
        if (rest !== "") line(rest);
      }
      sendWaiting();
    },
    last: () => [...kept],
  };
}

// ⑦ What waits to be told to control: results always, logs up to a bound and then counted, of samples only the latest. Pure but for its own list.

import type { AgentMessage } from "../proto/gen/hob/v1/agents.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { beginGap, isGap, widenGap } from "../proto/lost-output.ts";

export type Message = NonNullable<AgentMessage["message"]>;

/** Log lines that wait: so many, or so many characters, whichever is reached first. */
const linesKept = 20_000;
const charactersKept = 8 << 20;
/** Results that are remembered; of the oldest beyond these control will ask for another run, should it have missed them. */
const rememberedBytes = 32 << 20;
const charactersInMessage = 1 << 20;
/** Longer than it takes to notice that a connection is dead (proto/transport.ts: 10 s between pings and 5 s for the answer). */
const resultsKeptMs = 20_000;

export interface Outbox {
  /** Keeps a message until it is taken. */
  put(message: Message): void;
  /** The next to send, in order; results are remembered for a while beyond. */
  take(nowMs: number): Message | undefined;
  /** The connection was lost: results that control may not have seen are the first to be taken again. Control keeps the first of each. */
  rewind(nowMs: number): void;
  readonly waiting: number;
}

export function createOutbox(): Outbox {
  let queue: Message[] = [];
  let sentResults: { message: Message; atMs: number; bytes: number }[] = [];
  let sentBytes = 0;
  const held = { lines: 0, characters: 0 };

  function remember(message: Message, nowMs: number): void {
    if (message.$case !== "finished" && message.$case !== "child" && message.$case !== "loaded" && message.$case !== "inputs")
      return;
    const results = message.$case === "inputs" ? message.value.results.byteLength : 0;
    const bytes = 200 + results + (message.$case === "finished" ? (message.value.result?.json.byteLength ?? 0) : 0);
    sentResults.push({ message, atMs: nowMs, bytes });
    sentBytes += bytes;
    while (sentResults[0] && (sentResults[0].atMs < nowMs - resultsKeptMs || sentBytes > rememberedBytes)) {
      sentBytes -= sentResults.shift()!.bytes;
    }
  }

  function putLines(batch: LogLine[]): void {
    const last = queue.at(-1);
    const lines = last?.$case === "logs" ? last.value.lines : [];
    for (const line of batch) {
      const before = lines.at(-1);
      if (held.lines < linesKept && held.characters + line.text.length <= charactersKept) {
        lines.push(line);
        held.lines++;
        held.characters += line.text.length;
      } else if (before && isGap(before)) widenGap(before, line);
      else lines.push(beginGap(line));
    }
    if (last?.$case !== "logs" && lines.length > 0) queue.push({ $case: "logs", value: { lines } });
  }

  /** A message's worth of the lines at the head of the queue. */
  function takeLines(lines: LogLine[]): Message {
    let characters = 0;
    let count = 0;
    while (count < lines.length && (count === 0 || characters < charactersInMessage)) characters += lines[count++]!.text.length;
    const batch = lines.splice(0, count);
    for (const line of batch) {
      if (isGap(line)) continue;
      held.lines--;
      held.characters -= line.text.length;
    }
    if (lines.length === 0) queue.shift();
    return { $case: "logs", value: { lines: batch } };
  }

  return {
    put(message) {
      if (message.$case === "sample") queue = queue.filter(({ $case }) => $case !== "sample");
      if (message.$case === "logs") putLines(message.value.lines);
      else queue.push(message);
    },
    take(nowMs) {
      const first = queue[0];
      if (first?.$case === "logs") return takeLines(first.value.lines);
      const message = queue.shift();
      if (message) remember(message, nowMs);
      return message;
    },
    rewind(nowMs) {
      const unsure = sentResults.filter(({ atMs }) => atMs >= nowMs - resultsKeptMs).map(({ message }) => message);
      sentResults = [];
      sentBytes = 0;
      queue = [...unsure, ...queue];
    },
    get waiting() {
      return queue.length;
    },
  };
}

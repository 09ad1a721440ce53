// ⑦ What waits to be told to control: results always, logs up to a bound, of samples only the latest. Pure but for its own list.

import type { AgentMessage } from "../proto/gen/hob/v1/agents.ts";

export type Message = NonNullable<AgentMessage["message"]>;

const linesKept = 20_000;
/** Longer than it takes to notice that a connection is dead (proto/transport.ts: 10 s between pings and 5 s for the answer). */
const resultsKeptMs = 20_000;

export interface Outbox {
  /** Keeps a message until it is taken. */
  put(message: Message): void;
  /** The next to send, in order; results are remembered for a while beyond. */
  take(nowMs: number): Message | undefined;
  /** A message that was sent without waiting here. */
  sent(message: Message, nowMs: number): void;
  /** The connection was lost: results that control may not have seen are the first to be taken again. Control keeps the first of each. */
  rewind(nowMs: number): void;
  readonly waiting: number;
}

export function createOutbox(): Outbox {
  let queue: Message[] = [];
  let sentResults: { message: Message; atMs: number }[] = [];
  let lines = 0;
  let droppedLines = 0;

  function remember(message: Message, nowMs: number): void {
    if (message.$case !== "finished" && message.$case !== "child" && message.$case !== "loaded") return;
    while (sentResults[0] && sentResults[0].atMs < nowMs - resultsKeptMs) sentResults.shift();
    sentResults.push({ message, atMs: nowMs });
  }

  return {
    put(message) {
      if (message.$case === "sample") queue = queue.filter(({ $case }) => $case !== "sample");
      if (message.$case === "logs") {
        const batch = message.value.lines;
        const room = Math.max(0, linesKept - lines);
        const kept = batch.slice(0, room);
        const first = kept[0];
        if (first && droppedLines > 0) {
          kept[0] = { ...first, dropped: first.dropped + droppedLines };
          droppedLines = 0;
        }
        droppedLines += batch.length - kept.length;
        if (kept.length === 0) return;
        lines += kept.length;
        queue.push({ $case: "logs", value: { lines: kept } });
        return;
      }
      queue.push(message);
    },
    take(nowMs) {
      const message = queue.shift();
      if (!message) return undefined;
      if (message.$case === "logs") lines -= message.value.lines.length;
      remember(message, nowMs);
      return message;
    },
    sent: remember,
    rewind(nowMs) {
      const unsure = sentResults.filter(({ atMs }) => atMs >= nowMs - resultsKeptMs).map(({ message }) => message);
      sentResults = [];
      queue = [...unsure, ...queue];
    },
    get waiting() {
      return queue.length;
    },
  };
}

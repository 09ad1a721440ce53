// ⑦ What waits to be told to control, or was told and not acknowledged: results always, logs up to a bound and then counted, of samples only the latest. Pure but for its own lists.

import type { AgentMessage } from "../proto/gen/hob/v1/agents.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { isKept } from "../proto/kept.ts";
import { createGaps, isGap } from "../proto/lost-output.ts";

export type Message = NonNullable<AgentMessage["message"]>;

/** Log lines that wait: so many, or so many characters, whichever is reached first. */
const linesKept = 20_000;
const charactersKept = 8 << 20;
/** What is kept until it is acknowledged, which takes half a second; of the oldest beyond these control will ask for another run, should it have missed them. */
const keptBytes = 64 << 20;
const charactersInMessage = 1 << 20;

export interface Outbox {
  /** Keeps a message until it is taken. */
  put(message: Message): void;
  /** The next to send, in order; what counts (proto/kept.ts) is kept until it is acknowledged. */
  take(): Message | undefined;
  /** Control has recorded so many of those that count. */
  acknowledge(count: number): void;
  /** On a new connection, of which control has said that it has so many: the others are the first to be taken again. */
  resume(count: number): void;
  /** Calls that have ended, of which control may not know it. */
  unacknowledged(): string[];
  readonly waiting: number;
}

export function createOutbox(): Outbox {
  let queue: Message[] = [];
  let kept: { message: Message; number: number; bytes: number }[] = [];
  let keptNow = 0; // bytes
  let taken = 0; // of those that count
  const held = { lines: 0, characters: 0 };
  const gaps = createGaps(); // after all that waits

  function keep(message: Message): void {
    if (!isKept(message)) return;
    const bytes = 200 + bytesOf(message);
    kept.push({ message, number: ++taken, bytes });
    keptNow += bytes;
    while (keptNow > keptBytes) keptNow -= kept.shift()!.bytes;
  }

  function acknowledge(count: number): void {
    let known = 0;
    for (; known < kept.length && kept[known]!.number <= count; known++) keptNow -= kept[known]!.bytes;
    if (known > 0) kept = kept.slice(known);
  }

  function hold(lines: LogLine[], sign: 1 | -1): void {
    for (const line of lines) {
      if (isGap(line)) continue;
      held.lines += sign;
      held.characters += sign * line.text.length;
    }
  }

  /** The lines at the end of the queue, to be added to. */
  function lastLines(): LogLine[] {
    const last = queue.at(-1);
    if (last?.$case === "logs") return last.value.lines;
    const lines: LogLine[] = [];
    queue.push({ $case: "logs", value: { lines } });
    return lines;
  }

  function closeGaps(): void {
    const lost = gaps.take();
    if (lost.length > 0) lastLines().push(...lost);
  }

  function putLines(batch: LogLine[]): void {
    for (const line of batch) {
      if (held.lines < linesKept && held.characters + line.text.length <= charactersKept) {
        closeGaps();
        lastLines().push(line);
        held.lines++;
        held.characters += line.text.length;
      } else gaps.lose(line);
    }
  }

  /** A message's worth of the lines at the head of the queue. */
  function takeLines(lines: LogLine[]): Message {
    let characters = 0;
    let count = 0;
    while (count < lines.length && (count === 0 || characters < charactersInMessage)) characters += lines[count++]!.text.length;
    const batch = lines.splice(0, count);
    hold(batch, -1);
    if (lines.length === 0) queue.shift();
    const message: Message = { $case: "logs", value: { lines: batch } };
    keep(message);
    return message;
  }

  return {
    put(message) {
      if (message.$case === "sample") queue = queue.filter(({ $case }) => $case !== "sample");
      if (message.$case === "logs") return putLines(message.value.lines);
      closeGaps();
      queue.push(message);
    },
    take() {
      closeGaps();
      const first = queue[0];
      if (first?.$case === "logs") return takeLines(first.value.lines);
      const message = queue.shift();
      if (message) keep(message);
      return message;
    },
    acknowledge,
    resume(count) {
      acknowledge(count);
      const again = kept.map(({ message }) => message);
      for (const message of again) if (message.$case === "logs") hold(message.value.lines, 1);
      queue = [...again, ...queue];
      kept = [];
      keptNow = 0;
      taken = count;
    },
    unacknowledged: () =>
      [...kept.map(({ message }) => message), ...queue].flatMap((message) =>
        message.$case === "finished" ? [message.value.call] : message.$case === "inputs" ? [message.value.batch] : [],
      ),
    get waiting() {
      return queue.length;
    },
  };
}

/** Of what may be large. */
export function bytesOf(message: Message): number {
  switch (message.$case) {
    case "finished":
      return message.value.result?.json.byteLength ?? 0;
    case "child":
      return (message.value.arguments?.positional.byteLength ?? 0) + (message.value.arguments?.keywords.byteLength ?? 0);
    case "logs":
      return message.value.lines.reduce((sum, { text }) => sum + text.length, 0);
    case "inputs":
      return message.value.results.byteLength;
    default:
      return 0;
  }
}

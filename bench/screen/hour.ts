// An hour of work as a recorded session: a save every ten seconds with its call and result, output all the time, the pool's samples, keys.

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { WorkbenchEvent } from "../../project/events.ts";
import { startEvents } from "../../test/tui/recording.ts";
import { eventLine, headerLine, type SessionEvent } from "../../tui/recording/format.ts";
import { columns, rows, textOf } from "./rival.ts";

export const hourMs = 3_600_000;
const saveEveryMs = 10_000;
const linesPerSecond = 40;

type EventOf<K extends WorkbenchEvent["kind"]> = Extract<WorkbenchEvent, { kind: K }>;

function latest<K extends WorkbenchEvent["kind"]>(events: readonly WorkbenchEvent[], kind: K): EventOf<K> {
  return events.findLast((event): event is EventOf<K> => event.kind === kind)!;
}

export async function writeHour(file: string): Promise<void> {
  const startedAtMs = Date.now();
  const out = createWriteStream(file);
  const write = async (atMs: number, event: SessionEvent): Promise<void> => {
    if (!out.write(`${eventLine({ atMs, event })}\n`)) await once(out, "drain");
  };
  out.write(`${headerLine({ startedAtMs, pool: "local", build: "bench", columns, rows })}\n`);
  const start = startEvents("working");
  const [call, receipt, fleet] = [latest(start, "call"), latest(start, "receipt"), latest(start, "fleet")];
  for (const event of start) await write(0, event);
  let seq = 0;
  for (let atMs = 500; atMs <= hourMs; atMs += 500) {
    const timeMs = startedAtMs + atMs;
    const number = 100 + Math.floor(atMs / saveEveryMs);
    const id = `${number}`.padStart(16, "0");
    if (atMs % saveEveryMs === 0) {
      await write(atMs, { kind: "receipt", receipt: { ...receipt.receipt, id: number, snapshot: id, savedAtMs: timeMs } });
      const times = { queuedAtMs: timeMs, startedAtMs: timeMs, finishedAtMs: timeMs + 12 };
      await write(atMs, { ...call, call: { ...call.call, id, number, snapshot: id, ...times } });
    }
    const lines = Array.from({ length: linesPerSecond / 2 }, () => {
      seq += 1;
      const stream = seq % 9 === 0 ? "stderr" : "stdout";
      return { call: id, app: "images", function: "embed", container: "", stream, timeMs, text: textOf(seq), dropped: 0, seq };
    });
    await write(atMs, { kind: "logs", lines });
    const latency = { latencyP50Ms: 12 + (seq % 7), latencyP99Ms: 40 + (seq % 31) };
    await write(atMs, { ...fleet, sample: { ...fleet.sample, timeMs, ...latency } });
    if (atMs % 2_000 === 0) await write(atMs, { kind: "key", key: atMs % 4_000 === 0 ? "j" : "k", nowMs: timeMs });
  }
  out.end();
  await once(out, "close");
}

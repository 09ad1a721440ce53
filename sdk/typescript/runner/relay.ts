// ⑥ Output on its way to the agent: whose it is, and what is dropped and counted when the agent takes it too slowly.

import type { Socket } from "node:net";
import type { Child } from "./children.ts";
import { encodeFrame, type Frame } from "./frames.ts";
import type { Lines } from "./output.ts";
import { speakerOf, type Work } from "./work.ts";

/** Output that the agent has not taken yet; beyond it lines are dropped and counted. */
const queuedOutputBytes = 4 << 20;

interface Relay {
  output(child: Child, stream: "stdout" | "stderr", groups: Lines[]): void;
  /** A process has cut it itself: it is of one of several calls, or of an input. */
  pass(child: Child, frame: Frame & { name: "output" }): void;
  /** Gives out lines that have no end yet. */
  flush(child: Child): void;
}

/** Output that nobody can be named for is that of what has run longest. */
const speaking = (child: Child): [string, Work] | [] => child.running.entries().next().value ?? [];
/** The key of what is known by that call or map. */
const keyOfSpeaker = ({ running }: Child, call: string): string =>
  [...running].find(([, work]) => speakerOf(work) === call)?.[0] ?? call;

function addDropped(child: Child, id: string, bytes: number): void {
  if (bytes > 0) child.dropped.set(id, (child.dropped.get(id) ?? 0) + bytes);
}

export function createRelay(agent: Socket): Relay {
  function output(child: Child, stream: "stdout" | "stderr", groups: Lines[]): void {
    const [key = "", work] = speaking(child);
    const call = work ? speakerOf(work) : "";
    for (const { dropped, text } of groups) {
      if (agent.writableLength > queuedOutputBytes) {
        child.cutters[stream].drop(dropped + text.byteLength + 1);
        continue;
      }
      addDropped(child, key, dropped);
      agent.write(encodeFrame("output", { call, stream, timeMs: Date.now(), dropped }, text));
    }
  }

  return {
    output,
    pass(child, { head, payload, raw }) {
      if (agent.writableLength <= queuedOutputBytes) agent.write(raw);
      else addDropped(child, keyOfSpeaker(child, head.call), head.dropped + payload.byteLength + 1);
    },
    flush(child) {
      for (const stream of ["stdout", "stderr"] as const) {
        output(child, stream, child.cutters[stream].flush());
        addDropped(child, speaking(child)[0] ?? "", child.cutters[stream].takeDropped());
      }
    },
  };
}

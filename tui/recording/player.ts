// ⑧ Lives a recorded session again, at another speed or event by event, as a workbench that runs nothing.

import { open } from "node:fs/promises";
import { StringDecoder } from "node:string_decoder";
import { HobError } from "../../base/errors.ts";
import type { Workbench } from "../../project/events.ts";
import type { ReplayChange, ReplayState } from "../model/replay.ts";
import { type RecordedEvent, type RecordingHeader, readEvent, readHeader } from "./format.ts";

export interface Player {
  readonly header: RecordingHeader;
  /** Takes no calls: what is asked of it throws a HobError that says why. */
  readonly workbench: Workbench;
  readonly state: ReplayState;
  /** The recording's clock. */
  nowMs(): number;
  change(change: ReplayChange): void;
  /** Gives each event when its time has come. Resolves at the end of the recording. */
  play(take: (event: RecordedEvent["event"]) => void, changed: (state: ReplayState) => void): Promise<void>;
}

const mostBehindMs = 1_000; // of real time
const slowest = 1 / 8;
const fastest = 64;

const readBytes = 64 * 1024;

/** All of it through one buffer: a stream takes another for each read, and an hour of them grew the process by 10 MB. */
async function* recordedLines(path: string): AsyncGenerator<string> {
  await using file = await open(path);
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, readBytes, null);
    if (bytesRead === 0) break;
    const lines = (rest + decoder.write(buffer.subarray(0, bytesRead))).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  rest += decoder.end();
  if (rest !== "") yield rest;
}

/** The header, and the events as they are asked for: a recording can be larger than memory. */
export async function openRecording(path: string): Promise<{ header: RecordingHeader; events: AsyncIterable<RecordedEvent> }> {
  const lines = recordedLines(path);
  let first: IteratorResult<string>;
  try {
    first = await lines.next();
  } catch (error) {
    throw new HobError("usage", `${path} cannot be read: ${(error as Error).message}`, { remedy: "name a recorded session" });
  }
  const header = readHeader(first.done ? "" : first.value, path);
  async function* events(): AsyncGenerator<RecordedEvent> {
    let number = 1;
    for await (const line of lines) {
      number += 1;
      const event = line === "" ? undefined : readEvent(line, `${path}:${number}`);
      if (event) yield event;
    }
  }
  return { header, events: events() };
}

export interface PlayerOptions {
  header: RecordingHeader;
  events: AsyncIterable<RecordedEvent>;
  speed: number;
  /** Begins paused. */
  step: boolean;
  /** A clock that only goes on, in milliseconds. */
  clockMs(): number;
}

export function createPlayer({ header, events, speed, step, clockMs }: PlayerOptions): Player {
  let state: ReplayState = { startedAtMs: header.startedAtMs, speed, state: step ? "paused" : "playing" };
  let anchor = { realMs: clockMs(), atMs: 0 }; // where the recording's clock stood, and when
  let steps = 0;
  let wake = Promise.withResolvers<void>();
  let tell: (state: ReplayState) => void = () => {};

  const positionMs = (): number =>
    state.state === "playing" ? anchor.atMs + (clockMs() - anchor.realMs) * state.speed : anchor.atMs;

  function set(next: Partial<ReplayState>): void {
    anchor = { realMs: clockMs(), atMs: positionMs() };
    state = { ...state, ...next };
    tell(state);
    wake.resolve();
    wake = Promise.withResolvers();
  }

  /** Resolves when the recording's clock has come to `atMs`, or a step was asked for. */
  async function until(atMs: number): Promise<void> {
    while (state.state === "playing" ? positionMs() < atMs : steps === 0) {
      const { promise } = wake;
      if (state.state === "playing") {
        const timer = setTimeout(wake.resolve, Math.max(0, (atMs - positionMs()) / state.speed));
        await promise;
        clearTimeout(timer);
        wake = Promise.withResolvers();
      } else await promise;
    }
    if (state.state === "playing") {
      // A process that was stopped (ctrl-z) goes on where it was, and does not race after the time that has gone by.
      if (positionMs() - atMs > mostBehindMs * state.speed) anchor = { realMs: clockMs(), atMs };
      return;
    }
    steps -= 1;
    anchor = { realMs: clockMs(), atMs };
  }

  const refuse = (): never => {
    throw new HobError("usage", "this is a recorded session: nothing runs", {
      remedy: "`hob dev PATH` opens a project of yours",
    });
  };

  return {
    header,
    get state() {
      return state;
    },
    nowMs: () => header.startedAtMs + positionMs(),
    change(change) {
      if (state.state === "over") return;
      if (change === "pause") set({ state: state.state === "playing" ? "paused" : "playing" });
      else if (change === "step") {
        steps += 1;
        set({ state: "paused" });
      } else set({ speed: Math.min(fastest, Math.max(slowest, state.speed * (change === "faster" ? 2 : 0.5))) });
    },
    async play(take, changed) {
      tell = changed;
      tell(state);
      anchor = { realMs: clockMs(), atMs: 0 };
      for await (const { atMs, event } of events) {
        await until(atMs);
        take(event);
      }
      set({ state: "over" });
    },
    workbench: {
      events: nothingMore(),
      call: refuse,
      // What control kept in its store was not recorded.
      value: (value) => (value.json.length > 0 ? Promise.resolve(value.json) : refuse()),
      ...{ inspect: refuse, operations: refuse, deploy: refuse },
      cancel: refuse,
      dialMap: refuse,
      settled: refuse,
      pin: refuse,
      unpin: refuse,
      pause: () => {}, // the screen pauses the replay instead
      async [Symbol.asyncDispose]() {},
    },
  };
}

/** A workbench's events that never come: the player gives the recorded ones. */
async function* nothingMore(): AsyncGenerator<never> {
  await new Promise(() => {});
}

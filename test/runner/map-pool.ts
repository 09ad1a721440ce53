// ⑥ For tests: what answers the maps that functions make, in place of control: a window of inputs, and a result for each.

import { cutPayload, type FrameHeads } from "../../agent/runner/frames.ts";
import type { MapFrame } from "../../agent/runner/runner.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";

interface MapPool {
  hear(frame: MapFrame): void;
  /** The most inputs that were sent and had no result. */
  readonly most: number;
  readonly cancelled: string[];
  readonly opened: FrameHeads["map"][];
}

/** `answer` gives the result of an input's arguments, or throws a Failure. Where they are unordered, those of a turn come newest first. */
export function createMapPool(
  tell: (head: FrameHeads["mapNews"], payload: Buffer[]) => void,
  answer: (args: unknown[]) => unknown,
  window = 64,
): MapPool {
  const maps = new Map<
    string,
    { ordered: boolean; taken: number; sent: number; waiting: [number, unknown[]][]; closed: boolean }
  >();
  const pool = { hear, most: 0, cancelled: [] as string[], opened: [] as FrameHeads["map"][] };

  function hear(frame: MapFrame): void {
    const id = frame.head.map;
    if (frame.name === "map") {
      pool.opened.push(frame.head);
      maps.set(id, { ordered: frame.head.ordered, taken: 0, sent: 0, waiting: [], closed: false });
      tell({ map: id, recorded: 0, until: window }, []);
    }
    const map = maps.get(id);
    if (!map) return;
    if (frame.name === "mapCancel") {
      pool.cancelled.push(id);
      maps.delete(id);
    } else if (frame.name === "mapTake") map.taken = frame.head.results;
    else if (frame.name === "mapInputs") {
      const pieces = cutPayload(frame, frame.head.sizes);
      for (const [at, piece] of pieces.entries())
        map.waiting.push([frame.head.first + at, JSON.parse(piece.toString()) as unknown[]]);
      map.closed ||= frame.head.last;
      pool.most = Math.max(pool.most, map.waiting.length);
    }
    setImmediate(() => work(id)); // on a later turn, so that inputs sent beyond the window are seen first
  }

  function work(id: string): void {
    const map = maps.get(id);
    if (!map) return;
    const ready = map.waiting.splice(0, Math.max(0, map.taken - map.sent));
    map.sent += ready.length;
    if (!map.ordered) ready.reverse();
    const head = { map: id, indexes: [] as number[], sizes: [] as number[], failures: [] as Failure[] };
    const payload: Buffer[] = [];
    for (const [index, args] of ready) {
      head.indexes.push(index);
      try {
        const json = Buffer.from(JSON.stringify(answer(args)));
        head.sizes.push(json.byteLength);
        payload.push(json);
      } catch (failure) {
        head.sizes.push(-1);
        head.failures.push(failure as Failure);
      }
    }
    const known = map.sent + map.waiting.length;
    const finished = map.closed && map.waiting.length === 0;
    if (finished) maps.delete(id);
    if (ready.length > 0 || finished) tell({ ...head, recorded: known, until: known + window, finished }, payload);
    else tell({ map: id, recorded: known, until: known + window }, []);
  }

  return pool;
}

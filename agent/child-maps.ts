// ⑥ Maps that functions make: each a stream of its own between control and the process that makes it.

import type { Log } from "../base/log.ts";
import type { Failure } from "../proto/gen/hob/v1/common.ts";
import { MapResults } from "../proto/gen/hob/v1/maps.ts";
import { type MapStream, type MapStreamOptions, mapFailure, openMapStream } from "../proto/map-stream.ts";
import { greatestValueBytes } from "../proto/transport.ts";
import { cutPayload, type FrameHeads } from "./runner/frames.ts";
import type { MapFrame } from "./runner/runner.ts";

type News = FrameHeads["mapNews"];

export interface ChildMapsHost {
  /** A stream to control for a map of a function of that app. */
  dial(app: string, name: string, map: string): ReturnType<MapStreamOptions["dial"]>;
  /** To the process that made the map. */
  tell(head: News, payload?: readonly Uint8Array[]): void;
  /** The app of who makes it, where it names none. */
  appOf(parent: string): string;
  log: Log;
}

export interface ChildMaps {
  /** What a process says of its maps. */
  hear(frame: MapFrame): void;
  /** Whoever made them is gone. */
  close(): void;
}

/** Control may be restarted meanwhile; the process that waits has nobody else to ask. */
const patienceMs = 120_000;

export function createChildMaps(host: ChildMapsHost): ChildMaps {
  const maps = new Map<string, MapStream>();
  const refused = new Map<string, Failure>(); // why we have ended a map

  function open({ map, parent, app, function: name, ordered, spawned }: FrameHeads["map"]): void {
    const finish = (seen: Failure | undefined): void => {
      maps.delete(map);
      const failure = refused.get(map) ?? seen;
      refused.delete(map);
      host.tell({ map, finished: true, ...(failure ? { failure } : {}) });
    };
    const origin = spawned ? "spawn" : parent ? "function" : "cli";
    const target = app || host.appOf(parent);
    const opening = { id: map, resume: false, app: target, function: name, version: "", parent, origin };
    const stream = openMapStream(
      { dial: () => host.dial(target, name, map), patienceMs, open: { ...opening, detached: spawned, ordered, position: 0 } },
      {
        opened: () => {},
        progress: () => {},
        credit: ({ recorded, until }) => host.tell({ map, recorded, until }),
        results: ({ results }) => host.tell(...newsOf(map, results)),
        finished: (info) => finish(mapFailure(info)),
        lost: (cause) => host.log.warn({ map, cause: cause.sentence }, "the stream of a function's map is lost"),
        failed: (cause) => {
          const kind = cause.kind === "notFound" || cause.kind === "usage" ? "arguments" : "infrastructure";
          finish({ kind, type: "", message: cause.sentence, traceback: "", frames: [] });
        },
      },
    );
    maps.set(map, stream);
  }

  return {
    hear(frame) {
      if (frame.name === "map") return open(frame.head);
      const map = maps.get(frame.head.map);
      if (!map) return;
      if (frame.name === "mapTake") map.take(frame.head.results);
      else if (frame.name === "mapCancel") map.cancel();
      else {
        const pieces = cutPayload(frame, frame.head.sizes).map((positional) => ({ positional }));
        const large = pieces.findIndex(({ positional }) => positional.byteLength > greatestValueBytes);
        if (large < 0) return map.send(frame.head.first, pieces, frame.head.last);
        const message = `input ${frame.head.first + large} is more than ${greatestValueBytes >> 20} MiB as JSON: pass less at a time`;
        refused.set(frame.head.map, { kind: "arguments", type: "", message, traceback: "", frames: [] });
        map.cancel();
      }
    },
    close() {
      for (const map of maps.values()) map.close();
      maps.clear();
    },
  };
}

function newsOf(map: string, bytes: Uint8Array): [News, Buffer[]] {
  const head = { map, indexes: [] as number[], sizes: [] as number[], failures: [] as Failure[] };
  const payload: Buffer[] = [];
  for (const { index, value, failure } of MapResults.decode(bytes).results) {
    head.indexes.push(index);
    head.sizes.push(failure ? -1 : (value?.json.byteLength ?? 0));
    if (failure) head.failures.push(failure);
    else if (value) payload.push(value.json);
  }
  return [head, [Buffer.concat(payload)]];
}

// ⑥ The calls and maps that functions make, between the bundle's side of the channel and the frames.

import type { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { installChannel, type MapNews, type RemoteOutcome } from "../channel.ts";
import { cutPayload, type Frame, type FrameName, type Heads } from "./frames.ts";
import type { Speaker } from "./voices.ts";

export type Outcome = RemoteOutcome;

type Send = <K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]) => void;

const newId = (): string => randomBytes(8).toString("hex");

export function installLink(within: AsyncLocalStorage<Speaker>, send: Send): { receive(frame: Frame): void } {
  const calls = new Map<string, (outcome: Outcome) => void>();
  const maps = new Map<string, (news: MapNews) => void>();
  const parent = (): string => within.getStore()?.call ?? "";

  installChannel({
    start(app, functionName, positional, origin) {
      const id = newId();
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      calls.set(id, resolve);
      const data = Buffer.from(positional);
      const sizes = { positional: data.byteLength, keywords: 0 };
      send("childCall", { id, parent: parent(), app, function: functionName, origin, ...sizes }, data);
      return {
        ...{ id, outcome: promise },
        cancel: () => send("childCancel", { id }),
        awaited: () => origin === "spawn" && calls.has(id) && send("childWait", { id }),
      };
    },
    map(start, hear) {
      const map = newId();
      maps.set(map, hear);
      send("map", { map, parent: parent(), ...start });
      return {
        id: map,
        send(first, inputs, last) {
          const pieces = inputs.map((input) => Buffer.from(input));
          send("mapInputs", { map, first, sizes: pieces.map(({ byteLength }) => byteLength), last }, ...pieces);
        },
        take: (results) => send("mapTake", { map, results }),
        cancel() {
          maps.delete(map);
          send("mapCancel", { map });
        },
      };
    },
  });

  return {
    receive(frame) {
      if (frame.name === "childResult") {
        const { id, failure } = frame.head;
        calls.get(id)?.(failure ? { failure } : { json: frame.payload.toString() });
        calls.delete(id);
      } else if (frame.name === "mapNews") {
        maps.get(frame.head.map)?.(newsOf(frame.head, frame.payload));
        if (frame.head.finished) maps.delete(frame.head.map);
      }
    },
  };
}

function newsOf(head: Heads["mapNews"], payload: Buffer): MapNews {
  const { recorded, until, indexes = [], sizes = [], failures = [], finished = false, failure } = head;
  const pieces = cutPayload(payload, ...sizes.map((size) => Math.max(0, size)));
  let failed = 0;
  const results = indexes.map((index, at) => {
    const reason = sizes[at] === -1 ? failures[failed++] : undefined;
    return { index, outcome: reason ? { failure: reason } : { json: pieces[at]?.toString() ?? "null" } };
  });
  return {
    ...(recorded === undefined ? {} : { recorded }),
    ...(until === undefined ? {} : { until }),
    ...(failure ? { failure } : {}),
    results,
    finished,
  };
}

// ⑦ The client's end of a map: takes in inputs as far as there is room, and gives out results as far as it is asked, each from the store.

import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { InputCredit, MapEvent, MapEvents, MapInfo, MapRequest, OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import { toServiceError } from "../../proto/status.ts";
import type { Clients } from "../clients.ts";
import type { MapStore } from "../engine/engine.ts";
import type { Turn } from "../turn.ts";
import type { Reader, RunningMap } from "./map.ts";
import type { Maps } from "./maps.ts";
import { type Cursor, openOrdered, openUnordered, type Some } from "./results.ts";
import { inputsUntil } from "./sizes.ts";

type Stream = ServerDuplexStream<MapRequest, MapEvents>;
type Event = NonNullable<MapEvent["event"]>;

interface StreamParts {
  maps: Maps;
  store: MapStore;
  turn: Turn;
  clients: Clients;
  clock: Clock;
  log: Log;
}

interface Opened {
  info: MapInfo;
  /** Until it has ended. */
  map: RunningMap | undefined;
  cursor: Cursor;
}

export function createMapStreams(parts: StreamParts): { serve(stream: Stream): void } {
  const { maps, store, turn, clients, clock, log } = parts;

  function open(request: OpenMap): Opened {
    const known = maps.find(request.id);
    if (!known && request.resume) {
      throw new HobError("notFound", `map ${request.id} is not known: it has been forgotten, or was made elsewhere`, {
        remedy: "start it again",
      });
    }
    const map = known ? maps.running.get(known.id) : maps.open(request);
    const info = map?.info ?? known!;
    const cursor = request.ordered
      ? openOrdered(store, info.number, request.position)
      : openUnordered(store, info.number, request.position);
    return { info, map, cursor };
  }

  function serve(stream: Stream): void {
    let opened: Opened | undefined;
    let begun = false; // the client has been told so
    let credit = 0;
    let sent = 0;
    let before = 0; // results that the client had when it opened this stream
    let told = { recorded: 0, until: 0 };
    let closing = false; // the client will not ask for more
    let over = false;
    let later: NodeJS.Timeout | undefined; // a person calls, and results wait a little
    const leave = clients.enter();

    const write = (event: Event): boolean => stream.write({ events: [{ event }] });

    const untilOf = (map: RunningMap): number => {
      const { detached, inputs, succeeded, failed } = map.info;
      const delivered = Math.max(...[...map.readers].map((one) => one.delivered));
      const used = detached ? (maps.gentle ? succeeded + failed : undefined) : delivered;
      return inputsUntil({ recorded: inputs, recordedBytes: map.bytes, used });
    };

    /** What it was told once holds. */
    function creditOf({ info }: Opened, map: RunningMap | undefined): InputCredit {
      told = { recorded: map?.durable.inputs ?? info.inputs, until: Math.max(told.until, map ? untilOf(map) : info.inputs) };
      return told;
    }

    function giveCredit(map: RunningMap): void {
      const former = told;
      const value = creditOf(opened!, map);
      if (map.state === "open" && (value.until > former.until || value.recorded > former.recorded))
        write({ $case: "credit", value });
    }

    /** As many results as there are, are asked for, fit, and may go now. The last word comes after the last of them. */
    function pump(): void {
      if (!opened || !begun || over || later) return;
      const { info, map, cursor } = opened;
      let some: Some | undefined;
      while (sent < credit && !stream.writableNeedDrain) {
        const waitMs = maps.telling.freeAtMs - clock.now();
        if (waitMs > 0) {
          later = setTimeout(goOn, waitMs);
          return;
        }
        some = cursor.next();
        if (!some) break;
        const { bytes, count, position } = some;
        sent += count;
        maps.telling.took(count, bytes.byteLength);
        write({
          $case: "results",
          value: { results: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), count, position },
        });
      }
      if (map && !map.durable.ended) giveCredit(map);
      else if (!stream.writableNeedDrain && !some && (sent < credit || closing || nothingLeft(info))) finish(info);
    }

    function goOn(): void {
      later = undefined;
      pump();
    }

    const nothingLeft = (info: MapInfo): boolean => before + sent >= info.succeeded + info.failed;

    function finish(info: MapInfo): void {
      over = true;
      write({ $case: "finished", value: { ...info } });
      stream.end();
    }

    const reader: Reader = {
      poke: pump,
      progress(info) {
        if (!over && !stream.writableNeedDrain) write({ $case: "progress", value: info });
      },
      get delivered() {
        return before + sent;
      },
    };

    function begin(request: OpenMap): void {
      opened = open(request);
      const { info, map } = opened;
      before = request.ordered ? request.position : store.countUntil(info.number, request.position);
      if (map) maps.attach(map, reader);
      const asked = { ...info }; // what it is by then need not be durable
      turn.toClient(() => {
        if (over) return;
        begun = true;
        write({ $case: "opened", value: { info: asked, credit: creditOf(opened!, map) } });
        pump();
      });
    }

    function take({ request }: MapRequest): void {
      if (!opened) {
        if (request?.$case !== "open") throw new HobError("usage", "the first message of a map is its opening");
        begin(request.value);
        return;
      }
      const { map, info } = opened;
      switch (request?.$case) {
        case "open":
          throw new HobError("usage", "a map's stream is opened once");
        case "inputs":
          if (!map) return;
          maps.send(map, { bytes: request.value.inputs, until: told.until, last: request.value.last });
          return;
        case "credit":
          credit = request.value.results;
          pump();
          return;
        case "cancel":
          maps.cancel(info.id);
          return;
        case undefined:
          throw new HobError("usage", "control does not know this message: the client is of another version");
      }
    }

    function close(): void {
      over = true;
      clearTimeout(later);
      leave();
      if (opened?.map) maps.detach(opened.map, reader);
      opened = undefined;
    }

    stream.on("data", (request: MapRequest) => {
      if (over) return;
      try {
        take(request);
      } catch (error) {
        if (!(error instanceof HobError)) log.error(error, "a map's message failed");
        close();
        stream.emit("error", toServiceError(error));
      }
    });
    stream.on("drain", pump);
    stream.once("end", () => {
      closing = true;
      if (opened) pump();
      else stream.end();
    });
    stream.once("cancelled", close);
    stream.once("finish", close);
  }

  return { serve };
}

// A client of one map, for the tests of control: sends inputs as far as there is credit, and keeps what comes.

import type { ClientDuplexStream } from "@grpc/grpc-js";
import { CallsClient } from "../../proto/gen/hob/v1/calls.ts";
import {
  type MapEvent,
  type MapEvents,
  type MapInfo,
  MapInputs,
  type MapRequest,
  type MapResult,
  MapResults,
  OpenMap,
} from "../../proto/gen/hob/v1/maps.ts";
import { fromServiceError } from "../../proto/status.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { Arrivals, newId } from "./harness.ts";

type Event = NonNullable<MapEvent["event"]>;
type Value<K extends Event["$case"]> = Extract<Event, { $case: K }>["value"];

export interface TestMap extends Disposable {
  readonly id: string;
  readonly stream: ClientDuplexStream<MapRequest, MapEvents>;
  readonly arrivals: Arrivals<Event>;
  /** In the order in which they came. */
  readonly results: MapResult[];
  position: number;
  next<K extends Event["$case"]>(kind: K, matches?: (value: Value<K>) => boolean): Promise<Value<K>>;
  send(request: NonNullable<MapRequest["request"]>): void;
  /** Sends these inputs, each an only argument, from the wanted one on, as credit comes; resolves when all are recorded. */
  feed(values: readonly unknown[], last?: boolean): Promise<void>;
  finished(): Promise<MapInfo>;
  failed: Promise<unknown>;
}

const chunk = 500;

export function encodeInputs(values: readonly unknown[], first: number): Buffer {
  const inputs = values.map((value, i) => ({
    index: first + i,
    arguments: { positional: Buffer.from(JSON.stringify([value])), keywords: Buffer.alloc(0), large: undefined },
  }));
  return Buffer.from(MapInputs.encode({ inputs }).finish());
}

export function openMap(socket: string, open: Partial<OpenMap> & { credit?: number } = {}): TestMap {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  const stream = client.map();
  const arrivals = new Arrivals<Event>();
  const results: MapResult[] = [];
  const { credit = Number.MAX_SAFE_INTEGER, ...asked } = open;
  const failed = new Promise<unknown>((resolve) => {
    stream.on("error", (error) => {
      const sentence = fromServiceError(error);
      arrivals.fail(sentence);
      resolve(sentence);
    });
  });
  const send = (request: NonNullable<MapRequest["request"]>) => void stream.write({ request });
  const id = asked.id ?? newId();
  const map: TestMap = {
    id,
    stream,
    arrivals,
    results,
    position: 0,
    failed,
    send,
    async next(kind, matches = () => true) {
      const event = await arrivals.of((item) => item.$case === kind && matches(item.value as never));
      return event.value as never;
    },
    async feed(values, last = true) {
      const opened = await map.next("opened");
      let { recorded: at, until } = opened.credit!;
      while (at < values.length) {
        const end = Math.min(values.length, until, at + chunk);
        if (end === at) ({ until } = await map.next("credit", (value) => value.until > at));
        else send({ $case: "inputs", value: { inputs: encodeInputs(values.slice(at, end), at), last: false } });
        at = end;
      }
      if (last) send({ $case: "inputs", value: { inputs: Buffer.alloc(0), last: true } });
      else if (opened.credit!.recorded < values.length) await map.next("credit", (value) => value.recorded >= values.length);
    },
    finished: () => map.next("finished"),
    [Symbol.dispose]() {
      stream.cancel();
      client.close();
    },
  };
  stream.on("data", ({ events }: MapEvents) => {
    for (const { event } of events) {
      if (!event) continue;
      if (event.$case === "results") {
        results.push(...MapResults.decode(event.value.results).results);
        map.position = event.value.position;
      }
      arrivals.add(event);
    }
  });
  send({ $case: "open", value: OpenMap.fromPartial({ id, app: "shop", function: "price", origin: "map", ...asked }) });
  if (credit > 0) send({ $case: "credit", value: { results: credit } });
  return map;
}

/** Values in the order of the inputs; throws where one is missing, twice there, or failed. */
export function valuesOf(results: readonly MapResult[]): unknown[] {
  const values: unknown[] = [];
  const seen = new Set<number>();
  for (const { index, value, failure } of results) {
    if (seen.has(index)) throw new Error(`input ${index} has two results`);
    if (!value) throw new Error(`input ${index} failed: ${failure?.message}`);
    seen.add(index);
    values[index] = JSON.parse(value.json.toString());
  }
  if (seen.size !== values.length) throw new Error(`${values.length - seen.size} results are missing`);
  return values;
}

// ⑦ Maps from their opening to their end: acceptance, inputs, readers, cancelling, and going on after control has started again.

import type { Clock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { Failure } from "../../proto/gen/hob/v1/common.ts";
import { MapInfo, type OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import { missingSentence } from "../arguments.ts";
import type { Calls } from "../calls.ts";
import type { Resolve } from "../deployments/resolve.ts";
import type { MapStore } from "../engine/engine.ts";
import { beyond, type Limits } from "../limits.ts";
import type { Registry } from "../registry.ts";
import type { Groups } from "../scheduler/groups.ts";
import type { Turn } from "../turn.ts";
import { createIntake } from "./intake.ts";
import {
  type Batch,
  isChild,
  isComplete,
  openLedger,
  parseBatch,
  type Reader,
  type RunningMap,
  type Ticket,
  type Work,
} from "./map.ts";
import { createPlacing, type Placing } from "./placing.ts";
import { createProgress } from "./progress.ts";
import { createRecording, type Recording } from "./recording.ts";
import { afterMapEvent, type MapEvent, stateOf, toldState } from "./states.ts";

/** A map of which nobody reads the results is cancelled after so long, unless it was to go on. */
const vanishedMs = 15_000;

interface MapsParts {
  store: MapStore;
  turn: Turn;
  calls: Pick<Calls, "active" | "cancel" | "personAtMs" | "unfinished">;
  registry: Registry;
  resolve: Resolve;
  groups: Groups<Work>;
  clock: Clock;
  limits: Limits;
  log: Log;
  /** Says to those who watch the app how far a map is. */
  announce(info: MapInfo): void;
}

export interface Maps extends Disposable, Placing, Recording {
  /** Of which nothing is final yet. */
  readonly running: ReadonlyMap<string, RunningMap>;
  find(id: string): MapInfo | undefined;
  list(app: string, limit: number): MapInfo[];
  ofApp(app: string): MapInfo[];
  /** A new map; throws a HobError for what cannot be called. */
  open(request: OpenMap): RunningMap;
  send(map: RunningMap, inputs: { bytes: Uint8Array; until: number; last: boolean }): void;
  attach(map: RunningMap, reader: Reader): void;
  detach(map: RunningMap, reader: Reader): void;
  cancel(id: string): boolean;
  /** The maps that it made end with it, but for those that were spawned. */
  parentEnded(call: string): void;
  /** An input of that map, if it is one, has made a call, and waits for it until it has finished. */
  childStarted(map: string, call: string): void;
  childFinished(map: string, call: string): void;
  /** No container can ever run it. */
  impossible(ticket: Ticket, message: string, kind: "infrastructure" | "load"): void;
  snapshotOf(batch: string): string | undefined;
  functionOf(batch: string): string | undefined;
}

export function createMaps(parts: MapsParts): Maps {
  const { store, turn, calls, registry, groups, clock, limits, log } = parts;
  const running = new Map<string, RunningMap>();
  const batches = new Map<string, Batch>();
  let lastNumber = store.lastNumber();
  const progress = createProgress(running, clock, parts.announce);
  const placing = createPlacing({ store, groups, calls, clock, turn }, running, batches);
  const recording = createRecording({ store, turn, clock }, { running, batches, changed, end });

  function admit(info: MapInfo, recorded: number): RunningMap {
    const version = registry.version(info.app, info.function, info.version);
    if (!version) throw new HobError("notFound", `${info.function}: its version is not kept any more: call the current one`);
    const map: RunningMap = {
      info,
      state: stateOf(info),
      version,
      group: groups.of(info.app, version),
      ledger: openLedger(store, info.number, recorded),
      intake: createIntake(info.inputs, (block, bytes) => {
        store.addInputs(info.number, block, bytes);
        map.bytes += bytes.byteLength;
        info.inputs = block.first + block.count;
        map.ledger.accepted(info.inputs);
        changed(map);
      }),
      bytes: recorded > 0 || info.inputs > 0 ? store.inputBytes(info.number) : 0,
      tickets: [],
      batches: new Map(),
      spent: new Map(),
      inputMs: undefined,
      largest: 1,
      children: new Set(),
      readers: new Set(),
      vanished: undefined,
      waits: new Set(),
      changed: true,
      durable: { inputs: info.inputs, ended: false },
    };
    map.ledger.accepted(info.inputs);
    running.set(info.id, map);
    watchReaders(map);
    progress.begin();
    return map;
  }

  function open(request: OpenMap): RunningMap {
    const { id, function: name, parent, origin, detached } = request;
    if (turn.stuck) throw new HobError("unavailable", `${name} was not mapped: ${turn.stuck.sentence}`);
    if (running.size >= limits.maps) throw beyond(limits, "maps", `${name} was not mapped`);
    if (isChild(request) && !calls.active(parent) && !running.has(parent)) {
      throw new HobError("cancelled", `${name} was not mapped: what asked for it has ended`);
    }
    const from = calls.active(parent)?.info.app ?? running.get(parent)?.info.app ?? "";
    const named = parts.resolve({ app: request.app, function: name, version: request.version }, from);
    const { app } = named;
    const called = registry.version(app, name, named.version);
    if (!called) throw new HobError("notFound", missingSentence(registry, { ...named, function: name }));
    const { digest: version, snapshot } = called;
    const number = ++lastNumber;
    const startedAtMs = clock.now();
    const more = { parent, origin, detached, startedAtMs };
    const map = admit(MapInfo.fromPartial({ id, number, app, function: name, version, snapshot, state: "running", ...more }), 0);
    store.save(map.info);
    turn.wake();
    return map;
  }

  function changed(map: RunningMap): void {
    map.changed = true;
    map.info.running = map.ledger.out;
    store.save(map.info);
    const durable = { inputs: map.info.inputs, ended: !running.has(map.info.id) };
    turn.toClient(() => {
      map.durable = durable;
      for (const reader of map.readers) reader.poke();
    });
  }

  function end(map: RunningMap, event: MapEvent, failure?: Failure): void {
    const state = afterMapEvent(map.state, event);
    if (!state) return;
    map.state = state;
    const { info } = map;
    info.state = toldState(state);
    info.failure = failure;
    info.finishedAtMs = clock.now();
    running.delete(info.id);
    map.group.waitingInputs = 0; // of the others it is counted anew
    placing.withdraw(map);
    for (const { id, container } of map.batches.values()) {
      batches.delete(id);
      turn.toNode(() => container.owner.send({ $case: "cancelInputs", value: { batch: id, container: container.id } }));
    }
    map.batches.clear();
    clearTimeout(map.vanished);
    for (const wait of map.waits) clearTimeout(wait);
    for (const child of map.children) calls.cancel(child);
    turn.toClient(() => parentEnded(info.id));
    changed(map);
    info.running = 0;
    turn.toClient(() => parts.announce({ ...info }));
  }

  function send(map: RunningMap, { bytes, until, last }: { bytes: Uint8Array; until: number; last: boolean }): void {
    if (map.state !== "open") {
      if (map.state === "closed" && bytes.byteLength > 0) map.intake.add(bytes, map.intake.wanted); // what it has already is passed over
      return;
    }
    map.intake.add(bytes, until);
    if (last) {
      map.intake.flush();
      map.state = afterMapEvent(map.state, "close")!;
      map.info.closed = true;
      if (isComplete(map)) end(map, "complete");
      else changed(map);
    }
    turn.wake(); // what is no whole block yet becomes one with the decision
  }

  function watchReaders(map: RunningMap): void {
    clearTimeout(map.vanished);
    map.vanished = undefined;
    if (map.info.detached || map.readers.size > 0) return;
    map.vanished = setTimeout(() => {
      const message = `cancelled, because nobody has read its results for ${vanishedMs / 1000} seconds`;
      end(map, "cancel", Failure.fromPartial({ kind: "cancelled", message }));
    }, vanishedMs);
  }

  function cancel(id: string, message = "cancelled"): boolean {
    const map = running.get(id);
    if (map) end(map, "cancel", Failure.fromPartial({ kind: "cancelled", message }));
    return map !== undefined;
  }

  function parentEnded(call: string): void {
    for (const { info } of [...running.values()]) {
      if (info.parent === call && isChild(info)) cancel(info.id, "cancelled, because what made it has ended");
    }
  }

  function restore(info: MapInfo): void {
    try {
      info.running = 0;
      const map = admit(info, info.succeeded + info.failed);
      if (isComplete(map)) end(map, "complete");
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      log.warn({ map: info.id, error: error.sentence }, "a map could not go on");
      info.state = "failed";
      info.finishedAtMs = clock.now();
      info.failure = Failure.fromPartial({ kind: "infrastructure", message: error.sentence });
      store.save(info);
    }
  }

  for (const info of store.unfinished()) restore(info);
  for (const { id, info } of calls.unfinished()) if (info.origin !== "spawn") running.get(info.parent)?.children.add(id);

  return {
    running,
    find: (id) => running.get(id)?.info ?? store.find(id),
    list: (app, limit) => store.list({ app, limit }).map((info) => running.get(info.id)?.info ?? info),
    ofApp: (app) => [...running.values()].flatMap(({ info }) => (info.app === app ? [{ ...info }] : [])),
    open,
    send,
    attach(map, reader) {
      map.readers.add(reader);
      watchReaders(map);
    },
    detach(map, reader) {
      map.readers.delete(reader);
      if (running.has(map.info.id)) watchReaders(map);
    },
    cancel,
    parentEnded,
    childStarted: (map, call) => void (calls.active(call) && running.get(map)?.children.add(call)),
    childFinished: (map, call) => void running.get(map)?.children.delete(call),
    ...placing,
    get gentle() {
      return placing.gentle;
    },
    ...recording,
    impossible: ({ map }, message, kind) => end(map, "fail", Failure.fromPartial({ kind, message })),
    snapshotOf: (id) => batches.get(id)?.map.info.snapshot,
    functionOf: (id) => running.get(parseBatch(id)?.map ?? "")?.info.function,
    [Symbol.dispose]() {
      progress[Symbol.dispose]();
      placing[Symbol.dispose]();
      for (const map of running.values()) {
        clearTimeout(map.vanished);
        for (const wait of map.waits) clearTimeout(wait);
      }
    },
  };
}

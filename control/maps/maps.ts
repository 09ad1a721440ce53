// ⑦ Maps from acceptance to their last result: batches through the scheduler's lanes, results recorded once, losses, cancelling, and the start after an end.

import type { Clock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { DispatchInputs, InputsFinished } from "../../proto/gen/hob/v1/agents.ts";
import { Failure } from "../../proto/gen/hob/v1/common.ts";
import { MapInfo, type OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import { unknownSentence } from "../arguments.ts";
import type { MapStore } from "../engine/engine.ts";
import { beyond, type Limits } from "../limits.ts";
import type { Container, Node } from "../nodes.ts";
import type { Registry } from "../registry.ts";
import { type Groups, ranFor } from "../scheduler/groups.ts";
import type { Turn } from "../turn.ts";
import { createIntake } from "./intake.ts";
import { sliceItems } from "./items.ts";
import { type Batch, loseBatch, openLedger, type Reader, type RunningMap, type Ticket, takeResults, type Work } from "./map.ts";
import { createProgress } from "./progress.ts";
import { batchSize, blockInputs, measured, ticketsWanted } from "./sizes.ts";
import { afterMapEvent, type MapEvent, stateOf, toldState } from "./states.ts";

/** A map of which nobody reads the results is cancelled after so long, unless it was to go on. */
const vanishedMs = 15_000;
/** Inputs of blocks that are being cut are at hand. */
const cachedBlocks = 16;
const laneOf = (map: RunningMap): number => (map.info.parent ? 2 : 3);

interface MapsParts {
  store: MapStore;
  turn: Turn;
  registry: Registry;
  groups: Groups<Work>;
  clock: Clock;
  limits: Limits;
  log: Log;
  /** Says to those who watch the app how far a map is. */
  announce(info: MapInfo): void;
}

export interface Maps extends Disposable {
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
  /** Its calls and the maps that it made end with it, but for those that were spawned. */
  parentEnded(call: string): void;
  /** Before each decision: what has come becomes blocks, and places in the lanes. */
  prepare(): void;
  /** The scheduler has placed a ticket: the next inputs, for that container; undefined when none waits any more. */
  cut(ticket: Ticket, container: Container): Omit<DispatchInputs, "load"> | undefined;
  finished(node: Node, message: InputsFinished): void;
  /** No container can ever run it. */
  impossible(ticket: Ticket, message: string, kind: "infrastructure" | "load"): void;
  containerGone(container: Container, reason: string): void;
  /** A node has linked and still runs these batches. */
  nodeLinked(node: Node, held: string[]): void;
  snapshotOf(batch: string): string | undefined;
  functionOf(batch: string): string | undefined;
}

/** Calls have ids without a slash. */
export const isBatch = (id: string): boolean => id.includes("/");

/** "MAP/FIRST-COUNT.N": what an agent still runs is told from it when control has started again. */
function parseBatch(id: string): { map: string; first: number; count: number } | undefined {
  const [, map, first, count] = /^([^/]+)\/(\d+)-(\d+)\./.exec(id) ?? [];
  return map === undefined ? undefined : { map, first: Number(first), count: Number(count) };
}

export function createMaps(parts: MapsParts): Maps {
  const { store, turn, registry, groups, clock, limits, log } = parts;
  const running = new Map<string, RunningMap>();
  const batches = new Map<string, Batch>();
  const blockCache = new Map<string, Uint8Array>();
  let lastNumber = store.lastNumber();
  let lastBatch = Math.floor(clock.now()); // above those of an earlier control
  const progress = createProgress(running, clock, parts.announce);

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
      }),
      bytes: recorded > 0 || info.inputs > 0 ? store.inputBytes(info.number) : 0,
      tickets: [],
      batches: new Map(),
      spent: new Map(),
      inputMs: undefined,
      largest: 1,
      readers: new Set(),
      vanished: undefined,
      waits: new Set(),
      changed: true,
    };
    map.ledger.accepted(info.inputs);
    running.set(info.id, map);
    watchReaders(map);
    progress.begin();
    return map;
  }

  function findProblem(app: string, name: string, version: string): string | undefined {
    if (registry.version(app, name, version)) return undefined;
    const functions = registry.current(app).map((current) => current.function);
    if (functions.length === 0) return unknownSentence("app", app, registry.apps(), "");
    if (!functions.includes(name)) return unknownSentence("function", name, functions, ` in the app "${app}"`);
    return `${name} has no version ${version.slice(0, 12)} any more: call the current one`;
  }

  function open(request: OpenMap): RunningMap {
    const { id, app, function: name, parent, origin, detached } = request;
    if (turn.stuck) throw new HobError("unavailable", `${name} was not mapped: ${turn.stuck.sentence}`);
    if (running.size >= limits.maps) throw beyond(limits, "maps", `${name} was not mapped`);
    const problem = findProblem(app, name, request.version);
    if (problem) throw new HobError("notFound", problem);
    const { digest: version, snapshot } = registry.version(app, name, request.version)!;
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
    turn.toClient(() => {
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
    dropTickets(map, map.tickets.length);
    for (const { id, container } of map.batches.values()) {
      batches.delete(id);
      turn.toNode(() => container.owner.send({ $case: "cancelInputs", value: { batch: id, container: container.id } }));
    }
    map.batches.clear();
    clearTimeout(map.vanished);
    for (const wait of map.waits) clearTimeout(wait);
    changed(map);
    info.running = 0;
    turn.toClient(() => parts.announce({ ...info }));
  }

  function completeIfDone(map: RunningMap): void {
    const { info } = map;
    if (map.state === "closed" && info.succeeded + info.failed === info.inputs) end(map, "complete");
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
      completeIfDone(map);
    }
    if (running.has(map.info.id)) changed(map);
  }

  function dropTickets(map: RunningMap, count: number): void {
    const lane = map.group.lanes[laneOf(map)]!;
    for (const ticket of map.tickets.splice(map.tickets.length - count, count)) lane.remove(ticket);
  }

  const sizeFor = (map: RunningMap, waiting: number): number =>
    batchSize({ inputMs: map.inputMs, former: map.largest, waiting, width: map.batches.size + map.tickets.length });

  function prepare(): void {
    for (const { group } of running.values()) group.waitingInputs = 0;
    for (const map of running.values()) {
      map.intake.flush();
      if (groups.all.get(map.group.key) !== map.group) {
        dropTickets(map, map.tickets.length);
        map.group = groups.of(map.info.app, map.version);
      }
      const { waiting } = map.ledger;
      map.group.waitingInputs += waiting;
      const wanted = ticketsWanted(waiting, sizeFor(map, waiting), map.batches.size);
      if (map.tickets.length > wanted) dropTickets(map, map.tickets.length - wanted);
      while (map.tickets.length < wanted) {
        const ticket: Ticket = { id: `${map.info.id}/`, snapshot: map.info.snapshot, map };
        map.tickets.push(ticket);
        map.group.lanes[laneOf(map)]!.push(ticket);
      }
    }
  }

  function blockBytes(map: RunningMap, first: number): Uint8Array {
    const key = `${map.info.number}/${first}`;
    const bytes = blockCache.get(key) ?? store.inputs(map.info.number, first);
    blockCache.delete(key);
    blockCache.set(key, bytes);
    if (blockCache.size > cachedBlocks) blockCache.delete(blockCache.keys().next().value as string);
    return bytes;
  }

  function cut(ticket: Ticket, container: Container): Omit<DispatchInputs, "load"> | undefined {
    const { map } = ticket;
    const size = sizeFor(map, map.ledger.waiting);
    map.group.lanes[laneOf(map)]!.remove(ticket);
    map.tickets.splice(map.tickets.indexOf(ticket), 1);
    const range = map.ledger.cut(size);
    if (!range) return undefined;
    const { block, first, count } = range;
    map.largest = Math.min(blockInputs, Math.max(map.largest, count));
    const id = `${map.info.id}/${first}-${count}.${++lastBatch}`;
    const whole = blockBytes(map, block);
    const batch: Batch = { id, map, container, range, results: 0, again: new Map() };
    map.batches.set(id, batch);
    batches.set(id, batch);
    container.calls.set(id, 1);
    map.info.running = map.ledger.out;
    map.changed = true;
    const { app } = map.info;
    const more = { app, version: map.version, timeoutMs: map.version.spec!.timeoutMs };
    return {
      batch: id,
      map: map.info.id,
      container: container.id,
      inputs: Buffer.from(sliceItems(whole, first, count)),
      count,
      ...more,
    };
  }

  function keep(map: RunningMap, block: number, count: number, bytes: Uint8Array): void {
    if (count > 0) store.addResults(map.info.number, block, { count, bytes });
  }

  /** Its inputs without a result wait again. */
  function giveBack(batch: Batch, alone: boolean): void {
    const { map, range, again } = batch;
    batches.delete(batch.id);
    map.batches.delete(batch.id);
    const held = new Set([...again].flatMap(([index, waitMs]) => (waitMs > 0 ? [index] : [])));
    map.ledger.returned(range, { held, alone });
    for (const index of held) {
      const wait = setTimeout(() => {
        map.waits.delete(wait);
        map.ledger.released(index);
        turn.wake();
      }, again.get(index)!);
      map.waits.add(wait);
    }
  }

  function lose(batch: Batch, message: string): void {
    const { map } = batch;
    const failed = loseBatch(map, batch, `${map.info.function}: ${message}`);
    if (failed) keep(map, batch.range.block, 1, failed);
    giveBack(batch, true);
    changed(map);
    completeIfDone(map);
    turn.wake();
  }

  function finished(node: Node, message: InputsFinished): void {
    const { batch: id, last, failure } = message;
    const container = node.containers.get(message.container);
    if (last && container?.calls.delete(id)) {
      container.idleSinceMs = clock.now();
      turn.wake();
    }
    const batch = batches.get(id);
    const range = batch?.range ?? parseBatch(id);
    const map = batch?.map ?? running.get(id.slice(0, id.indexOf("/")));
    if (!map || !range) return; // it has ended
    const block = batch?.range.block ?? map.ledger.blockOf(range.first);
    if (block === undefined) return; // nothing of it lacks a result
    const taken = takeResults(map, batch, range, message.results);
    keep(map, block, taken.count, taken.bytes);
    if (batch) {
      batch.results += message.count;
      if (message.count > 0) {
        map.inputMs = measured(map.inputMs, message.runMs / message.count);
        ranFor(map.group, message.runMs, message.count);
      }
      if (last) ended(batch, failure);
    }
    changed(map);
    completeIfDone(map);
  }

  function ended(batch: Batch, failure: Failure | undefined): void {
    const { map } = batch;
    if (failure && failure.kind !== "infrastructure" && failure.kind !== "cancelled") {
      end(map, "fail", failure);
      return;
    }
    const stuck = batch.results === 0 && failure?.kind !== "cancelled";
    if (failure?.kind === "infrastructure" || stuck) lose(batch, failure?.message ?? "a batch came back without results");
    else giveBack(batch, false);
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

  function adopt(node: Node, id: string): boolean {
    const parsed = parseBatch(id);
    const map = parsed && running.get(parsed.map);
    const container = [...node.containers.values()].find(({ info }) => info.calls.includes(id));
    if (!map || !container || !map.ledger.claim(parsed.first, parsed.count)) return false;
    const block = map.ledger.blockOf(parsed.first);
    if (block === undefined) return false;
    const batch: Batch = { id, map, container, range: { block, ...parsed }, results: 0, again: new Map() };
    map.batches.set(id, batch);
    batches.set(id, batch);
    container.calls.set(id, 1);
    return true;
  }

  function restore(info: MapInfo): void {
    try {
      info.running = 0;
      const map = admit(info, info.succeeded + info.failed);
      completeIfDone(map);
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
    parentEnded(call) {
      for (const { info } of [...running.values()]) {
        if (info.parent === call && info.origin !== "spawn")
          cancel(info.id, "cancelled, because the call that made it has ended");
      }
    },
    prepare,
    cut,
    finished,
    impossible: ({ map }, message, kind) => end(map, "fail", Failure.fromPartial({ kind, message })),
    containerGone(container, reason) {
      for (const batch of [...batches.values()]) {
        if (batch.container === container) lose(batch, `container ${container.id} on ${container.node} was lost: ${reason}`);
      }
    },
    nodeLinked(node, held) {
      for (const id of held) {
        const container = [...node.containers.values()].find(({ info }) => info.calls.includes(id))?.id ?? "";
        if (!adopt(node, id)) turn.toNode(() => node.send({ $case: "cancelInputs", value: { batch: id, container } }));
      }
    },
    snapshotOf: (id) => batches.get(id)?.map.info.snapshot,
    functionOf: (id) => running.get(parseBatch(id)?.map ?? "")?.info.function,
    [Symbol.dispose]() {
      progress[Symbol.dispose]();
      for (const map of running.values()) {
        clearTimeout(map.vanished);
        for (const wait of map.waits) clearTimeout(wait);
      }
    },
  };
}

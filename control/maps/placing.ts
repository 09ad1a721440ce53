// ④⑦ Maps in the scheduler's lanes: places for what waits, and inputs cut for a container once it has one.

import type { Clock } from "../../base/clock.ts";
import type { DispatchInputs } from "../../proto/gen/hob/v1/agents.ts";
import { type Call, lanes } from "../call.ts";
import type { Calls } from "../calls.ts";
import type { MapStore } from "../engine/engine.ts";
import type { Container } from "../nodes.ts";
import type { Group, Groups } from "../scheduler/groups.ts";
import type { Turn } from "../turn.ts";
import { sliceItems } from "./items.ts";
import type { Range } from "./ledger.ts";
import { type Batch, isChild, type RunningMap, type Ticket, type Work } from "./map.ts";
import { createPace, type Flow } from "./pace.ts";
import { batchSize, blockInputs, ticketsWanted } from "./sizes.ts";

/** Inputs of blocks that are being cut are at hand. */
const cachedBlocks = 16;

export interface Placing extends Disposable {
  /** A person calls: maps take little, and are told little. */
  readonly gentle: boolean;
  /** Of results to clients. */
  readonly telling: Flow;
  /** Before each decision: what has come becomes blocks, and places in the lanes. */
  prepare(): void;
  /** Nothing of the map is to be placed any more. */
  withdraw(map: RunningMap): void;
  /** The scheduler has placed a ticket: the next inputs, for that container; undefined when none waits any more. */
  cut(ticket: Ticket, container: Container): Omit<DispatchInputs, "load"> | undefined;
}

interface PlacingParts {
  store: MapStore;
  groups: Groups<Work>;
  calls: Pick<Calls, "active" | "personAtMs">;
  clock: Clock;
  turn: Pick<Turn, "wake">;
}

const laneOf = (map: RunningMap): number => (isChild(map.info) ? lanes.child : lanes.other);

export function createPlacing(
  { store, groups, calls, clock, turn }: PlacingParts,
  running: ReadonlyMap<string, RunningMap>,
  batches: Map<string, Batch>,
): Placing {
  const pace = createPace(clock.now, () => calls.personAtMs);
  let rest: NodeJS.Timeout | undefined;
  let turns = 0; // whose batch is next, while they are few
  const blockCache = new Map<string, Uint8Array>();
  /** What has been added to groups' counts of calls that wait for others. */
  const blocked = new Map<Group<Work>, number>();
  let lastBatch = Math.floor(clock.now()); // above those of an earlier control

  function dropTickets(map: RunningMap, count: number): void {
    const lane = map.group.lanes[laneOf(map)]!;
    for (const ticket of map.tickets.splice(map.tickets.length - count, count)) lane.remove(ticket);
  }

  const sizeFor = (map: RunningMap, waiting: number): number =>
    batchSize({
      ...{ inputMs: map.inputMs, former: map.largest, waiting, width: map.batches.size + map.tickets.length },
      brief: pace.gentle,
    });

  function prepare(): void {
    if (running.size === 0 && blocked.size === 0) return;
    countBlocked();
    for (const { group } of running.values()) group.waitingInputs = 0;
    const next = nextByTurns();
    for (const map of running.values()) {
      map.intake.flush();
      if (groups.all.get(map.group.key) !== map.group) {
        dropTickets(map, map.tickets.length);
        map.group = groups.of(map.info.app, map.version);
      }
      const { waiting } = map.ledger;
      map.group.waitingInputs += waiting;
      const most = next === undefined ? Number.POSITIVE_INFINITY : next === map ? 1 : 0;
      const wanted = Math.min(most, ticketsWanted(waiting, sizeFor(map, waiting), map.batches.size));
      if (map.tickets.length > wanted) dropTickets(map, map.tickets.length - wanted);
      while (map.tickets.length < wanted) {
        const ticket: Ticket = { id: `${map.info.id}/`, snapshot: map.info.snapshot, map };
        map.tickets.push(ticket);
        map.group.lanes[laneOf(map)]!.push(ticket);
      }
    }
  }

  /** While a person calls: the one map of which a batch may be cut now, or "none"; undefined: all may. */
  function nextByTurns(): RunningMap | "none" | undefined {
    if (!pace.gentle) return undefined;
    const waitMs = pace.cut.freeAtMs - clock.now();
    if (waitMs > 0) {
      rest ??= setTimeout(rested, waitMs).unref();
      return "none";
    }
    const able = [...running.values()].filter(({ ledger }) => ledger.waiting > 0);
    return able[turns++ % able.length] ?? "none";
  }

  function rested(): void {
    rest = undefined;
    turn.wake();
  }

  /** Containers that only wait for what they have made do not count against their group's limit: their children need room. */
  function countBlocked(): void {
    for (const [group, count] of blocked) group.blocked -= count;
    blocked.clear();
    const add = (group: Group<Work> | undefined, count: number): void => {
      if (group && count > 0) blocked.set(group, (blocked.get(group) ?? 0) + count);
    };
    const parents = new Set<Call>();
    for (const map of running.values()) {
      add(map.group, Math.min(map.children.size, map.batches.size));
      const parent = isChild(map.info) ? calls.active(map.info.parent) : undefined;
      if (parent?.info.state === "running" && parent.children.size === 0) parents.add(parent); // with children it is counted already
    }
    for (const parent of parents) add(parent.group, 1);
    for (const [group, count] of blocked) group.blocked += count;
  }

  function inputsOf(map: RunningMap, { block, first, count }: Range): Buffer {
    const key = `${map.info.number}/${block}`;
    const bytes = blockCache.get(key) ?? store.inputs(map.info.number, block);
    const slice = sliceItems(bytes, first, count);
    blockCache.delete(key);
    // What is cut whole is not kept: blocks that had grown old here would stay in memory until all of it is tidied.
    if (slice.byteOffset + slice.byteLength < bytes.byteOffset + bytes.byteLength) blockCache.set(key, bytes);
    if (blockCache.size > cachedBlocks) blockCache.delete(blockCache.keys().next().value as string);
    return Buffer.from(slice.buffer, slice.byteOffset, slice.byteLength);
  }

  function cut(ticket: Ticket, container: Container): Omit<DispatchInputs, "load"> | undefined {
    const { map } = ticket;
    const size = sizeFor(map, map.ledger.waiting);
    map.group.lanes[laneOf(map)]!.remove(ticket);
    map.tickets.splice(map.tickets.indexOf(ticket), 1);
    const range = map.ledger.cut(size);
    if (!range) return undefined;
    const { first, count } = range;
    map.largest = Math.min(blockInputs, Math.max(map.largest, count));
    const id = `${map.info.id}/${first}-${count}.${++lastBatch}`;
    const inputs = inputsOf(map, range);
    pace.cut.took(count, inputs.byteLength);
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
      inputs,
      count,
      ...more,
    };
  }

  return {
    get gentle() {
      return pace.gentle;
    },
    telling: pace.told,
    prepare,
    withdraw: (map) => dropTickets(map, map.tickets.length),
    cut,
    [Symbol.dispose]: () => clearTimeout(rest),
  };
}

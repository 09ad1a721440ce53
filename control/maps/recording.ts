// ⑦ Results of maps, each input's first, and what follows where there is none: retries, losses, and batches that nodes still run.

import type { Clock } from "../../base/clock.ts";
import type { InputsFinished } from "../../proto/gen/hob/v1/agents.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";
import type { MapStore } from "../engine/engine.ts";
import type { Container, Node } from "../nodes.ts";
import { ranFor } from "../scheduler/groups.ts";
import type { Turn } from "../turn.ts";
import { type Batch, isComplete, loseBatch, parseBatch, type RunningMap, takeResults } from "./map.ts";
import { measured } from "./sizes.ts";
import type { MapEvent } from "./states.ts";

export interface Recording {
  finished(node: Node, message: InputsFinished): void;
  /** The container is gone, with all that ran in it. */
  containerGone(container: Container, reason: string): void;
  /** A node has linked and still runs these batches. */
  nodeLinked(node: Node, held: string[]): void;
}

interface RecordingParts {
  store: MapStore;
  turn: Turn;
  clock: Clock;
}

interface Life {
  running: ReadonlyMap<string, RunningMap>;
  batches: Map<string, Batch>;
  changed(map: RunningMap): void;
  end(map: RunningMap, event: MapEvent, failure?: Failure): void;
}

export function createRecording({ store, turn, clock }: RecordingParts, { running, batches, changed, end }: Life): Recording {
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
    if (isComplete(map)) end(map, "complete");
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
    if (isComplete(map)) end(map, "complete");
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

  return {
    finished,
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
  };
}

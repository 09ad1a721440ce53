// ⑥ Inputs of maps: from control's batches to the runners, and results back, some hundred a message.

import { sentenceOf } from "../base/errors.ts";
import type { DispatchInputs } from "../proto/gen/hob/v1/agents.ts";
import type { Failure } from "../proto/gen/hob/v1/common.ts";
import { MapInputs, MapResults } from "../proto/gen/hob/v1/maps.ts";
import { greatestValueBytes } from "../proto/transport.ts";
import type { DispatchHost } from "./dispatch.ts";
import { failure, memoryNote, tooLarge } from "./failures.ts";
import { type Call, explainIn, gone, hurtsOf, type Inside, memoryOf } from "./inside.ts";
import type { Loads } from "./loads.ts";
import type { InputResult, RunningInputs } from "./runner/runner.ts";

/** Results of a batch wait for company until they are so many, so large, or the first of them so old. */
const mostResults = 512;
const mostBytes = 1 << 20;
const patienceMs = 200;

interface MapInputsHost extends Pick<DispatchHost, "send" | "answered" | "log"> {
  insides: ReadonlyMap<string, Inside>;
  loads: Loads;
  /** Output goes before the results that it came before. */
  flushLines(): void;
  sayInLog(container: string, call: string, text: string, dropped?: number): void;
  endIfFull(inside: Inside): void;
}

export interface MapInputsDispatcher {
  dispatch(order: DispatchInputs): Promise<void>;
  cancel(batch: string, container: string): void;
}

export function createMapInputs(host: MapInputsHost): MapInputsDispatcher {
  const { insides } = host;
  const running = new Map<string, RunningInputs>();

  async function dispatch(order: DispatchInputs): Promise<void> {
    const { batch, map, container: id, version, app } = order;
    const inside = insides.get(id);
    const results = collect(host, order);
    const finish = (failed: Failure | undefined, loadMs = 0): void => {
      running.delete(batch);
      inside?.calls.delete(batch);
      if (inside?.calls.size === 0) inside.draining.idle();
      results.end(failed, loadMs);
      host.answered(id);
    };
    if (!inside || inside.draining.begun || !version) return finish(failure("infrastructure", gone(id)));
    const state: Call = { attempt: 0, map, function: version.function, app, cancelled: false, dropped: 0 };
    inside.calls.set(batch, state);
    try {
      const load = order.load && host.loads.begin(order.load, false);
      if (!load)
        await inside.sending; // a load that came before goes before
      else if (!(await load.sent)) return finish((await load.done).failure);
      if (state.cancelled) return finish(failure("cancelled", "the map was cancelled"));
      const before = hurtsOf(inside.container);
      let lost: Failure | undefined; // with their container, as it was ended: others may have a result
      let full = false;
      const work = inside.container.runner.inputs(
        { ...requestOf(order), snapshot: version.snapshot, version: version.digest, function: version.function },
        (told, runMs) => {
          const known = told.flatMap((result) => {
            const bytes = result.result?.json.byteLength ?? 0;
            if (bytes > greatestValueBytes)
              return [{ index: result.index, failure: tooLarge(version.function, bytes, greatestValueBytes) }];
            if (!result.failure) return [result];
            const explained = explainIn(inside, result.failure, before);
            full ||= explained.kind === "memory";
            if (explained.kind !== "infrastructure") return [{ index: result.index, failure: explained }];
            lost = explained;
            return [];
          });
          results.add(known, runMs);
        },
      );
      running.set(batch, work);
      const { failure: seen, droppedBytes } = await work.ended;
      if (droppedBytes > state.dropped) host.sayInLog(id, map, "", Math.min(droppedBytes - state.dropped, 2 ** 32 - 1));
      const failed = lost ?? (seen && explainIn(inside, seen, before));
      if (!full && inside.container.meter.oomKills() > before.kills)
        host.sayInLog(id, map, memoryNote(memoryOf(inside.container)));
      finish(failed, load ? (await load.done).ms : 0);
      if (full) host.endIfFull(inside);
    } catch (error) {
      host.log.error({ batch, error: sentenceOf(error) }, "inputs of a map");
      finish(failure("infrastructure", sentenceOf(error)));
    }
  }

  return {
    dispatch,
    cancel(batch, container) {
      const state = insides.get(container)?.calls.get(batch);
      if (!state) return;
      state.cancelled = true;
      running.get(batch)?.cancel();
    },
  };
}

function requestOf({ map, inputs, timeoutMs }: DispatchInputs) {
  const items = MapInputs.decode(inputs).inputs.map(({ index, arguments: given }) => {
    return { index, positional: given?.positional ?? Buffer.from("[]"), keywords: given?.keywords ?? Buffer.alloc(0) };
  });
  return { map, inputs: items, timeoutMs };
}

/** One timer for a batch at most, and none for one that is done before it. */
function collect({ send, flushLines }: MapInputsHost, { batch, container }: DispatchInputs) {
  let waiting: InputResult[] = [];
  let bytes = 0;
  let runMs = 0;
  let timer: NodeJS.Timeout | undefined;

  function say(end: { last: boolean; failure: Failure | undefined; loadMs: number }): void {
    clearTimeout(timer);
    timer = undefined;
    const items = waiting.map(({ index, result, failure: failed }) => ({ index, value: result, failure: failed }));
    const results = Buffer.from(MapResults.encode({ results: items }).finish());
    const told = { batch, container, results, count: items.length, runMs };
    [waiting, bytes, runMs] = [[], 0, 0];
    flushLines();
    send({ $case: "inputs", value: { ...told, ...end } });
  }

  const go = { last: false, failure: undefined, loadMs: 0 };
  return {
    add(results: InputResult[], tookMs: number): void {
      for (const result of results) {
        waiting.push(result);
        bytes += result.result?.json.byteLength ?? 0;
        if (bytes >= mostBytes) say(go);
      }
      runMs += tookMs;
      if (waiting.length >= mostResults) say(go);
      else if (waiting.length > 0) timer ??= setTimeout(() => say(go), patienceMs);
    },
    end: (failed: Failure | undefined, loadMs: number): void => say({ last: true, failure: failed, loadMs }),
  };
}

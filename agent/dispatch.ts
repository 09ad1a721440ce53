// ⑥ Calls: from control's commands to the runners and back. Their loads are in loads.ts; what it decides in snapshots.ts and failures.ts.

import type { Clock } from "../base/clock.ts";
import type { ContentFolder } from "../base/content-folder.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type {
  AgentMessage,
  CancelInputs,
  ChildFinished,
  Dispatch,
  DispatchInputs,
  Load,
  PartsTaken,
} from "../proto/gen/hob/v1/agents.ts";
import type { Arguments, LogLine, SnapshotDelta } from "../proto/gen/hob/v1/common.ts";
import { greatestCallValueBytes, inlineValueBytes, oversized } from "../proto/large-value.ts";
import type { MapStreamOptions } from "../proto/map-stream.ts";
import type { UploadClient } from "./build/upload.ts";
import { type ChildMaps, createChildMaps } from "./child-maps.ts";
import type { Content } from "./content.ts";
import { failure, memoryNote, tooLarge } from "./failures.ts";
import {
  type Call,
  explainIn,
  gone,
  type Held,
  hurtsOf,
  type Inside,
  lookAhead,
  memoryOf,
  openInside,
  runningIn,
} from "./inside.ts";
import { createLargeValues } from "./large-values.ts";
import { createLoads } from "./loads.ts";
import { createMapInputs } from "./map-inputs.ts";
import { requestHead } from "./runner/heard.ts";
import type { Runner, RunnerEvents } from "./runner/runner.ts";
import { createShown } from "./shown.ts";
import { createSnapshotLists } from "./snapshots.ts";

/** Of a container's memory, in files that its functions have written and left. */
const filesShareMost = 0.4;

/** Steps on the way to a result that is milliseconds away wait so long to be told with it: each alone would have control work while its processor is wanted. */
const patienceMs = 5;

type Message = NonNullable<AgentMessage["message"]>;

export interface DispatchHost {
  content: Content;
  store: ContentFolder;
  client(): UploadClient;
  fuse(): Pick<FuseServer, "addSnapshot" | "removeSnapshot">;
  send(message: Message): void;
  /** A stream to control for a map that a function makes. */
  dialMap: MapStreamOptions["dial"];
  /** A call in that container has ended. */
  answered(container: string): void;
  clock: Clock;
  log: Log;
}

export interface Dispatcher {
  /** What a runner of that container says goes to control. */
  eventsOf(container: string): RunnerEvents;
  /** From when it is warm until it is gone. */
  add(container: Held): void;
  remove(container: string): void;
  load(load: Load): Promise<void>;
  dispatch(dispatch: Dispatch): Promise<void>;
  dispatchInputs(order: DispatchInputs): Promise<void>;
  /** A save has been announced: its runner wakes. */
  rouse(container: string): void;
  cancel(call: string): void;
  cancelInputs(order: CancelInputs): void;
  partsTaken(taken: PartsTaken): void;
  childFinished(finished: ChildFinished): void;
  /** Nothing new begins in it; resolves when its calls are done, for which they have `patienceMs`, and its exit hooks have run. */
  drain(container: string, patienceMs: number): Promise<void>;
  /** Makes the container the app's, and the snapshot a folder of it, without loading anything into its runner. */
  show(container: Held, app: string, snapshot: SnapshotDelta): Promise<void>;
  snapshotsOf(container: string): string[];
  callsOf(container: string): string[];
  functionsOf(container: string): string[];
  /** Every call in flight, for the hello of a new connection. */
  calls(): string[];
  /** Digests of what the snapshots of late hold, those that containers have among them. */
  contents(): Iterable<string>;
  /** A line of the system in the logs of its calls in flight; of the container's own, where it has none. */
  say(container: string, text: string): void;
  /** The FUSE daemon is a new one and knows no snapshot. */
  forgetMounted(): void;
}

const noArguments: Arguments = { positional: Buffer.from("[]"), keywords: Buffer.alloc(0), large: undefined };

export function createDispatcher(host: DispatchHost): Dispatcher {
  const { content, clock } = host;
  const large = createLargeValues(host);
  const insides = new Map<string, Inside>();
  const children = new Map<string, string>(); // child call → container of its caller
  const asking = new Set<string>(); // of those: control does not have their arguments yet
  const childMaps = new Map<string, ChildMaps>(); // by container
  const shown = createShown(host);
  const lists = createSnapshotLists(async (digest) => {
    const [text] = await content.get([digest]);
    return Buffer.from(text ?? new Uint8Array()).toString("utf8");
  });
  let lines: LogLine[] = [];
  let steps: Message[] = [];
  let due: NodeJS.Timeout | undefined;

  function sendSteps(): void {
    clearTimeout(due);
    due = undefined;
    const told = steps;
    steps = [];
    for (const step of told) host.send(step);
  }

  function send(message: Message): void {
    if (steps.length > 0) sendSteps();
    host.send(message);
  }

  function sendStep(message: Message): void {
    steps.push(message);
    due ??= setTimeout(sendSteps, patienceMs);
  }

  function flushLines(): void {
    if (lines.length === 0) return;
    const batch = lines;
    lines = [];
    send({ $case: "logs", value: { lines: batch } });
  }

  const loads = createLoads({ content, send, sendStep, clock, insides, lists, shown, flushLines });
  const mapInputs = createMapInputs({
    ...{ send, answered: host.answered, log: host.log, insides, loads, flushLines, sayInLog },
    endIfFull: ({ container }) => endIfFull(container),
  });

  function sayInLog(container: string, call: string, text: string, dropped = 0): void {
    eventsOf(container).output([{ call, stream: "system", timeMs: clock.now(), text, dropped }]);
  }

  const appOf = (container: string, call: string): string => runningIn(insides.get(container), call)?.app ?? "";

  const eventsOf = (id: string): RunnerEvents => ({
    output(output) {
      const inside = insides.get(id);
      if (lines.length === 0) setImmediate(flushLines);
      for (const { call, index: input, stream, timeMs, text, dropped } of output) {
        const state = runningIn(inside, call);
        const { app = "", function: name = "" } = state ?? {};
        if (state) state.dropped += dropped;
        lines.push({ call, app, function: name, container: id, stream, timeMs, text, dropped, seq: 0, input });
      }
    },
    started(call, timeMs) {
      const attempt = insides.get(id)?.calls.get(call)?.attempt ?? 0;
      sendStep({ $case: "started", value: { call, container: id, attempt, timeMs } });
    },
    part(part) {
      const attempt = insides.get(id)?.calls.get(part.call)?.attempt;
      if (attempt !== undefined) send({ $case: "part", value: { ...part, container: id, attempt } });
    },
    childCall(child) {
      const app = child.app || appOf(id, child.parent);
      const { positional, keywords, parent } = child;
      const bytes = positional.byteLength + keywords.byteLength;
      if (bytes > greatestCallValueBytes) {
        const said = failure("arguments", oversized(`${child.function}: what it is given`, bytes, "pass less at a time"));
        insides.get(id)?.container.runner.childFinished(child.id, { failure: said });
        return;
      }
      children.set(child.id, id);
      const args = { positional: asBuffer(positional), keywords: asBuffer(keywords), large: undefined };
      const call = { id: child.id, app, function: child.function, version: "", parent, origin: child.origin };
      if (bytes <= inlineValueBytes) return send({ $case: "child", value: { ...call, arguments: args } });
      asking.add(child.id);
      large
        .asked(child.id, args)
        .then(
          (given) => asking.has(child.id) && send({ $case: "child", value: { ...call, arguments: given } }),
          (error) => answerChild(child.id, { failure: failure("infrastructure", sentenceOf(error)) }),
        )
        .finally(() => asking.delete(child.id));
    },
    map(frame) {
      let maps = childMaps.get(id);
      if (!maps) {
        const tell: Parameters<typeof createChildMaps>[0]["tell"] = (head, payload) =>
          insides.get(id)?.container.runner.mapNews(head, payload);
        maps = createChildMaps({ dial: () => host.dialMap(), tell, appOf: (parent) => appOf(id, parent), log: host.log });
        childMaps.set(id, maps);
      }
      maps.hear(frame);
    },
    unloaded(snapshot) {
      const inside = insides.get(id);
      if (!inside || inside.loading.has(snapshot)) return; // on its way in again: an undone edit
      inside.snapshots = inside.snapshots.filter((known) => known !== snapshot);
      host
        .fuse()
        .removeSnapshot(id, snapshot)
        .catch((error) => host.log.debug({ id, snapshot, error: sentenceOf(error) }, "removing a snapshot"));
    },
    childWait(call) {
      if (children.get(call) === id) send({ $case: "awaited", value: { call } });
    },
    childCancel(call) {
      if (children.get(call) !== id) return;
      if (asking.has(call)) answerChild(call, { failure: failure("cancelled", "the call was cancelled before it was sent") });
      else send({ $case: "cancel", value: { call } }); // its own, not another container's
    },
  });

  function answerChild(call: string, outcome: Parameters<Runner["childFinished"]>[1]): void {
    const container = insides.get(children.get(call) ?? "")?.container;
    children.delete(call);
    asking.delete(call);
    container?.runner.childFinished(call, outcome);
  }

  async function dispatch(order: Dispatch): Promise<void> {
    const { call, attempt, container: id, version, app } = order;
    const inside = insides.get(id);
    const state: Call = { attempt, function: version?.function ?? "", app, cancelled: false, dropped: 0 };
    const finish = (ended: Partial<Extract<Message, { $case: "finished" }>["value"]>): void => {
      flushLines();
      inside?.calls.delete(call);
      if (inside?.calls.size === 0) inside.draining.idle();
      const none = { result: undefined, failure: undefined, loadMs: 0, runMs: 0, droppedBytes: 0, peakMemoryBytes: 0 };
      send({ $case: "finished", value: { ...none, call, container: id, attempt, ...ended } });
      host.answered(id);
    };
    if (!inside || inside.draining.begun || !version) return finish({ failure: failure("infrastructure", gone(id)) });
    inside.calls.set(call, state);
    try {
      const load = order.load ? loads.begin(order.load, true) : loads.underWay(inside, version.snapshot);
      if (!load)
        await inside.sending; // a load that came before this call goes before it
      else if (!(await load.sent)) return finish({ failure: (await load.done).failure });
      if (state.cancelled) return finish({ failure: failure("cancelled", "the call was cancelled before it began") });
      const { request, arguments: args = noArguments } = order;
      const given = request ? await large.body(request) : args.large ? await large.given(args) : args;
      const { runner, meter } = inside.container;
      const before = load?.before ?? hurtsOf(inside.container); // each look is two reads of the kernel's files
      const outcome = await runner.call({
        ...{ call, snapshot: version.snapshot, version: version.digest, function: version.function, timeoutMs: order.timeoutMs },
        ...{ ...given, keepFrames: order.keepFrames },
        ...(request && { request: requestHead(request) }),
      });
      const { runMs, droppedBytes, response } = outcome;
      if (droppedBytes > state.dropped) sayInLog(id, call, "", Math.min(droppedBytes - state.dropped, 2 ** 32 - 1)); // with no line after it
      const bytes = outcome.result?.json.byteLength ?? 0;
      const fits = outcome.result !== undefined && bytes <= greatestCallValueBytes;
      const result = fits ? await large.result(call, outcome.result!.json) : undefined;
      const seen = bytes > greatestCallValueBytes ? tooLarge(version.function, bytes) : outcome.failure;
      const failed = seen && explainIn(inside, seen, before);
      if (!failed && meter.oomKills() > before.kills) sayInLog(id, call, memoryNote(memoryOf(inside.container)));
      const loadMs = load ? (await load.done).ms : 0;
      const peakMemoryBytes = meter.peakMemoryBytes();
      finish({ result, failure: failed, loadMs, runMs, droppedBytes, peakMemoryBytes, ...(response && { response }) });
      if (failed?.kind === "memory") endIfFull(inside.container);
    } catch (error) {
      host.log.error({ call, error: sentenceOf(error) }, "a call");
      finish({ failure: failure("infrastructure", sentenceOf(error)) });
    }
  }

  /** Where the memory that ran out is taken by files, the next call would not have it either. */
  function endIfFull(container: Held): void {
    const { memoryBytes } = container.resourceClass;
    const files = container.meter.filesBytes();
    if (files > memoryBytes * filesShareMost)
      void container.stop(`${Math.round(files / 2 ** 20)} MiB of its memory were taken by files`);
  }

  return {
    eventsOf,
    add: (container) => void insides.set(container.id, openInside(container)),
    remove(id) {
      insides.delete(id);
      childMaps.get(id)?.close();
      childMaps.delete(id);
      for (const [child, container] of children) if (container === id) children.delete(child);
    },
    load: async (load) => void (await loads.begin(load, load.called).done),
    dispatch,
    dispatchInputs: mapInputs.dispatch,
    rouse(id) {
      const inside = insides.get(id);
      if (inside?.container.state.name !== "specialised") return; // control may be a moment behind
      inside.container.runner.rouse();
      lookAhead(inside);
    },
    cancelInputs: ({ batch, container }) => mapInputs.cancel(batch, container),
    cancel(call) {
      for (const inside of insides.values()) {
        const state = inside.calls.get(call);
        if (!state) continue;
        state.cancelled = true;
        inside.container.runner.cancel(call);
      }
    },
    partsTaken: ({ call, container, bytes, gone }) => insides.get(container)?.container.runner.partsTaken(call, bytes, gone),
    childFinished({ call }) {
      if (!call) return;
      const { id, result, failure: failed } = call;
      if (failed || !result?.large) {
        answerChild(id, { ...(result ? { result } : {}), ...(failed ? { failure: failed } : {}) });
        return;
      }
      large.json(result).then(
        (json) => answerChild(id, json ? { result: { json } } : {}),
        (error) => answerChild(id, { failure: failure("infrastructure", sentenceOf(error)) }),
      );
    },
    async drain(id, patienceMs) {
      const inside = insides.get(id);
      await inside?.draining.drain(inside.container.runner, inside.calls.size > 0, patienceMs);
    },
    async show(container, app, delta) {
      container.specialise(app);
      content.keep(delta.blobs);
      shown.show(container, delta, await lists.resolve(delta));
    },
    snapshotsOf: (id) => insides.get(id)?.snapshots ?? [],
    callsOf: (id) => [...(insides.get(id)?.calls.keys() ?? [])],
    functionsOf: (id) => [...(insides.get(id)?.functions ?? [])],
    calls: () => [...insides.values()].flatMap(({ calls }) => [...calls.keys()]),
    contents: () => lists.contents(),
    say(id, text) {
      const calls = [...(insides.get(id)?.calls ?? [])].map(([call, { map }]) => map ?? call);
      for (const call of calls.length > 0 ? calls : [""]) sayInLog(id, call, text);
    },
    forgetMounted: shown.forget,
  };
}

/** The same bytes as a Buffer, which is what the generated types ask for. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ⑥ Loads and calls: from control's commands to the runners and back. What it decides is in snapshots.ts and failures.ts.

import type { Clock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type { AgentMessage, ChildFinished, Dispatch, Load } from "../proto/gen/hob/v1/agents.ts";
import type { Failure, LogLine, SnapshotDelta } from "../proto/gen/hob/v1/common.ts";
import { greatestValueBytes } from "../proto/transport.ts";
import type { Container } from "./container/container.ts";
import type { Content } from "./content.ts";
import { createDraining, type Draining } from "./draining.ts";
import { explain, failure, memoryNote, tooLarge } from "./failures.ts";
import { keepOf, type Runner, type RunnerEvents } from "./runner/runner.ts";
import {
  createSnapshotLists,
  differenceFor,
  type FileList,
  neededBlobs,
  type SnapshotDifference,
  type Told,
  toldKept,
} from "./snapshots.ts";

/** Of more the daemon is told the whole list: it forgets what nobody shows any more, too. */
const mountedKept = 64;

/** What nobody waits for is done once the call that came with a load has most likely been answered. */
const quietMs = 20;

/** Of a container's memory, in files that its functions have written and left. */
const filesShareMost = 0.4;

type Message = NonNullable<AgentMessage["message"]>;

interface Call {
  attempt: number;
  function: string;
  app: string;
  cancelled: boolean;
  dropped: number; // bytes of its output that its lines have told as lost
}

/** What is known of a container's inside. */
interface Inside {
  container: Container;
  snapshots: string[]; // loaded, newest last
  told: Told[]; // what its runner was told last, newest last
  calls: Map<string, Call>;
  loading: Map<string, number>; // snapshots with loads that have not been answered, and how many
  failed: string[]; // snapshots whose load failed: control does not count them among the container's, so it retires none
  functions: Set<string>; // that it has loaded
  draining: Draining;
  /** Ends when what was to be sent to the runner before has been sent. */
  sending: Promise<void>;
}

/** What the kernel has done to a container so far. */
interface Hurts {
  kills: number;
  refused: number;
}

const hurtsOf = ({ meter }: Container): Hurts => ({ kills: meter.oomKills(), refused: meter.refusedPids() });
const memoryOf = ({ meter, resourceClass }: Container): { limitBytes: number; peakBytes: number } => {
  return { limitBytes: resourceClass.memoryBytes, peakBytes: meter.peakMemoryBytes() };
};

interface BegunLoad {
  /** The runner has the load before it: a call sent now waits there for it. False when it could not be sent. */
  sent: Promise<boolean>;
  done: Promise<{ ms: number; failure: Failure | undefined }>;
}

export interface DispatchHost {
  content: Content;
  fuse(): Pick<FuseServer, "addSnapshot" | "removeSnapshot">;
  send(message: Message): void;
  clock: Clock;
  log: Log;
}

export interface Dispatcher {
  /** What a runner of that container says goes to control. */
  eventsOf(container: string): RunnerEvents;
  /** From when it is warm until it is gone. */
  add(container: Container): void;
  remove(container: string): void;
  load(load: Load): Promise<void>;
  dispatch(dispatch: Dispatch): Promise<void>;
  cancel(call: string): void;
  childFinished(finished: ChildFinished): void;
  /** Nothing new begins in it; resolves when its calls are done, for which they have `patienceMs`, and its exit hooks have run. */
  drain(container: string, patienceMs: number): Promise<void>;
  /** Makes the container the app's, and the snapshot a folder of it, without loading anything into its runner. */
  show(container: Container, app: string, snapshot: SnapshotDelta): Promise<void>;
  snapshotsOf(container: string): string[];
  callsOf(container: string): string[];
  functionsOf(container: string): string[];
  /** Every call in flight, for the hello of a new connection. */
  calls(): string[];
  /** The FUSE daemon is a new one and knows no snapshot. */
  forgetMounted(): void;
}

export function createDispatcher(host: DispatchHost): Dispatcher {
  const { content, send, clock } = host;
  const insides = new Map<string, Inside>();
  const children = new Map<string, string>(); // child call → container of its caller
  const mounted = new Set<string>(); // snapshots that the FUSE daemon knows
  const lists = createSnapshotLists(async (digest) => {
    const [text] = await content.get([digest]);
    return Buffer.from(text ?? new Uint8Array()).toString("utf8");
  });
  let lines: LogLine[] = [];

  function flushLines(): void {
    if (lines.length === 0) return;
    const batch = lines;
    lines = [];
    send({ $case: "logs", value: { lines: batch } });
  }

  function sayInLog(container: string, call: string, text: string, dropped = 0): void {
    eventsOf(container).output([{ call, stream: "system", timeMs: clock.now(), text, dropped }]);
  }

  const eventsOf = (id: string): RunnerEvents => ({
    output(output) {
      const calls = insides.get(id)?.calls;
      if (lines.length === 0) setImmediate(flushLines);
      for (const { call, stream, timeMs, text, dropped } of output) {
        const state = calls?.get(call);
        const { app = "", function: name = "" } = state ?? {};
        if (state) state.dropped += dropped;
        lines.push({ call, app, function: name, container: id, stream, timeMs, text, dropped, seq: 0 });
      }
    },
    started(call, timeMs) {
      const attempt = insides.get(id)?.calls.get(call)?.attempt ?? 0;
      send({ $case: "started", value: { call, container: id, attempt, timeMs } });
    },
    childCall(child) {
      const app = child.app || insides.get(id)?.calls.get(child.parent)?.app || "";
      const { positional, keywords, parent } = child;
      if (positional.byteLength + keywords.byteLength > greatestValueBytes) {
        const said = failure(
          "arguments",
          `${child.function}: its arguments are more than ${greatestValueBytes >> 20} MiB as JSON: pass less at a time`,
        );
        insides.get(id)?.container.runner.childFinished(child.id, { failure: said });
        return;
      }
      children.set(child.id, id);
      const args = { positional: asBuffer(positional), keywords: asBuffer(keywords) };
      send({
        $case: "child",
        value: { id: child.id, app, function: child.function, version: "", arguments: args, parent, origin: child.origin },
      });
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
    childCancel(call) {
      if (children.get(call) === id) send({ $case: "cancel", value: { call } }); // its own, not another container's
    },
  });

  /** Tells the FUSE daemon; where it has forgotten the base meanwhile, the whole list. Nobody waits here: a lookup waits there. */
  function showFiles({ container }: Pick<Inside, "container">, delta: SnapshotDelta, files: FileList): void {
    const fuse = host.fuse();
    const add = ({ base, changed, removed }: SnapshotDifference): Promise<void> =>
      fuse.addSnapshot(container.id, delta.digest, base, changed, removed);
    const seen = differenceFor((snapshot) => mounted.has(snapshot), delta, files);
    mounted.delete(delta.digest); // so that the newest is last
    mounted.add(delta.digest);
    if (mounted.size > mountedKept) mounted.delete(mounted.values().next().value as string);
    add(seen)
      .catch((error) => {
        if (seen.base === "") throw error;
        return add(differenceFor(() => false, delta, files));
      })
      .catch((error) => {
        mounted.delete(delta.digest);
        host.log.error({ container: container.id, snapshot: delta.digest, error: sentenceOf(error) }, "adding a snapshot");
      });
  }

  const isIn = (inside: Inside, snapshot: string): boolean =>
    insides.get(inside.container.id) === inside && (inside.loading.has(snapshot) || inside.snapshots.includes(snapshot));

  /** Resolves once the load is on its way to the runner, with the answer to come. */
  async function sendLoad(inside: Inside, load: Load): Promise<{ answer: ReturnType<Runner["load"]> }> {
    const { container, told } = inside;
    const delta = load.snapshot;
    if (!delta) throw new HobError("internal", `load ${load.id}: it names no snapshot`);
    for (const version of load.versions) inside.functions.add(version.function);
    inside.draining.hooks ||= load.versions.some(({ spec }) => spec?.className);
    content.keep(delta.blobs);
    content.keep(load.bundles);
    const files = await lists.resolve(delta);
    const difference = differenceFor((snapshot) => told.some(({ digest }) => digest === snapshot), delta, files);
    const needed = neededBlobs(container.resourceClass.language, difference, [...load.versions, ...load.patches], told);
    const data = await content.get(needed);
    inside.told = [...told.filter(({ digest }) => digest !== delta.digest), { digest: delta.digest, files }].slice(-toldKept);
    const answer = container.runner.load({
      app: load.app,
      snapshot: delta.digest,
      base: difference.base,
      changed: difference.changed.map(({ path, digest }) => ({ path, digest })),
      removed: difference.removed,
      blobs: needed.map((digest, index) => ({ digest, data: data[index] ?? new Uint8Array() })),
      versions: load.versions.map(({ function: name, digest, bundle, spec, keepsState }) => ({
        ...{ function: name, digest, bundle, keepsState },
        module: spec?.module ?? "",
        qualname: spec?.qualname ?? "",
        className: spec?.className ?? "",
        concurrency: spec?.concurrency || 1,
        secrets: spec?.secrets ?? [],
      })),
      patches: load.patches.map((patch) => ({ ...patch, keep: keepOf(patch.keep) })),
      secrets: load.secrets,
      retire: [...load.retire, ...inside.failed.filter((snapshot) => snapshot !== delta.digest)],
    });
    inside.failed = [];
    // Whoever looks for them before they are there waits for them in the FUSE daemon; a process that is only patched does not look.
    if (load.patches.length === 0) showFiles(inside, delta, files);
    else setTimeout(() => isIn(inside, delta.digest) && showFiles(inside, delta, files), quietMs);
    return { answer };
  }

  /** At once: the next message may be a smaller wish for warm containers, and this is none any more. Says why it cannot be, or "". */
  function claim(inside: Inside | undefined, load: Load): string {
    if (!inside || inside.draining.begun) return gone(load.container);
    try {
      inside.container.specialise(load.app);
      return "";
    } catch (error) {
      return sentenceOf(error);
    }
  }

  /** Loads go to one container's runner in order, for each may build on the one before; none waits for another to be done. */
  function beginLoad(load: Load): BegunLoad {
    const begin = clock.now();
    const inside = insides.get(load.container);
    const refusal = claim(inside, load);
    if (!inside || refusal) {
      return { sent: Promise.resolve(false), done: Promise.resolve(endLoad(load, begin, failure("infrastructure", refusal))) };
    }
    const before = hurtsOf(inside.container);
    const snapshot = load.snapshot?.digest ?? "";
    inside.loading.set(snapshot, (inside.loading.get(snapshot) ?? 0) + 1);
    const sending = inside.sending.then(() => sendLoad(inside, load));
    const sent = sending.then(
      () => true,
      () => false, // `done` tells why
    );
    inside.sending = sent.then(() => {});
    const done = awaitLoad(inside, load, { begin, before, sending }).finally(() => {
      const left = (inside.loading.get(snapshot) ?? 1) - 1;
      if (left > 0) inside.loading.set(snapshot, left);
      else inside.loading.delete(snapshot);
    });
    return { sent, done };
  }

  async function awaitLoad(
    inside: Inside,
    load: Load,
    { begin, before, sending }: { begin: number; before: Hurts; sending: ReturnType<typeof sendLoad> },
  ): BegunLoad["done"] {
    const snapshot = load.snapshot?.digest ?? "";
    let how = { tier: "fork", reason: "" };
    try {
      const { failure: seen, tier, reason } = await (await sending).answer;
      how = { tier: load.tier === "container" ? load.tier : tier, reason };
      if (seen) {
        if (!inside.snapshots.includes(snapshot)) inside.failed.push(snapshot);
        return endLoad(load, begin, explainIn(inside, seen, before));
      }
    } catch (error) {
      return endLoad(load, begin, failure("infrastructure", sentenceOf(error)));
    }
    inside.snapshots = [...inside.snapshots.filter((known) => known !== snapshot && !load.retire.includes(known)), snapshot];
    return endLoad(load, begin, undefined, how);
  }

  function endLoad(
    load: Load,
    begin: number,
    failed: Failure | undefined,
    how = { tier: load.tier, reason: "" },
  ): Awaited<BegunLoad["done"]> {
    const ms = clock.now() - begin;
    flushLines();
    const { id, container, snapshot } = load;
    send({ $case: "loaded", value: { load: id, container, snapshot: snapshot?.digest ?? "", ms, failure: failed, ...how } });
    return { ms, failure: failed };
  }

  function explainIn({ container }: Inside, seen: Failure, before: Hurts): Failure {
    return explain(seen, {
      container: container.id,
      state: container.state,
      memoryKill: container.meter.oomKills() > before.kills,
      pidsRefused: container.meter.refusedPids() > before.refused,
      ...memoryOf(container),
    });
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
    };
    if (!inside || inside.draining.begun || !version) return finish({ failure: failure("infrastructure", gone(id)) });
    inside.calls.set(call, state);
    try {
      const load = order.load && beginLoad(order.load);
      if (!load)
        await inside.sending; // a load that came before this call goes before it
      else if (!(await load.sent)) return finish({ failure: (await load.done).failure });
      if (state.cancelled) return finish({ failure: failure("cancelled", "the call was cancelled before it began") });
      const { runner, meter } = inside.container;
      const before = hurtsOf(inside.container);
      const outcome = await runner.call({
        ...{ call, snapshot: version.snapshot, version: version.digest, function: version.function, timeoutMs: order.timeoutMs },
        positional: order.arguments?.positional ?? Buffer.from("[]"),
        keywords: order.arguments?.keywords ?? new Uint8Array(),
      });
      const { runMs, droppedBytes } = outcome;
      if (droppedBytes > state.dropped) sayInLog(id, call, "", Math.min(droppedBytes - state.dropped, 2 ** 32 - 1)); // with no line after it
      const bytes = outcome.result?.json.byteLength ?? 0;
      const result = bytes > greatestValueBytes ? undefined : outcome.result;
      const seen = bytes > greatestValueBytes ? tooLarge(version.function, bytes) : outcome.failure;
      const failed = seen && explainIn(inside, seen, before);
      if (!failed && meter.oomKills() > before.kills) sayInLog(id, call, memoryNote(memoryOf(inside.container)));
      const loadMs = load ? (await load.done).ms : 0;
      finish({ result, failure: failed, loadMs, runMs, droppedBytes, peakMemoryBytes: meter.peakMemoryBytes() });
      if (failed?.kind === "memory") endIfFull(inside.container);
    } catch (error) {
      host.log.error({ call, error: sentenceOf(error) }, "a call");
      finish({ failure: failure("infrastructure", sentenceOf(error)) });
    }
  }

  /** Where the memory that ran out is taken by files, the next call would not have it either. */
  function endIfFull(container: Container): void {
    const { memoryBytes } = container.resourceClass;
    const files = container.meter.filesBytes();
    if (files > memoryBytes * filesShareMost)
      void container.stop(`${Math.round(files / 2 ** 20)} MiB of its memory were taken by files`);
  }

  return {
    eventsOf,
    add: (container) =>
      void insides.set(container.id, {
        container,
        snapshots: [],
        told: [],
        calls: new Map(),
        loading: new Map(),
        failed: [],
        functions: new Set(),
        draining: createDraining(),
        sending: Promise.resolve(),
      }),
    remove(id) {
      insides.delete(id);
      for (const [child, container] of children) if (container === id) children.delete(child);
    },
    load: async (load) => void (await beginLoad(load).done),
    dispatch,
    cancel(call) {
      for (const inside of insides.values()) {
        const state = inside.calls.get(call);
        if (!state) continue;
        state.cancelled = true;
        inside.container.runner.cancel(call);
      }
    },
    childFinished({ call }) {
      if (!call) return;
      const container = insides.get(children.get(call.id) ?? "")?.container;
      children.delete(call.id);
      const { result, failure: failed } = call;
      container?.runner.childFinished(call.id, { ...(result ? { result } : {}), ...(failed ? { failure: failed } : {}) });
    },
    async drain(id, patienceMs) {
      const inside = insides.get(id);
      await inside?.draining.drain(inside.container.runner, inside.calls.size > 0, patienceMs);
    },
    async show(container, app, delta) {
      container.specialise(app);
      content.keep(delta.blobs);
      showFiles({ container }, delta, await lists.resolve(delta));
    },
    snapshotsOf: (id) => insides.get(id)?.snapshots ?? [],
    callsOf: (id) => [...(insides.get(id)?.calls.keys() ?? [])],
    functionsOf: (id) => [...(insides.get(id)?.functions ?? [])],
    calls: () => [...insides.values()].flatMap(({ calls }) => [...calls.keys()]),
    forgetMounted: () => mounted.clear(),
  };
}

const gone = (container: string): string => `container ${container} is not on this node any more`;

/** The same bytes as a Buffer, which is what the generated types ask for. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ⑥ Loads and calls: from control's commands to the runners and back. What it decides is in snapshots.ts and failures.ts.

import type { Clock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type { AgentMessage, ChildFinished, Dispatch, Load } from "../proto/gen/hob/v1/agents.ts";
import type { Failure, LogLine, SnapshotDelta } from "../proto/gen/hob/v1/common.ts";
import type { Container } from "./container/container.ts";
import type { Content } from "./content.ts";
import { explain, failure } from "./failures.ts";
import type { RunnerEvents } from "./runner/runner.ts";
import { createSnapshotLists, differenceFor, type FileList, neededBlobs } from "./snapshots.ts";

type Message = NonNullable<AgentMessage["message"]>;

interface Call {
  attempt: number;
  function: string;
  app: string;
  cancelled: boolean;
}

/** What is known of a container's inside. */
interface Inside {
  container: Container;
  snapshots: string[]; // loaded, newest last
  blobs: Set<string>; // that its runner has
  calls: Map<string, Call>;
  lastLoad: Promise<unknown>;
}

export interface DispatchHost {
  content: Content;
  fuse(): Pick<FuseServer, "addSnapshot">;
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
  snapshotsOf(container: string): string[];
  callsOf(container: string): string[];
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

  const eventsOf = (id: string): RunnerEvents => ({
    output(output) {
      const calls = insides.get(id)?.calls;
      if (lines.length === 0) setImmediate(flushLines);
      for (const { call, stream, timeMs, text, dropped } of output) {
        const { app = "", function: name = "" } = calls?.get(call) ?? {};
        lines.push({ call, app, function: name, container: id, stream, timeMs, text, dropped, seq: 0 });
      }
    },
    started(call, timeMs) {
      const attempt = insides.get(id)?.calls.get(call)?.attempt ?? 0;
      send({ $case: "started", value: { call, container: id, attempt, timeMs } });
    },
    childCall(child) {
      children.set(child.id, id);
      const app = child.app || insides.get(id)?.calls.get(child.parent)?.app || "";
      const { positional, keywords, parent } = child;
      const args = { positional: asBuffer(positional), keywords: asBuffer(keywords) };
      send({
        $case: "child",
        value: { id: child.id, app, function: child.function, version: "", arguments: args, parent, origin: "function" },
      });
    },
    childCancel: (call) => send({ $case: "cancel", value: { call } }),
  });

  function insideOf(container: string): Inside {
    const inside = insides.get(container);
    if (inside) return inside;
    throw new HobError("unavailable", `container ${container} is not on this node any more`);
  }

  function showFiles({ container }: Inside, delta: SnapshotDelta, files: FileList): void {
    const seen = differenceFor((snapshot) => mounted.has(snapshot), delta, files);
    mounted.add(delta.digest);
    host
      .fuse()
      .addSnapshot(container.id, delta.digest, seen.base, seen.changed, seen.removed)
      .catch((error) => {
        mounted.delete(delta.digest);
        host.log.error({ container: container.id, snapshot: delta.digest, error: sentenceOf(error) }, "adding a snapshot");
      });
  }

  async function loadNow(inside: Inside, load: Load): Promise<Failure | undefined> {
    const { container } = inside;
    const delta = load.snapshot;
    if (!delta) throw new HobError("internal", `load ${load.id}: it names no snapshot`);
    container.specialise(load.app);
    content.keep(delta.blobs);
    content.keep(load.bundles);
    const files = await lists.resolve(delta);
    const difference = differenceFor((snapshot) => inside.snapshots.includes(snapshot), delta, files);
    const needed = neededBlobs(container.resourceClass.language, difference, load.versions, inside.blobs);
    const data = await content.get(needed);
    const loading = container.runner.load({
      app: load.app,
      snapshot: delta.digest,
      base: difference.base,
      changed: difference.changed.map(({ path, digest }) => ({ path, digest })),
      removed: difference.removed,
      blobs: needed.map((digest, index) => ({ digest, data: data[index] ?? new Uint8Array() })),
      versions: load.versions.map(({ function: name, digest, bundle, spec }) => ({
        ...{ function: name, digest, bundle },
        module: spec?.module ?? "",
        qualname: spec?.qualname ?? "",
      })),
      retire: load.retire,
    });
    // Second, for the runner is what everybody waits for; a lookup in the project folder waits for the file system itself.
    showFiles(inside, delta, files);
    const { failure: failed } = await loading;
    if (failed) return explainIn(inside, failed, 0);
    for (const digest of needed) inside.blobs.add(digest);
    const retired = new Set(load.retire);
    inside.snapshots = [
      ...inside.snapshots.filter((snapshot) => snapshot !== delta.digest && !retired.has(snapshot)),
      delta.digest,
    ];
    return undefined;
  }

  /** Loads of one container one after the other: each may build on the one before. Never rejects. */
  async function runLoad(load: Load): Promise<{ ms: number; failure: Failure | undefined }> {
    const begin = clock.now();
    let failed: Failure | undefined;
    try {
      const inside = insideOf(load.container);
      const work = inside.lastLoad.then(() => loadNow(inside, load));
      inside.lastLoad = work.catch(() => {}); // told below
      failed = await work;
    } catch (error) {
      failed = failure("infrastructure", sentenceOf(error));
    }
    const ms = clock.now() - begin;
    flushLines();
    const { id, container, snapshot } = load;
    send({ $case: "loaded", value: { load: id, container, snapshot: snapshot?.digest ?? "", ms, failure: failed } });
    return { ms, failure: failed };
  }

  function explainIn({ container }: Inside, seen: Failure, killsBefore: number): Failure {
    return explain(seen, {
      container: container.id,
      state: container.state,
      memoryKill: container.meter.oomKills() > killsBefore,
      limitBytes: container.resourceClass.memoryBytes,
      peakBytes: container.meter.peakMemoryBytes(),
    });
  }

  async function dispatch(order: Dispatch): Promise<void> {
    const { call, attempt, container: id, version, app } = order;
    const inside = insides.get(id);
    const state: Call = { attempt, function: version?.function ?? "", app, cancelled: false };
    const finish = (ended: Partial<Extract<Message, { $case: "finished" }>["value"]>): void => {
      flushLines();
      inside?.calls.delete(call);
      const none = { result: undefined, failure: undefined, loadMs: 0, runMs: 0, droppedBytes: 0, peakMemoryBytes: 0 };
      send({ $case: "finished", value: { ...none, call, container: id, attempt, ...ended } });
    };
    if (!inside || !version)
      return finish({ failure: failure("infrastructure", `container ${id} is not on this node any more`) });
    inside.calls.set(call, state);
    try {
      let loadMs = 0;
      if (order.load) {
        const loaded = await runLoad(order.load);
        loadMs = loaded.ms;
        if (loaded.failure) return finish({ failure: loaded.failure, loadMs });
      } else {
        await inside.lastLoad; // a load sent before this call holds for it
      }
      if (state.cancelled) return finish({ failure: failure("cancelled", "the call was cancelled before it began"), loadMs });
      const { runner, meter } = inside.container;
      const killsBefore = meter.oomKills();
      const outcome = await runner.call({
        ...{ call, snapshot: version.snapshot, version: version.digest, function: version.function, timeoutMs: order.timeoutMs },
        positional: order.arguments?.positional ?? Buffer.from("[]"),
        keywords: order.arguments?.keywords ?? new Uint8Array(),
      });
      const { result, runMs, droppedBytes } = outcome;
      const failed = outcome.failure && explainIn(inside, outcome.failure, killsBefore);
      finish({ result, failure: failed, loadMs, runMs, droppedBytes, peakMemoryBytes: meter.peakMemoryBytes() });
    } catch (error) {
      host.log.error({ call, error: sentenceOf(error) }, "a call");
      finish({ failure: failure("infrastructure", sentenceOf(error)) });
    }
  }

  return {
    eventsOf,
    add: (container) =>
      void insides.set(container.id, {
        container,
        snapshots: [],
        blobs: new Set(),
        calls: new Map(),
        lastLoad: Promise.resolve(),
      }),
    remove(id) {
      insides.delete(id);
      for (const [child, container] of children) if (container === id) children.delete(child);
    },
    load: async (load) => void (await runLoad(load)),
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
    snapshotsOf: (id) => insides.get(id)?.snapshots ?? [],
    callsOf: (id) => [...(insides.get(id)?.calls.keys() ?? [])],
    calls: () => [...insides.values()].flatMap(({ calls }) => [...calls.keys()]),
    forgetMounted: () => mounted.clear(),
  };
}

/** The same bytes as a Buffer, which is what the generated types ask for. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

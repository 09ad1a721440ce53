// ⑦ Calls from acceptance to their one recorded result: queueing, attempts, losses, cancelling, and calls that calls make.

import type { Clock } from "../base/clock.ts";
import type { CallFinished, CallStarted } from "../proto/gen/hob/v1/agents.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { Failure, Value } from "../proto/gen/hob/v1/common.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import { createAdmission } from "./admission.ts";
import { argumentsProblem, missingSentence } from "./arguments.ts";
import { type Call, endAttempt, laneOf, lanes, newCall, noteRun, outlives, toCall } from "./call.ts";
import { createCallChanges } from "./call-changes.ts";
import { afterEvent, afterFailure, type CallEvent, type CallState } from "./call-states.ts";
import { type Resolve, resolveOrTell } from "./deployments/resolve.ts";
import type { CallStore, StoredCall } from "./engine/engine.ts";
import { attach, detach } from "./family.ts";
import type { Exchange } from "./gateway/exchange.ts";
import type { Limits } from "./limits.ts";
import type { Work } from "./maps/map.ts";
import type { Container, Node, Nodes } from "./nodes.ts";
import type { Registry } from "./registry.ts";
import { type Groups, ranFor } from "./scheduler/groups.ts";
import type { Turn } from "./turn.ts";
import type { Values } from "./values.ts";
import { createWaits } from "./waits.ts";

interface CallsParts {
  store: CallStore;
  turn: Turn;
  registry: Registry;
  groups: Groups<Work>;
  nodes: Nodes;
  clock: Clock;
  limits: Limits;
  values: Values;
  resolve: Resolve;
  /** The app of a map; undefined when there is none of that id. */
  appOfMap(id: string): string | undefined;
  /** A call is accepted; `traceparent` as in StartCall. Only where calls are traced. */
  begun?: ((call: Call, traceparent: string) => void) | undefined;
  /** Says what became of a call to whoever listens. */
  announce(info: CallInfo): void;
  /** Nobody waits any more for what this attempt has made. */
  attemptEnded(call: string): void;
  /** A call has got its result. */
  finished(call: CallInfo): void;
}

export interface Calls extends Disposable {
  readonly queued: number;
  readonly running: number;
  /** When a person has called last, by the clock. */
  readonly personAtMs: number;
  active(id: string): Call | undefined;
  unfinished(): Iterable<Call>;
  /** Active or past. */
  find(id: string): CallInfo | undefined;
  numbered(number: number): CallInfo | undefined;
  /** Accepts a call; the same id again changes nothing and says again what became of it. */
  start(request: StartCall, asker?: string, exchange?: Exchange): void;
  cancel(id: string): void;
  /** The function that has spawned it waits for it from now on. */
  awaited(id: string): void;
  /** The scheduler has placed it: from now on it is running there. */
  dispatched(call: Call, container: Container): void;
  started(message: CallStarted): void;
  attemptFinished(node: Node, message: CallFinished): void;
  /** No container can ever run it. */
  impossible(call: Call, message: string, kind: "infrastructure" | "load"): void;
  /** The container is gone, with all that ran in it. */
  containerGone(container: Container, reason: string): void;
  /** A node has linked and says which calls it still runs; those that it does not are run again. */
  nodeLinked(node: Node, held: string[]): void;
  /** Nodes that have not come back by now are not waited for. */
  giveUpOrphans(): void;
}

const noRetries = { retries: 0, backoff: undefined };

export function createCalls(parts: CallsParts): Calls {
  const { store, turn, registry, groups, nodes, clock } = parts;
  const active = new Map<string, Call>();
  const admission = createAdmission(parts.limits);
  const { changed } = createCallChanges(parts);
  const waits = createWaits(clock, (call) => enqueue(call, lanes.again));
  let lastNumber = store.lastNumber();
  let running = 0;
  let personAtMs = Number.NEGATIVE_INFINITY;

  /** False when the event comes too late: the first outcome stays. */
  function move(call: Call, event: CallEvent): boolean {
    const state = afterEvent(call.info.state as CallState, event);
    if (!state) return false;
    if (call.info.state === "running") running--;
    if (state === "running") running++;
    call.info.state = state;
    return true;
  }

  function findProblem(call: Call): string | undefined {
    const { app, function: name, version } = call.info;
    call.version = registry.version(app, name, version);
    if (call.version && call.exchange) return undefined; // its parameters are the runner's to read
    if (!call.version) return missingSentence(registry, { app, function: name, version });
    const gone = parts.values.problem(call.id, call.info.arguments?.large, `${name}: what it is given`);
    return gone ?? argumentsProblem(call.version.spec!, call.info.arguments);
  }

  function enqueue(call: Call, lane: number): void {
    call.group = groups.of(call.info.app, call.version!);
    call.group.lanes[lane]!.push(call);
    turn.wake();
  }

  function enqueueWhenDue(call: Call, lane: number): void {
    if (call.info.againAtMs > clock.now()) waits.add(call, call.info.againAtMs);
    else enqueue(call, lane);
  }

  function dequeue(call: Call): void {
    if (waits.drop(call)) return;
    for (const lane of call.group?.lanes ?? []) if (lane.remove(call)) return;
  }

  const appOf = (id: string): string => active.get(id)?.info.app ?? parts.appOfMap(id) ?? find(id)?.app ?? "";

  function start(request: StartCall, asker = "", exchange?: Exchange): void {
    const known = exchange ? undefined : find(request.id); // an exchange's id is drawn for it
    if (known) {
      const copy = { ...known };
      turn.toClient(() => parts.announce(copy));
      return;
    }
    const parent = active.get(request.parent);
    const named = resolveOrTell(parts.resolve, request, request.parent === "" ? "" : appOf(request.parent));
    const accepted = { number: lastNumber + 1, app: named.app, atMs: clock.now() };
    const call = newCall({ ...request, version: named.version }, accepted, asker);
    call.exchange = exchange;
    if (turn.stuck) {
      refuse(call, "infrastructure", `${call.info.function} was not called: ${turn.stuck.sentence}`);
      return;
    }
    const full = admission.refuse(call, outlives(call) ? undefined : parent);
    if (full) {
      refuse(call, "exhausted", full.sentence);
      return;
    }
    lastNumber++;
    active.set(call.id, call);
    admission.enter(call);
    if (!outlives(call)) attach(call, parent);
    parts.begun?.(call, request.traceparent ?? "");
    const problem = named.problem ?? findProblem(call);
    if (problem) return void fail(call, "arguments", problem);
    call.info.version = call.version!.digest;
    call.snapshot = call.info.snapshot = call.version!.snapshot;
    changed(call);
    const lane = laneOf(call);
    if (lane === lanes.person) personAtMs = clock.now();
    enqueue(call, lane);
  }

  /** It is not accepted, and not recorded. */
  function refuse(call: Call, kind: string, message: string): void {
    const failure = Failure.fromPartial({ kind, message });
    const refused = { ...call.info, state: "failed", failure, finishedAtMs: clock.now() };
    parts.values.drop(call.id, call.info.arguments?.large);
    call.exchange?.ended(refused);
    parts.announce(refused);
    nodes.all.get(call.asker)?.send({ $case: "childFinished", value: { call: refused } });
  }

  function finish(call: Call, event: CallEvent, outcome: { result?: Value; failure?: Failure }): void {
    if (call.info.state === "queued") dequeue(call);
    endChildren(call);
    if (!move(call, event)) return;
    active.delete(call.id);
    admission.leave(call);
    call.info.result = outcome.result;
    call.info.failure = outcome.failure;
    call.info.finishedAtMs = clock.now();
    changed(call);
    detach(call);
    parts.finished(call.info);
    const asker = nodes.all.get(call.asker);
    if (asker) turn.toNode(() => asker.send({ $case: "childFinished", value: { call: { ...call.info } } }));
    turn.wake();
  }

  function fail(call: Call, kind: string, message: string): void {
    finish(call, "fail", { failure: Failure.fromPartial({ kind, message }) });
  }

  /** Nobody waits any more for what an ended attempt had called. */
  function endChildren(call: Call): void {
    parts.attemptEnded(call.id);
    for (const child of [...call.children]) {
      if (!outlives(child)) {
        child.asker = "";
        cancelCall(child, `cancelled, because ${call.info.function} (#${call.info.number}) ended`);
      }
      detach(child);
    }
  }

  function cancelCall(call: Call, message: string): void {
    const { container } = call;
    if (call.info.state === "running" && container) stopAttempt(call, container);
    finish(call, "cancel", { failure: Failure.fromPartial({ kind: "cancelled", message }) });
  }

  /** Then its place is lent, as that of every function that waits; and the call goes before those for which nobody does. */
  function awaited(id: string): void {
    const call = active.get(id);
    if (!call || call.parent) return;
    attach(call, active.get(call.info.parent));
    if (!call.parent || call.info.state !== "queued" || call.info.againAtMs > 0) return;
    dequeue(call);
    enqueue(call, lanes.child);
  }

  function stopAttempt(call: Call, container: Container): void {
    turn.toNode(() => container.owner.send({ $case: "cancel", value: { call: call.id } }));
  }

  /** The attempt ended without a result: what follows is the policy's to say. */
  function attemptFailed(call: Call, failure: Failure): void {
    if (call.exchange?.begun) {
      finish(call, "fail", { failure }); // the beginning of its answer has been sent
      return;
    }
    const next = afterFailure(failure, call, call.version?.spec ?? noRetries);
    Object.assign(call, next.spent);
    if (next.event !== "again") {
      finish(call, next.event, { failure });
      return;
    }
    tryAgain(call, failure, next.waitMs);
  }

  function tryAgain(call: Call, failure: Failure, waitMs: number): void {
    endChildren(call);
    if (!move(call, "again")) return;
    endAttempt(call, failure, clock.now(), waitMs);
    changed(call);
    enqueueWhenDue(call, lanes.again);
  }

  function lose(call: Call, message: string): void {
    attemptFailed(call, Failure.fromPartial({ kind: "infrastructure", message }));
  }

  function attemptFinished(node: Node, message: CallFinished): void {
    const container = node.containers.get(message.container);
    if (container?.calls.get(message.call) === message.attempt) {
      container.calls.delete(message.call);
      container.idleSinceMs = clock.now();
      turn.wake();
    }
    const call = active.get(message.call);
    if (!call) return void dropUnwanted(message);
    const stale = message.attempt !== call.info.attempt || call.info.state !== "running";
    // A late failure of an attempt that was given up says nothing new; a late result is as good as any, and the first wins.
    if (stale && message.failure) return;
    if (stale && call.container) stopAttempt(call, call.container);
    if (call.group && !message.failure) ranFor(call.group, message.runMs);
    const { info } = call;
    noteRun(call, message, node.name);
    const lost = parts.values.problem(call.id, message.result?.large, `${info.function}: the result`);
    if (lost) lose(call, lost);
    else if (message.failure) attemptFailed(call, message.failure);
    else {
      const result = message.result ?? Value.create({ json: Buffer.from("null") });
      finish(call, "succeed", { result: call.exchange?.answered(message.response, result) ?? result });
    }
  }

  /** A late result: the first stays, and what this one has put into the store goes, unless they are the same. */
  function dropUnwanted({ call, result }: CallFinished): void {
    if (!result?.large || find(call)?.result?.large?.blob === result.large.blob) return;
    parts.values.drop(call, result.large);
  }

  function adopt(call: Call, node: Node): void {
    if (call.info.state === "queued") {
      dequeue(call);
      move(call, "dispatch");
    }
    call.orphan = false;
    call.container = [...node.containers.values()].find((container) => container.info.calls.includes(call.id));
    call.container?.calls.set(call.id, call.info.attempt);
    call.group = groups.of(call.info.app, call.version!);
    if (call.children.size > 0) call.group.blocked++;
    for (const child of call.children) child.asker = node.name;
    call.info.container = call.container?.id ?? "";
    changed(call);
  }

  function nodeLinked(node: Node, held: string[]): void {
    for (const id of held) {
      const call = active.get(id);
      const ours = call && call.info.node === node.name && (call.orphan || call.info.state === "queued");
      if (ours) adopt(call, node);
      else turn.toNode(() => node.send({ $case: "cancel", value: { call: id } }));
    }
    for (const call of active.values()) {
      if (!call.orphan || call.info.node !== node.name) continue;
      // A node that has containers has not started again: the attempt, or its result, was on its way when control died, and did no harm to any node.
      const message = `control started again while it was on its way to node ${node.name} or back`;
      if (node.containers.size > 0) tryAgain(call, Failure.fromPartial({ kind: "infrastructure", message }), 0);
      else lose(call, `node ${node.name} started again while it ran`);
    }
  }

  function find(id: string): CallInfo | undefined {
    return active.get(id)?.info ?? store.find(id)?.info;
  }

  function restore(stored: StoredCall): void {
    const call = toCall(stored, "");
    store.restored(call);
    active.set(call.id, call);
    admission.enter(call);
    if (call.info.state === "running") running++;
    call.version = registry.version(call.info.app, call.info.function, call.info.version);
    if (!call.version) {
      const message = `${call.info.function}: control started again and its version is not kept any more: call the current one`;
      fail(call, "infrastructure", message);
      return;
    }
    if (!outlives(call)) attach(call, active.get(call.info.parent));
    if (call.info.state === "running") call.orphan = true;
    else enqueueWhenDue(call, call.info.againAtMs > 0 ? lanes.again : laneOf(call));
  }

  for (const stored of store.unfinished()) restore(stored);

  return {
    get queued() {
      return active.size - running;
    },
    get running() {
      return running;
    },
    get personAtMs() {
      return personAtMs;
    },
    active: (id) => active.get(id),
    unfinished: () => active.values(),
    find,
    numbered: (number) => store.numbered(number)?.info,
    start,
    cancel(id) {
      const call = active.get(id);
      if (call) cancelCall(call, "cancelled");
    },
    dispatched(call, container) {
      const { info } = call;
      dequeue(call);
      move(call, "dispatch");
      call.container = container;
      call.dispatchedAtMs = clock.now();
      info.attempt++;
      info.againAtMs = 0;
      info.container = container.id;
      info.node = container.node;
      container.calls.set(call.id, info.attempt);
      if (call.children.size > 0 && call.group) call.group.blocked++;
      changed(call);
    },
    started(message) {
      const call = active.get(message.call);
      if (call && call.info.attempt === message.attempt) call.info.startedAtMs = clock.now();
    },
    awaited,
    attemptFinished,
    impossible: (call, message, kind) => fail(call, kind, message),
    containerGone(container, reason) {
      for (const id of container.calls.keys()) {
        const call = active.get(id);
        if (call?.container === container) lose(call, `container ${container.id} on ${container.node} was lost: ${reason}`);
      }
    },
    nodeLinked,
    [Symbol.dispose]: () => waits[Symbol.dispose](),
    giveUpOrphans() {
      for (const call of active.values()) if (call.orphan) lose(call, `node ${call.info.node} did not come back`);
    },
  };
}

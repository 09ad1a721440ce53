// ⑦ Calls and requests as spans: each begins when it is accepted, has its attempts, its waiting, its load and its run in it, and ends with its outcome.

import type { OpenSpan, Stretch, Tracing } from "../base/tracing.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { HttpRequest } from "../proto/gen/hob/v1/common.ts";
import type { Call } from "./call.ts";

export interface Traces {
  /** `traceparent`: of who calls, where that is no call of this pool. */
  begun(call: Call, traceparent: string): void;
  ended(info: CallInfo): void;
}

const header = "traceparent";

export function createTraces(tracing: Pick<Tracing, "start">): Traces {
  const open = new Map<string, OpenSpan>(); // by call

  /** The function's own spans are to be children of this one. */
  function hand({ traceparent }: OpenSpan, request: HttpRequest): void {
    request.headers = [...request.headers.filter(({ name }) => name !== header), { name: header, value: traceparent }];
  }

  return {
    begun({ id, info, exchange }, traceparent) {
      const request = exchange?.request;
      const given = request?.headers.find(({ name }) => name === header)?.value ?? traceparent;
      const parent = open.get(info.parent)?.traceparent ?? given;
      const name = request ? `${request.method} ${request.prefix}${request.path}` : `${info.app}/${info.function}`;
      const attributes = {
        ...{ "hob.app": info.app, "hob.function": info.function, "hob.call": id, "hob.origin": info.origin },
        ...(request ? { "http.request.method": request.method, "url.path": `${request.prefix}${request.path}` } : {}),
      };
      const span = tracing.start(name, { fromMs: info.queuedAtMs, parent, server: request !== undefined, attributes });
      open.set(id, span);
      if (request) hand(span, request);
    },
    ended(info) {
      const span = open.get(info.id);
      if (!span) return; // begun before this control
      open.delete(info.id);
      for (const part of partsOf(info)) span.child(part);
      const { state, version, node, container, finishedAtMs: toMs, failure } = info;
      const attributes = { "hob.state": state, "hob.version": version, "hob.node": node, "hob.container": container };
      const why = state === "succeeded" ? undefined : (failure?.message ?? state);
      span.end({ toMs, attributes: { ...attributes, "hob.attempts": info.attempt }, failure: why });
    },
  };
}

/** What its time went to. What lies between the load and the run on one side and the outcome on the other is the way to the node and back. */
function partsOf({ attempts, steps, queuedAtMs, finishedAtMs, node, container, attempt, failure }: CallInfo): Stretch[] {
  const took = (name: string): number => steps.find((step) => step.name === name)?.ms ?? 0;
  const lost = attempts.map((each): Stretch => {
    const attributes = { "hob.attempt": each.number, "hob.node": each.node, "hob.container": each.container };
    return { name: "attempt", fromMs: each.startedAtMs, toMs: each.endedAtMs, attributes, failure: each.message };
  });
  const placedAtMs = queuedAtMs + took("queue");
  const queue: Stretch = { name: "queue", fromMs: queuedAtMs, toMs: steps.length > 0 ? placedAtMs : finishedAtMs };
  if (steps.length === 0) return [...lost, queue];
  const attributes = { "hob.attempt": attempt, "hob.node": node, "hob.container": container };
  const loadedAtMs = placedAtMs + took("load");
  const load: Stretch[] = took("load") > 0 ? [{ name: "load", fromMs: placedAtMs, toMs: loadedAtMs, attributes }] : [];
  const ranUntilMs = Math.min(finishedAtMs, loadedAtMs + took("run"));
  const run: Stretch = { name: "run", fromMs: loadedAtMs, toMs: ranUntilMs, attributes, failure: failure?.message };
  return [...lost, queue, ...load, run];
}
